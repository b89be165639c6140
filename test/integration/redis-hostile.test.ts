import { expect, it, onTestFinished, vi } from "vitest";
import { Relay } from "../redis/relay.js";
import { newPrefix, openReplicas } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";

const server = await redisForFile();
const SOON = { timeout: 20_000, interval: 50 };
const LIMIT = 20;
const TIERS = { t: { limits: [{ name: "day", type: "quota", limit: LIMIT, period: "day" }] } } as const;

/** An answer of the script to some commands, each of a key with one limit: everything before the amount, and the amount. */
const ANSWER = /\*7\r\n:(\d+)\r\n:(\d+)\r\n:(\d+)\r\n:(\d+)\r\n\$\d+\r\n([^\r]*)\r\n:(\d+)\r\n:(\d+)\r\n/g;

/** What a server may make of the answer to each command. */
const HOSTILE: Record<string, (answer: string[]) => string> = {
  "grants a thousand times as much": (answer) => written(answer.with(1, `${1000 + Number(answer[1]) * 1000}`)),
  "grants one thousandth more than was wanted": (answer) => written(answer.with(1, "1001")),
  "grants and counts nothing as spent": (answer) => written(answer[1] === "0" ? answer : answer.with(6, "0")),
  "grants less than nothing": (answer) => written(answer.with(1, "-1000")),
  "grants nothing, and denies nothing": (answer) => written(answer.with(1, "0")),
  "denies where there is room": (answer) => written(answer.with(0, "1").with(1, "0").with(6, "0")),
  "denies by a limit that there is not": (answer) => written(answer.with(0, "2").with(1, "0")),
  "tells the time of another age": (answer) => written(answer.with(2, "9007199254740993")),
  "tells a lag that is longer than time": (answer) => written(answer.with(3, `${Number(answer[2]) + 1}`)),
  "tells an epoch of another form": (answer) => written(answer.with(4, "nobody")),
  "tells of tokens that come back in a year": (answer) => written(answer.with(5, "31536000000")),
  "tells an amount that nothing can be": (answer) => written(answer.with(6, "9007199254740992")),
  "tells an amount below nothing": (answer) => written(answer.with(6, "-1")),
  "leaves an amount out": (answer) =>
    written(answer)
      .replace("*7", "*6")
      .replace(/:-?\d+\r\n$/, ""),
  "tells an amount more": (answer) => `${written(answer).replace("*7", "*8")}:0\r\n`,
  "tells nil for an amount": (answer) => written(answer).replace(/:-?\d+\r\n$/, "$-1\r\n"),
  "tells a list for the limit that denies": (answer) => written(answer).replace(/:\d+/, "*1\r\n:0"),
  "answers a text": () => "$2\r\nOK\r\n",
  "answers nil": () => "$-1\r\n",
};

/** What a server may make of all answers of a call. */
const OF_ALL: Record<string, (count: number, answers: string) => string> = {
  "answers more than was asked": (count, answers) => `*${count + 2}\r\n${answers}:0\r\n:0\r\n`,
  "answers less than was asked": () => "*0\r\n",
  "tells a refusal that is no text": (count, answers) => `*${count + 1}\r\n${answers}:1\r\n`,
};

function written(answer: readonly string[]): string {
  const [denied, granted, now, lag, epoch = "", back, spent] = answer;
  return `*7\r\n:${denied}\r\n:${granted}\r\n:${now}\r\n:${lag}\r\n$${epoch.length}\r\n${epoch}\r\n:${back}\r\n:${spent}\r\n`;
}

async function relayed(): Promise<Relay> {
  const relay = await Relay.start(server.port);
  onTestFinished(() => relay.stop());
  return relay;
}

const edits = {
  ...Object.fromEntries(
    Object.entries(HOSTILE).map(([does, answered]) => [
      does,
      (text: string) => text.replace(ANSWER, (_, ...answer: string[]) => answered(answer.slice(0, 7))),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(OF_ALL).map(([does, answered]) => [
      does,
      (text: string) =>
        text.replace(/^\*(\d+)\r\n(\*7[\s\S]*)$/, (_, count: string, all: string) => answered(Number(count), all)),
    ]),
  ),
};

it.each(["leased", "exact"] as const)(
  "%s: whatever a server answers, it is told as its fault, and nobody is let in beyond the limit",
  async (mode) => {
    for (const [does, edit] of Object.entries(edits)) {
      const relay = await relayed();
      const told: unknown[] = [];
      const storage = { mode, timeoutMs: 500, prefix: newPrefix(), leaseMs: 200 };
      const [limiter] = await openReplicas(relay.url, [TIERS], storage, told);
      let admitted = 0;
      const call = async () => {
        const decisions = await Promise.all(Array.from({ length: 5 }, () => limiter.consume("k", "t")));
        admitted += decisions.filter(({ allowed }) => allowed).length;
      };
      let edited = 0;
      relay.edit = (text) => {
        const said = edit(text);
        if (said !== text) edited++;
        return said;
      };
      for (let round = 0; round < 6; round++) await call();
      expect(edited, does).toBeGreaterThan(0);
      expect(admitted, does).toBeLessThanOrEqual(LIMIT);
      expect(String(told[0]), does).toMatch(/answered something else than was asked, /);
      expect(told[0], does).toMatchObject({ code: "ERR_STORE_FAILED" });
      relay.edit = (text) => text;
      await vi.waitFor(() => {
        expect(limiter.isReady, does).toBe(true);
        expect(limiter.stats().store.unreconciled, does).toBe(0);
      }, SOON);
      for (let round = 0; round < 6; round++) await call();
      expect(admitted, does).toBeLessThanOrEqual(LIMIT);
    }
  },
  240_000,
);

it("what was corrected counts once, whatever the server makes of the answer to it", async () => {
  const relay = await relayed();
  const prefix = newPrefix();
  const storage = { mode: "exact", timeoutMs: 500, prefix } as const;
  const [limiter] = await openReplicas(relay.url, [TIERS], storage);
  const [auditor] = await openReplicas(server.url, [TIERS], { mode: "exact", prefix });
  const decisions = await Promise.all(Array.from({ length: 10 }, () => limiter.consume("k", "t")));
  expect(decisions.every(({ allowed }) => allowed)).toBe(true);
  let edited = 0;
  relay.edit = (text) => {
    const said = text.replace(ANSWER, (whole) => `${whole.replace("*7", "*8")}:0\r\n`);
    if (said !== text) edited++;
    return said;
  };
  decisions[0]?.refund();
  await vi.waitFor(() => expect(edited).toBeGreaterThan(1), SOON);
  relay.edit = (text) => text;
  await vi.waitFor(() => expect(limiter.stats().store.unreconciled).toBe(0), SOON);
  await vi.waitFor(() => expect(limiter.isReady).toBe(true), SOON);
  // It was sent again until it was heard: once more would be one too many.
  await limiter.consume("another", "t");
  expect((await auditor.peek("k", "t")).limits[0]?.remaining).toBe(LIMIT - 9);
}, 60_000);
