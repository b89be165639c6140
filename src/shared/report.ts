import { LEASE_FRAME } from "../engine/lease-frame.js";
import { isOfOneKey } from "../store/key-error.js";
import type { Snapshot } from "../store/protocol.js";
import type { Clocks } from "./clocks.js";
import type { CountedTier, CountedTiers } from "./counted-tiers.js";
import { readEpoch } from "./epoch.js";
import type { LeaseDecider } from "./lease-decider.js";
import type { OpenKeys } from "./open-key.js";
import { ONCE } from "./outbox.js";
import type { Replies } from "./replies.js";
import type { StoreClient } from "./store-client.js";

const { KEY_LENGTH, NOW, SPENT, RULES, ROW } = LEASE_FRAME;

/** Keys reported at once. */
const BATCH = 256;

/** What is known of a key. */
interface Told extends Pick<CountedTier, "tier" | "boundTier"> {
  readonly key: string;
  readonly snapshot: Snapshot;
}

/** What a report is made of. */
interface Parts {
  readonly decider: LeaseDecider;
  readonly countedTiers: CountedTiers;
  readonly openKeys: OpenKeys;
  readonly client: StoreClient;
  readonly replies: Replies;
  readonly clocks: Clocks;
}

/** Reports to a server that may have lost it what is known of every key. */
export async function report(parts: Parts): Promise<void> {
  const { decider, countedTiers } = parts;
  decider.engine.startReport();
  for (;;) {
    const batch: Told[] = [];
    while (batch.length < BATCH) {
      const page = nextOf(decider, countedTiers);
      if (page.length === 0) break;
      batch.push(...page);
    }
    if (batch.length === 0) return;
    await Promise.all(batch.map((told) => tell(told, parts)));
  }
}

function nextOf({ engine }: LeaseDecider, countedTiers: CountedTiers): Told[] {
  const { count, keys } = engine.nextReport();
  const { frame } = engine;
  let start = 0;
  const rows = Array.from({ length: count }, (_, row) => {
    const at = row * ROW;
    const end = start + (frame[at + KEY_LENGTH] as number);
    const key = keys.slice(start, end);
    start = end;
    const epoch = readEpoch(engine, frame, at) ?? "";
    const spent = [...frame.slice(at + SPENT, at + SPENT + 4)];
    return { key, epoch, atMs: frame[at + NOW] as number, spent, rules: frame[at + RULES] as number };
  });
  return rows.map(({ key, epoch, atMs, spent, rules }) => {
    const { tier, boundTier, places } = countedTiers.of(rules);
    const known = places.map((place) => (Number.isNaN(spent[place]) ? undefined : spent[place]));
    return { key, tier, boundTier, snapshot: { epoch, atMs, spent: known } };
  });
}

async function tell(
  { key, tier, boundTier, snapshot }: Told,
  { client, replies, openKeys, clocks }: Parts,
): Promise<void> {
  const deltas = tier.limits.map(() => 0);
  const about = client.about(key, tier, snapshot);
  try {
    const reply = await client.run({ op: "adjust", ...about, deltas, atMs: snapshot.atMs, ...ONCE });
    if (boundTier !== undefined) replies.add({ key, boundTier, reply, teaches: true });
  } catch (error) {
    // Of the other keys it is to hear all the same.
    if (!isOfOneKey(error)) throw error;
    openKeys.obtain(key).failed(error, clocks.nowMs());
  }
}
