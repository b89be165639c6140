import { once } from "node:events";
import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { expect } from "vitest";
import { FORMS, HARMLESS, RELIED_ON } from "../../scripts/operations/hops.mjs";
import { type Consumer, type KongFile, readKongFile } from "../../scripts/operations/kong-file.mjs";

export const SECRET = "the-secret-of-the-gateway-in-these-tests";
const BODY = JSON.stringify({ fingerprint: { tls: { ja4: "t13d1517h2_8daaf6152771_cb7bf5808d99" } } });
const CALLS_AT_ONCE = 16;

/** Whoever calls, by what it shows; the tier is what the app says of it. */
const CALLERS = [
  { who: "a consumer with an id of its own", key: "the-key-of-acme-in-these-tests", tier: "pro" },
  { who: "a consumer with a user name alone", key: "the-key-of-bolt-in-these-tests", tier: "free" },
  { who: "nobody, who is let through", key: undefined, tier: "anonymous" },
  { who: "a key that nobody has", key: "a-key-that-is-made-up", tier: "anonymous" },
];

/** The app's settings, under which no caller of these is ever denied. */
export const SETTINGS = {
  RATE_LIMIT_GATEWAY_SECRET: SECRET,
  RATE_LIMIT_CORS_ORIGINS: "",
  RATE_LIMIT_FREE_MINUTE_LIMIT: "100000",
  RATE_LIMIT_FREE_MONTHLY_QUOTA: "100000",
  RATE_LIMIT_PRO_MINUTE_LIMIT: "100000",
  RATE_LIMIT_PRO_MONTHLY_QUOTA: "100000",
  RATE_LIMIT_IP_FALLBACK_LIMIT: "100000",
};

/** The file that is deployed, with these callers, and with calls let through that show no key. */
export function fileOfCallers(): KongFile {
  const file = readKongFile({
    DECK_APP_TARGET: "app:8080",
    DECK_GATEWAY_SECRET: SECRET,
    DECK_VERIFY_KEY: "the-key-of-deployment-check-in-these-tests",
    DECK_KONG_REDIS_PASSWORD: "none",
  });
  const [acme, bolt] = CALLERS.map(({ key = "", tier }) => ({
    acls: [{ group: tier }],
    keyauth_credentials: [{ key }],
  }));
  const consumers: Consumer[] = [
    ...file.consumers.map(({ plugins, ...consumer }) => ({
      ...consumer,
      plugins: plugins?.filter(({ name }) => name !== "request-termination"),
    })),
    { username: "acme", custom_id: "acct-42", acls: [], ...acme },
    { username: "bolt", acls: [], ...bolt },
  ];
  return { ...file, consumers };
}

