import fc from "fast-check";
import type { HTTPMethods } from "fastify";
import { describe, expect, it } from "vitest";
import { startService, type TestService } from "./service.js";

/** Those that routes take, those that they don't, and one that the framework does not know. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] as HTTPMethods[];

/** Paths of the service with what they take, and something for each parameter. */
const TAKEN: [path: string, allow: string][] = [
  ["/v1/identify", "POST"],
  ["/batch", "POST"],
  ["/v1/quota", "GET, HEAD"],
  ["/health", "GET, HEAD"],
  ["/docs", "GET, HEAD"],
  ["/api/v1/keys", "GET, HEAD, POST"],
  ["/api/v1/keys/0000000000000000", "DELETE"],
  ["/api/v1/keys/:id", "DELETE"],
  ["/api/v1/keys/:id(", "DELETE"],
  ["/api/v1/keys/:id((a+)+)", "DELETE"],
  ["/api/v1/keys/*", "DELETE"],
  ["/api/v1/keys/%2f%28%5b", "DELETE"],
  ["/api/v1/rate-limit/quota/%2a?x=:y(", "GET, HEAD"],
  ["/api/v1/rate-limit/quota/a/reset", "POST"],
  ["/api/v1/rate-limit/quota/a/grant", "POST"],
  ["/api/v1/rate-limit/quota/:subject(a+)/overrides", "PUT"],
];

/** What was once taken for a route, a regular expression, a wildcard, or an escape. */
const PARTS = [
  ...[
    "*",
    "**",
    ":",
    "::",
    ":id",
    ":id(",
    ":id)",
    ":id((a+)+)",
    ":a-:b",
    ":x?",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "+",
    "^",
    "$",
  ],
  ...[
    "|",
    "\\",
    "\\d",
    "%5c",
    "%28",
    "%2a",
    "%3a",
    "%s",
    "%d",
    "%n",
    "%",
    "%%",
    "%2f",
    "%00",
    "..",
    ".",
    ";",
    "=",
    "&",
  ],
  ...["#", "?", "/", "//", "a", "é", "\u202e", "__proto__", "constructor", "{{7*7}}", "<%= 7 %>", "' or 1=1--"],
];
const WITHIN = [
  "",
  "v1",
  "v1/identify",
  "api/v1/keys",
  "api/v1/rate-limit",
  "api/v1/rate-limit/quota",
  "docs",
  "health",
];

const hostilePath = fc
  .tuple(fc.constantFrom(...WITHIN), fc.array(fc.constantFrom(...PARTS), { minLength: 1, maxLength: 12 }))
  .map(([start, parts]) => `/${start}/${parts.join("")}`);

/** The words that a framework, a router or an engine of regular expressions has for its own faults. */
const FOREIGN = /FST_|Route |statusCode|find-my-way|wildcard|regex|regular expression|assert|safe|parenthes/i;

const HEADERS = (key: string) => ({ authorization: `Bearer ${key}`, "content-type": "application/json" });

/** What is quadratic in 15,000 characters takes hundreds of times what reading them takes. */
const SLACK = 10;
const SLACK_MS = 40;

/** Processor time of a few calls, in ms. */
async function cpuOf(call: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  for (let calls = 0; calls < 10; calls++) await call();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** What the caller has left of its month. */
function left({ limiter }: TestService): number {
  return limiter.peek("acct:test-free", "free").limits.find(({ name }) => name === "month")?.remaining ?? Number.NaN;
}

/** Has a caller of its own, with all that it may do, call; the limits let it. */
async function service(corsOrigins = ""): Promise<TestService> {
  return startService({
    RATE_LIMIT_CORS_ORIGINS: corsOrigins,
    RATE_LIMIT_FREE_MINUTE_LIMIT: "100000000",
    RATE_LIMIT_FREE_MONTHLY_QUOTA: "1000000000",
  });
}

describe("a path with another method than it takes", () => {
  it.each(TAKEN)("%s is 405 that allows %s, and is paid for", async (path, allow) => {
    const running = await service();
    const [url] = path.split("?") as [string];
    for (const method of METHODS.filter((method) => !allow.split(", ").includes(method))) {
      const before = left(running);
      const answer = await running.app.inject({ method, url: path, headers: HEADERS(running.free), payload: "{" });
      expect([method, answer.statusCode, answer.headers.allow], url).toEqual([method, 405, allow]);
      expect([method, before - left(running)]).toEqual([method, 1]);
    }
  });
});

describe("text as pattern: a path that looks like one", () => {
  it("is never more than a path: no fault of the server's, no word of its framework's, nothing for free", async () => {
    const running = await service();
    const { app, free, log } = running;
    await fc.assert(
      fc.asyncProperty(hostilePath, fc.constantFrom(...METHODS), async (url, method) => {
        const before = left(running);
        log.length = 0;
        const answer = await app.inject({ method, url, headers: HEADERS(free), payload: "{}" });
        expect(answer.statusCode, answer.body).toBeLessThan(500);
        expect(answer.body.replace(/"request":"[^"]*"/, "")).not.toMatch(FOREIGN);
        expect(log.filter((line) => JSON.parse(line).level >= 50)).toEqual([]);
        if (answer.statusCode === 404 || answer.statusCode === 405) {
          expect(answer.headers["content-type"]).toBe("application/problem+json");
          expect(answer.headers.allow === undefined).toBe(answer.statusCode === 404);
          expect(before - left(running)).toBe(1);
        }
      }),
      { numRuns: 1500, seed: 16 },
    );
  }, 60_000);

  it.each(METHODS)(
    "is looked up for what a plain one costs, however long: %s",
    async (method) => {
      const { app, free } = await service();
      const costOf = (text: string) => {
        const url = `/${text.repeat(15_000 / text.length)}`;
        return cpuOf(() => app.inject({ method, url, headers: HEADERS(free) }));
      };
      await costOf("a");
      const plain = await costOf("a");
      for (const text of ["/:a", ":a-", "::", "/*", "(", "[", "/", "%2f", ":a(b)"]) {
        expect(await costOf(text), text).toBeLessThan(SLACK * plain + SLACK_MS);
      }
    },
    60_000,
  );
});

it("text as pattern: a credential that is nearly one is read in one pass", async () => {
  const { app } = await service();
  const costOf = (authorization: string) =>
    cpuOf(() => app.inject({ method: "GET", url: "/v1/quota", headers: { authorization } }));
  const plain = await costOf(`Bearer ${"a".repeat(15_000)}`);
  expect(await costOf(`Bearer${" ".repeat(15_000)}a b`)).toBeLessThan(SLACK * plain + SLACK_MS);
});
