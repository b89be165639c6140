import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";

const LIMITERS = 2_000;
const MOST_GROWTH_MB = 160;

// Every limiter is still held when memory is looked at, and nothing asks for a collection.
const PROGRAM = `
  import { createLimiter } from "tollkeeper";
  const [limiters, users] = process.argv.slice(1).map(Number);
  const tiers = { free: { limits: [{ name: "minute", type: "bucket", limit: 9, windowSeconds: 60, burst: 1 }] } };
  const held = [];
  const round = async (name) => {
    const opened = Array.from({ length: users }, () => createLimiter({ tiers, engine: "native", ...(name && { name }) }));
    for (let key = 0; key < 3_000; key++) opened[key % users].consume("key " + key, "free");
    for (const limiter of opened) await limiter.close();
    held.push(...opened);
  };
  for (let limiter = 0; limiter < 100; limiter++) await round();
  const before = process.memoryUsage().rss;
  for (let limiter = 0; limiter < limiters / users; limiter++) await round(users > 1 ? "named " + limiter : undefined);
  process.stdout.write(String((process.memoryUsage().rss - before) / 2 ** 20));
`;

it.each([
  [1, "a table of its own"],
  [2, "a named table with the last of two users"],
])(
  "a closed limiter frees its keys at once: %i, %s",
  async (users) => {
    const program = ["--input-type=module", "-e", PROGRAM, String(LIMITERS), String(users)];
    const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
    const [code] = await once(child, "close");
    expect(code).toBe(0);
    const grown = Number(output);
    // biome-ignore lint/suspicious/noConsole: the figure is what this test is for
    console.log(
      `${LIMITERS} limiters of 3,000 keys opened and closed, ${users} to a table: ${grown.toFixed(1)} MB more resident`,
    );
    expect(grown).toBeLessThan(MOST_GROWTH_MB);
  },
  120_000,
);