interface Answer {
  status: number | undefined;
  tier: string | undefined;
  /** Of the month, if the tier has a quota. */
  left: number | undefined;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Calls with these lines of `Connection`, and these fields beside. */
export async function call(
  url: string,
  key: string | undefined,
  connection: readonly string[],
  fields: Record<string, string | string[]> = {},
): Promise<Answer> {
  const call = request(`${url}/v1/identify`, {
    method: "POST",
    agent: false,
    headers: {
      "content-type": "application/json",
      "content-length": BODY.length,
      ...(key === undefined ? {} : { "x-api-key": key }),
      ...(connection.length > 0 ? { connection: [...connection] } : {}),
      ...fields,
    },
  });
  call.on("error", () => undefined); // One after the answer; of one before it `once` tells.
  call.end(BODY);
  const [response] = (await once(call, "response")) as [IncomingMessage];
  const month = response.headers["x-quota-monthly-remaining"];
  return {
    status: response.statusCode,
    tier: response.headers["x-quota-tier"]?.toString(),
    left: month === undefined ? undefined : Number(month),
    headers: response.headers,
    body: await text(response),
  };
}

/** How many buckets the app has. */
async function bucketsOf(app: string): Promise<number> {
  const metrics = await (await fetch(`${app}/metrics`)).text();
  return Number(/^tollkeeper_keys(?:\{.*\})? (\d+)$/m.exec(metrics)?.[1]);
}

/** What may be in `Connection`: each field that is relied on, in each form, is refused; what clients do send is not. */
const ROWS = [
  ...RELIED_ON.flatMap((name) =>
    Object.entries(FORMS).map(([form, lines]) => ({ name, form, lines: lines(name), isRefused: true })),
  ),
  ...Object.entries(HARMLESS).map(([form, lines]) => ({ name: "nothing", form, lines, isRefused: false })),
];

/** Calls once with each row; how many passed, and by outcome the forms of those that went wrong. */
async function callWithAll(url: string, key: string | undefined, tier: string) {
  let passed = 0;
  const wrong = new Map<string, string[]>();
  for (let first = 0; first < ROWS.length; first += CALLS_AT_ONCE) {
    const calls = ROWS.slice(first, first + CALLS_AT_ONCE).map(async ({ name, form, lines, isRefused }) => {
      const { status, tier: charged, body } = await call(url, key, lines);
      if (status === 200) passed++;
      const isRight = isRefused
        ? status === 400 && JSON.parse(body).code === "connection_option_refused"
        : status === 200 && charged === tier;
      const outcome = `${name}: ${status} ${charged ?? body}`;
      if (!isRight) wrong.set(outcome, [...(wrong.get(outcome) ?? []), form]);
    });
    await Promise.all(calls);
  }
  return {
    passed,
    wrong: [...wrong].map(([outcome, forms]) => `${outcome}, ${forms.length} forms: ${forms.join("; ")}`),
  };
}

/** The same with fields that only a gateway may send, as a client sends them: no such call is another's, or of another tier. */
async function claimAll(url: string, key: string | undefined, tier: string) {
  let passed = 0;
  const wrong: string[] = [];
  for (const name of RELIED_ON.filter((field) => field.startsWith("X-") && field !== "X-API-Key")) {
    const claims: [string, string | string[]][] = [
      [name, "enterprise"],
      [name.toUpperCase(), ["enterprise", "victim"]],
      [name.replaceAll("-", "_"), "enterprise"],
      [name.replace(/-(?=[^-]*$)/, "_").toLowerCase(), "true"],
    ];
    for (const [field, value] of claims) {
      const { status, tier: charged, body } = await call(url, key, [], { [field]: value });
      if (status === 200) passed++;
      if (status !== 200 || charged !== tier) wrong.push(`${field}: ${value}: ${status} ${charged ?? body}`);
    }
  }
  return { passed, wrong };
}

/**
 * Names each field that is relied on in each form, as each caller: the gateway refuses, which spends nothing. Then sends
 * lines that clients do send, and claims what only a gateway may say: nothing is changed.
 */
export async function expectSameAccounts(gateway: string, app: string): Promise<void> {
  const wrong: string[] = [];
  for (const { who, key, tier } of CALLERS) {
    const before = await call(gateway, key, []);
    expect(before).toMatchObject({ status: 200, tier });
    const buckets = await bucketsOf(app);
    const named = await callWithAll(gateway, key, tier);
    const claimed = await claimAll(gateway, key, tier);
    const passed = named.passed + claimed.passed;
    const after = await call(gateway, key, []);
    const charged = (before.left ?? 0) - (after.left ?? 0) - 1;
    if (before.left !== undefined && charged !== passed) {
      wrong.push(`${who}: ${passed} calls passed, ${charged} were charged`);
    }
    const more = (await bucketsOf(app)) - buckets;
    if (more > 0) wrong.push(`${who}: ${more} buckets more`);
    wrong.push(...[...named.wrong, ...claimed.wrong].map((outcome) => `${who}, ${outcome}`));
  }
  expect(wrong).toEqual([]);
}
