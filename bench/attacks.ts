/**
 * What attackers do to callers that pay: 200 calls of `POST /v1/identify` a second, without and with each attack, in one
 * run. The attackers have a key that no limit denies, so that what defends is not that.
 */

import { Child } from "./child.js";
import { ATTACK_NAMES, type AttackName, type Done, type Order } from "./children/attacker.js";
import type { Load, Outcome } from "./children/payers.js";
import type { Address, Question, State } from "./children/victim.js";
import type { Options } from "./options.js";
import type { Result } from "./report.js";
import { rounded } from "./statistics.js";

/** Files that a process may have open beside the connections of slow readers. */
const OTHER_FILES = 1000;

/** One attack, and what it came to. */
interface Row {
  attack: AttackName;
  without: Outcome;
  during: Outcome;
  before: State;
  after: State;
  done: Done;
}

export async function attacks({ quick }: Options): Promise<Result> {
  const [seconds, readers, keys] = quick ? [2, 100, 1000] : [5, 1000, 20_000];
  const files = readers + OTHER_FILES;
  const victim = new Child<Question, unknown>("victim", { args: [String(keys)], processor: 0, files });
  const payers = new Child<Load, Outcome>("payers", { processor: 1 });
  const attacker = new Child<Order, Done>("attacker", { processor: 1, files });
  const rows: Row[] = [];
  try {
    const target = (await victim.ask("address")) as Address;
    const load = { url: target.url, key: target.payer, seconds };
    // The first ones compile the code.
    await payers.ask({ ...load, seconds: 2 });
    for (const attack of ATTACK_NAMES) {
      const without = await payers.ask(load);
      const before = (await victim.ask("state")) as State;
      const attacking = attacker.ask({ attack, target, seconds, readers });
      const during = await payers.ask(load);
      const after = (await victim.ask("state")) as State;
      rows.push({ attack, without, during, before, after, done: await attacking });
    }
  } finally {
    await Promise.all([attacker, payers, victim].map((child) => child.stop()));
  }
  return resultOf(rows, { readers, keys });
}

function resultOf(rows: readonly Row[], { readers, keys }: { readers: number; keys: number }): Result {
  const bars = (figure: "p50Ms" | "p99Ms") =>
    rows.flatMap(({ attack, without, during }) => [
      { column: "without", name: attack, value: without[figure] },
      { column: "during", name: attack, value: during[figure] },
    ]);
  const added = ({ before, after }: Row, figure: keyof State) => after[figure] - before[figure];
  return {
    title: `paying callers without and under attack; ${readers} slow readers, ${keys} keys`,
    rows,
    tables: [
      {
        title: "paying callers, ms from when a call was due",
        rows: Object.fromEntries(
          rows.map(({ attack, without, during }) => [
            attack,
            {
              "p50 without": rounded(without.p50Ms),
              "p50 during": rounded(during.p50Ms),
              "p99 without": rounded(without.p99Ms),
              "p99 during": rounded(during.p99Ms),
              "most during": rounded(during.maxMs),
              failed: without.failed + during.failed,
            },
          ]),
        ),
      },
      {
        title: "the attack",
        rows: Object.fromEntries(
          rows.map((row) => [
            row.attack,
            {
              "done, times": row.done.times,
              answers: JSON.stringify(row.done.answers),
              "held, s": rounded(row.done.heldSeconds),
              "RSS before, MiB": Math.round(row.before.rssMiB),
              "RSS after, MiB": Math.round(row.after.rssMiB),
              "logged, bytes": added(row, "loggedBytes"),
              "audit log, bytes": added(row, "auditBytes"),
            },
          ]),
        ),
      },
    ],
    panels: [
      { title: "POST /v1/identify, p50", unit: "ms, less is better", bars: bars("p50Ms") },
      { title: "POST /v1/identify, p99", unit: "ms, less is better", bars: bars("p99Ms") },
    ],
  };
}
