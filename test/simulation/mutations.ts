import type { Tier } from "../../src/engine/tier.js";
import type { Mutation } from "./world.js";

/** Faults that the protocol once had, as they show from outside. */
export const OLD_FAULTS = {
  "deltas by the rule that is stored": {
    sabotage: () => {
      const stored = new Map<string, Tier>();
      return (command) => {
        if (command.op === "take") stored.set(command.key, command.tier);
        const tier = stored.get(command.key);
        return command.op === "adjust" && tier !== undefined ? { ...command, tier } : command;
      };
    },
  },
  "a refused PUBLISH that ends what has written": { isUnguarded: true },
  "a denial that is final while tokens are out": { garble: (reply) => ({ ...reply, backMs: 0 }) },
  "numbers that nobody drops": {
    isHoarding: true,
    sabotage: () => (command) => (command.op === "leave" ? undefined : command),
  },
  "numbers of the killed that nobody drops": { isHoarding: true },
  "a key's time that is taken for the server's": { garble: (reply) => ({ ...reply, lagMs: 0 }) },
} satisfies Record<string, Mutation>;
