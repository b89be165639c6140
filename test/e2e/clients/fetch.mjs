// A call with nothing but Node's own fetch: waits as Retry-After says, for as long as the service does not advise against it.
import { setTimeout as delay } from "node:timers/promises";

const [url = "", key = "", body = ""] = process.argv.slice(2);

for (;;) {
  const answer = await fetch(`${url}/v1/identify`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body,
  });
  await answer.arrayBuffer();
  if (answer.status !== 429 || answer.headers.get("x-should-retry") === "false") {
    console.log(answer.status);
    break;
  }
  await delay(Number(answer.headers.get("retry-after")) * 1000);
}
