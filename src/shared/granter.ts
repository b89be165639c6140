import { randomInt } from "node:crypto";
import { TollkeeperError } from "../errors.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import type { Grant } from "../limiter/grant.js";
import { isOfOneKey, isRefusal } from "../store/key-error.js";
import type { Command, Reply } from "../store/protocol.js";
import type { Parts } from "./parts.js";

/** How long, in ms, a grant is sent again that the store has not acknowledged. */
const PATIENCE_MS = 5000;
/** Lanes of grants: above those of threads, and so many that no two are the same while the store knows one of them. */
const FIRST_LANE = 2 ** 32;
const LANES = 2 ** 47;

/** Has the store grant tokens: once, however often it has to be told. */
export class Granter {
  readonly #parts: Parts;
  readonly #changed: (key: string) => void;

  /** `changed` is told of each key that was granted something. */
  constructor(parts: Parts, changed: (key: string) => void) {
    this.#parts = parts;
    this.#changed = changed;
  }

  /**
   * Grants a key tokens of a quota; whether that can be counted.
   *
   * @throws {TollkeeperError} `ERR_STORE_UNAVAILABLE` if the store can't be told, or has not acknowledged it for so long.
   */
  async grant(key: string, boundTier: BoundTier, { limit: name, milli, keeps }: Grant): Promise<boolean> {
    const { session, decider, replies } = this.#parts;
    if (!session.isReady) throw unavailable("decisions are not shared just now", undefined);
    const { tier } = boundTier;
    const limit = tier.limits.findIndex((limit) => limit.name === name);
    const about = this.#parts.about(key, tier, decider.look(boundTier, key)?.snapshot);
    const lane = FIRST_LANE + randomInt(LANES);
    const reply = await this.#acknowledged({ op: "grant", ...about, lane, limit, milli, keeps });
    await new Promise<void>((resolve) => {
      replies.add({ key, boundTier, reply, teaches: true, applied: () => resolve() });
    });
    this.#changed(key);
    return reply.granted > 0;
  }

  /** Sends a command until it was answered, or refused. */
  async #acknowledged(command: Command): Promise<Reply> {
    const { session, runtime, clocks, options } = this.#parts;
    const untilMs = clocks.nowMs() + PATIENCE_MS;
    const { server } = session;
    for (;;) {
      let failure: unknown;
      try {
        return await session.run(command);
      } catch (error) {
        if (isRefusal(error) || isOfOneKey(error)) throw error;
        failure = error;
      }
      await new Promise<void>((resolve) => void runtime.after(options.timeoutMs, resolve, true));
      // Another server may have lost it, and be told of what was used less of it: to it it would be granted twice.
      if (clocks.nowMs() >= untilMs || session.server !== server) {
        throw unavailable("whether the tokens were granted nobody knows", failure);
      }
    }
  }
}

function unavailable(why: string, cause: unknown): TollkeeperError {
  return new TollkeeperError("ERR_STORE_UNAVAILABLE", `Redis can't be asked: ${why}`, { cause });
}
