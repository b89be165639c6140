import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";

const MAX_KEYS = 100_000;
const VICTIMS = 1_000;
const DECISIONS = 10_000_000;
const SAMPLES = 10;
const MOST_GROWTH_MB = 16;

// Ever new keys, of which the idle ones make room for the next, beside keys that stay limited all the time.
const PROGRAM = `
  import { createLimiter } from "tollkeeper";
  const [decisions, maxKeys, victims, samples] = process.argv.slice(1).map(Number);
  const bucket = (limit, windowSeconds) => ({ name: "window", type: "bucket", limit, windowSeconds, burst: 1 });
  const tiers = { guest: { limits: [bucket(2, 1)] }, victim: { limits: [bucket(1, 86_400)] } };
  let now = 1_790_000_000_000;
  const limiter = createLimiter({ tiers, maxKeys, clock: () => now });
  for (let key = 0; key < victims; key++) limiter.consume("victim:" + key, "victim");
  let next = 0;
  let freed = 0;
  const spend = (count) => {
    for (let call = 0; call < count; call++) {
      if (++next % 200 === 0) now++;
      limiter.consume("guest:" + next, "guest");
      if (next % 100 === 0 && limiter.consume("victim:" + ((next / 100) % victims), "victim").allowed) freed++;
    }
    return new Promise((resolve) => setTimeout(resolve, 20)); // for the sweep
  };
  const resident = () => (gc(), gc(), process.memoryUsage.rss());
  await spend(maxKeys * 20); // fills the table, and the heap of JavaScript finds its size
  const begun = resident();
  const grown = [];
  for (let sample = 0; sample < samples; sample++) {
    await spend(decisions / samples);
    grown.push((resident() - begun) / 2 ** 20);
  }
  const { keys, evictions, overflow } = limiter.stats();
  process.stdout.write(JSON.stringify({ begun: begun / 2 ** 20, grown, freed, keys, evictions, overflow }));
`;

it("keeps memory flat under ever new keys, and never frees a limited one", async () => {
  const numbers = [DECISIONS, MAX_KEYS, VICTIMS, SAMPLES].map(String);
  // A young generation of one size, whose growth would hide what is looked for.
  const program = ["--expose-gc", "--max-semi-space-size=1", "--input-type=module", "-e", PROGRAM, ...numbers];
  const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  const [code] = await once(child, "close");
  expect(code).toBe(0);

  const { begun, grown, freed, keys, evictions, overflow } = JSON.parse(output);
  // biome-ignore lint/suspicious/noConsole: the figure is what this test is for
  console.log(
    `${DECISIONS} decisions on ever new keys, ${keys} held, ${evictions} forgotten, ${overflow} on the overflow bucket: ` +
      `${begun.toFixed(1)} MB resident, then ${grown.map((mb: number) => mb.toFixed(1)).join(", ")} more`,
  );
  expect(freed).toBe(0);
  expect(keys).toBeLessThanOrEqual(MAX_KEYS);
  expect(evictions).toBeGreaterThan(DECISIONS / 2);
  expect(Math.max(...grown)).toBeLessThan(MOST_GROWTH_MB);
}, 120_000);
