import { readEpoch } from "../engine/epoch.js";
import { LEASE_FRAME } from "../engine/lease-frame.js";
import { isOfOneKey } from "../store/key-error.js";
import type { Snapshot } from "../store/protocol.js";
import type { CountedTier } from "./counted-tiers.js";
import { ONCE } from "./outbox.js";
import type { Parts } from "./parts.js";

const { NOW, SPENT } = LEASE_FRAME;

/** Keys reported at once. */
const BATCH = 256;

/** What is known of a key. */
interface Told extends Pick<CountedTier, "tier" | "boundTier"> {
  readonly key: string;
  readonly snapshot: Snapshot;
}

/** Reports to a server that may have lost it what is known of every key. */
export async function report(parts: Parts): Promise<void> {
  parts.engine.startReport();
  for (;;) {
    const batch: Told[] = [];
    while (batch.length < BATCH) {
      const page = nextOf(parts);
      if (page.length === 0) break;
      batch.push(...page);
    }
    if (batch.length === 0) return;
    await Promise.all(batch.map((told) => tell(told, parts)));
  }
}

function nextOf({ engine, countedTiers }: Parts): Told[] {
  const { frame } = engine;
  return countedTiers.read(engine.nextReport(), (at, places) => {
    const amounts = places.map((place) => frame[at + SPENT + place] as number);
    const spent = amounts.map((amount) => (Number.isNaN(amount) ? undefined : amount));
    return { snapshot: { epoch: readEpoch(engine, frame, at) ?? "", atMs: frame[at + NOW] as number, spent } };
  });
}

async function tell({ key, tier, boundTier, snapshot }: Told, parts: Parts): Promise<void> {
  const deltas = tier.limits.map(() => 0);
  const about = parts.about(key, tier, snapshot);
  try {
    const reply = await parts.session.run({ op: "adjust", ...about, deltas, atMs: snapshot.atMs, ...ONCE });
    if (boundTier !== undefined) parts.replies.add({ key, boundTier, reply, teaches: true });
  } catch (error) {
    // Of the other keys it is to hear all the same.
    if (!isOfOneKey(error)) throw error;
    parts.openKeys.obtain(key).failed(error, parts.clocks.nowMs());
  }
}
