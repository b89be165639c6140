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

/** What would go wrong with places, likewise. */
export const PLACE_FAULTS = {
  "places that nobody gives back": {
    sabotage: () => (command) => (command.op === "release" ? undefined : command),
  },
  "places of which a server that lost them is not told": {
    sabotage: () => (command) => (command.op === "hold" ? undefined : command),
  },
  "places that outlive their replica": {
    sabotage: () => (command) =>
      command.op === "take" || command.op === "peek" ? { ...command, present: undefined } : command,
  },
  "places that are taken from those who are there": {
    sabotage: () => (command) =>
      command.op === "take" && command.present
        ? { ...command, present: { ...command.present, replicas: [] } }
        : command,
  },
  "one place for all calls of a replica": {
    sabotage: () => (command) => (command.op === "take" && command.place ? { ...command, place: 1 } : command),
  },
} satisfies Record<string, Mutation>;
