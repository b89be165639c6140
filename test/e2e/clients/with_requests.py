"""A call with requests, whose retries are urllib3's: they wait as Retry-After says."""

import json
import sys

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

url, key, body = sys.argv[1:]
# Not by default: 429 among the statuses, POST among the methods.
retry = Retry(total=3, status_forcelist=[429], allowed_methods=None, respect_retry_after_header=True)
session = requests.Session()
session.mount("http://", HTTPAdapter(max_retries=retry))
answer = session.post(
    f"{url}/v1/identify",
    json=json.loads(body),
    headers={"X-API-Key": key},
    timeout=30,
)
print(answer.status_code)
