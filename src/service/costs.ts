import type { FastifyRequest } from "fastify";
import type { FixedToll } from "tollkeeper/fastify";
import type { Config } from "./config/schema.js";
import type { METERS } from "./meters.js";

/** What the fingerprint routes cost, as the configuration has it at the time of a call. */
export interface Costs {
  identify: () => FixedToll;
  compare: () => FixedToll;
  batch: () => FixedToll;
  /** What a batch of so many items costs of which so many have failed; as much as it was charged where these are charged. */
  settledBatch: (items: number, failed: number) => number;
}

/** Costs that follow a configuration; `items` counts those of a batch. */
export function costsOf(config: Config, items: (request: FastifyRequest) => number): Costs {
  return {
    identify: following(
      () => config.identifyCost,
      (cost) => flat("identify", cost),
    ),
    compare: following(
      () => config.compareCost,
      (cost) => flat("compare", cost),
    ),
    batch: following(
      () => `${config.batchBaseCost} ${config.batchItemCost}`,
      () => perItem(config, items),
    ),
    settledBatch: (items, failed) => {
      const { batchBaseCost, batchItemCost, batchFailedItems } = config;
      // One is always paid for: what fails was read all the same.
      const paid = batchFailedItems === "free" ? Math.max(1, items - failed) : items;
      return rounded(batchBaseCost + batchItemCost * paid);
    },
  };
}

function flat(meter: (typeof METERS)[number], cost: number): FixedToll {
  return cost === 0 ? { cost, identified: true, meter } : { cost, meter };
}

/** A batch pays for its first item before it is read, and for the others after. */
function perItem({ batchBaseCost, batchItemCost }: Config, items: (request: FastifyRequest) => number): FixedToll {
  const first = rounded(batchBaseCost + batchItemCost);
  if (batchItemCost === 0) return flat("batch", first);
  return { cost: first, meter: "batch", total: (request) => rounded(batchBaseCost + batchItemCost * items(request)) };
}

function rounded(cost: number): number {
  return Math.round(cost * 1000) / 1000;
}

/** One toll for as long as what it is made from stays the same. */
function following<T>(read: () => T, make: (from: T) => FixedToll): () => FixedToll {
  let from = read();
  let toll = make(from);
  return () => {
    const now = read();
    if (now !== from) {
      from = now;
      toll = make(now);
    }
    return toll;
  };
}
