import type { Tier, TierLimit } from "../engine/tier.js";
import type { Command, Reply } from "./protocol.js";

/** The fixed part of a tier's limits as the script takes it, by tier: a reload brings other objects. */
const prepared = new WeakMap<Tier, readonly (readonly string[])[]>();

/** What of a command's arguments depends on the connection. */
export interface Sender {
  readonly server: string;
  readonly channel: string;
  readonly caller: string;
}

/** The arguments of the script, without the key. */
export function argumentsOf(command: Command, { server, channel, caller }: Sender): string[] {
  const { op, tier, known, nowMs } = command;
  const line = [op, text(nowMs), server, channel, caller, known?.epoch ?? "", text(known?.atMs)];
  line.push(...numbersOf(command), String(op === "reset" ? 0 : tier.limits.length));
  if (op === "reset") return line;
  rulesOf(tier).forEach((rule, index) => {
    line.push(...rule, text(known?.spent[index]), op === "adjust" ? text(command.deltas[index]) : "0");
  });
  return line;
}

/** The script's answer as it comes over the wire. */
export function replyOf([denied, granted, nowMs, epoch, ...spent]: unknown[]): Reply {
  return {
    denied: Number(denied),
    granted: Number(granted),
    nowMs: Number(nowMs),
    epoch: String(epoch),
    spent: spent.map(Number),
  };
}

/**
 * The name of the hash of a key. The braces make it the hash tag in a cluster. A lone surrogate has no form in UTF-8, so
 * it is written out, or two keys would be one.
 */
export function nameOf(prefix: string, key: string): string {
  return `{${prefix}:${key.replaceAll(/%|\p{Surrogate}/gu, (unit) => `%${unit.charCodeAt(0).toString(16)}.`)}}`;
}

/** The key of a hash's name. */
export function keyOf(prefix: string, name: string): string {
  const escaped = name.slice(prefix.length + 2, -1);
  return escaped.replaceAll(/%([0-9a-f]+)\./g, (_, unit: string) => String.fromCharCode(Number.parseInt(unit, 16)));
}

function numbersOf(command: Command): string[] {
  switch (command.op) {
    case "take":
      return [text(command.need), text(command.want), text(command.divisor)];
    case "peek":
      return [text(command.need), "", ""];
    case "adjust":
      return [text(command.atMs), flagsOf(command), text(command.number)];
    case "reset":
      return ["", "", ""];
  }
}

function flagsOf({ quotasOnly, tell, again, unused }: Command & { op: "adjust" }): string {
  return String((quotasOnly ? 1 : 0) + (tell ? 2 : 0) + (again ? 4 : 0) + (unused ? 8 : 0));
}

function rulesOf(tier: Tier): readonly (readonly string[])[] {
  let rules = prepared.get(tier);
  if (rules === undefined) {
    rules = tier.limits.map(ruleOf);
    prepared.set(tier, rules);
  }
  return rules;
}

function ruleOf({ name, rule }: TierLimit): readonly string[] {
  if (rule.type === "bucket") {
    return [name, "b", text(rule.capacity), text(rule.perMs), text(rule.perMilli), text(rule.initial)];
  }
  return [name, "q", text(rule.maxCostMilli), text(rule.period === "day" ? 0 : rule.anchorDay), "0", "0"];
}

function text(number: number | undefined): string {
  return number === undefined ? "" : String(number);
}
