/** Both engines of leases, with the same operations and the same answers of a store. More of them in `npm run proof`. */
import { expect, it } from "vitest";
import { difference, runOf, shortened, type Tally } from "./lease-comparison.js";

/** How many operations are compared at least, and the seed of the first run. */
const OPERATIONS = Number(process.env["LEASE_OPERATIONS"] ?? 5000);
const FIRST_SEED = Number(process.env["LEASE_SEED"] ?? Date.now() % 2 ** 30);

/** What must have come up in so many operations, or the comparison says little. */
const MANY = 50_000;
const OUTCOMES = [
  ...["allowed", "denied", "ASK", "LOW", "PROVISIONAL", "RETURNS"].map((outcome) => `burst: ${outcome}`),
  ...["KEPT", "STALE", "FULL"].map((code) => `answer: ${code}`),
  "peek: allowed",
];

it("the native and the JavaScript engine of leases tell the same", () => {
  const tally: Tally = new Map();
  let operations = 0;
  for (let seed = FIRST_SEED; operations < OPERATIONS; seed++) {
    const run = runOf(seed);
    operations += run.operations.length;
    if (difference(run, tally) === undefined) continue;
    const shorter = shortened(run);
    const { native, js, at } = difference(shorter) ?? {};
    const lines = [...shorter.versions, ...shorter.operations].map((each) => JSON.stringify(each));
    expect(native, `LEASE_SEED=${seed}, operation ${at} of\n${lines.join("\n")}\n`).toEqual(js);
  }
  if (operations >= MANY) for (const outcome of OUTCOMES) expect(tally.get(outcome), outcome).toBeGreaterThan(0);
  process.stdout.write(`${operations} operations from LEASE_SEED=${FIRST_SEED} on: ${[...tally].sort().join(" ")}\n`);
}, 600_000);
