"""The retries of an SDK as generators make them, here OpenAI's own for Python, sent to this service."""

import json
import sys

from openai import APIStatusError, OpenAI

url, key, body = sys.argv[1:]
client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=3)
try:
    client.post("/identify", body=json.loads(body), cast_to=object)
    print(200)
except APIStatusError as error:
    print(error.status_code)
