import type { LeaseEngine } from "../engine/lease-engine.js";
import type { Tier } from "../engine/tier.js";
import type { BoundTiers } from "../limiter/bound-tiers.js";
import type { Snapshot } from "../store/protocol.js";
import { Clocks } from "./clocks.js";
import { CountedTiers } from "./counted-tiers.js";
import { LeaseDecider } from "./lease-decider.js";
import type { LeaseOptions } from "./lease-options.js";
import { OpenKeys } from "./open-key.js";
import { Places } from "./places.js";
import { Replies } from "./replies.js";
import type { Runtime } from "./runtime.js";
import type { Session } from "./session.js";

/** What all that decides over a store works with. */
export class Parts {
  readonly engine: LeaseEngine;
  readonly boundTiers: BoundTiers;
  readonly session: Session;
  readonly runtime: Runtime;
  readonly options: LeaseOptions;
  readonly clocks: Clocks;
  readonly countedTiers: CountedTiers;
  readonly openKeys: OpenKeys;
  readonly decider: LeaseDecider;
  readonly replies: Replies;
  readonly places: Places;

  constructor(
    engine: LeaseEngine,
    boundTiers: BoundTiers,
    { session, runtime, options }: Pick<Parts, "session" | "runtime" | "options">,
  ) {
    this.engine = engine;
    this.boundTiers = boundTiers;
    this.session = session;
    this.runtime = runtime;
    this.options = options;
    this.clocks = new Clocks(engine, runtime, options.clock);
    this.countedTiers = new CountedTiers(engine, boundTiers);
    this.openKeys = new OpenKeys(options.maxKeys);
    this.decider = new LeaseDecider(engine, this.clocks, boundTiers);
    this.replies = new Replies(engine, this.clocks);
    this.places = new Places(this);
  }

  /** What every command says of a key. */
  about(key: string, tier: Tier, snapshot?: Snapshot) {
    return { key, tier, snapshot, nowMs: this.clocks.given?.(), lane: this.engine.lane };
  }
}
