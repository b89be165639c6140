// The retries of an SDK as generators make them, here OpenAI's own, sent to this service.
import OpenAI, { APIError } from "openai";

const [url = "", apiKey = "", body = ""] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 3 });

try {
  await client.post("/identify", { body: JSON.parse(body) });
  console.log(200);
} catch (error) {
  if (!(error instanceof APIError)) throw error;
  console.log(error.status);
}
