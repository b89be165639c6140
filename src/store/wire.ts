import { type CostMilli, costAt } from "../engine/cost.js";
import type { Quota } from "../engine/quota.js";
import type { Tier, TierLimit } from "../engine/tier.js";
import type { Command, Present, Snapshot } from "./protocol.js";

/** A tier's limits as the script takes them, by tier: a reload brings other objects. */
const prepared = new WeakMap<Tier, readonly string[]>();

/** What of a call's arguments depends on the connection. */
export interface Sender {
  readonly server: string;
  readonly channel: string;
  readonly caller: string;
}

/** The arguments of the script for commands of as many keys, without the keys. */
export function argumentsOf(commands: readonly Command[], { server, channel, caller }: Sender): string[] {
  const tiers: Tier[] = [];
  const line: string[] = [];
  for (const command of commands) {
    const { op, tier, lane = 0, snapshot, nowMs } = command;
    let tierIndex = tiers.indexOf(tier);
    if (tierIndex < 0) tierIndex = tiers.push(tier) - 1;
    line.push(op, text(nowMs), String(tierIndex + 1), text(lane));
    pushSnapshot(line, snapshot, tier);
    pushOperation(line, command);
  }
  return [server, channel, caller, String(tiers.length), ...tiers.flatMap(rulesOf), ...line];
}

/**
 * The name of the hash of a key. The braces make it the hash tag in a cluster. A lone surrogate has no form in UTF-8, so
 * it is written out, or two keys would be one.
 */
export function nameOf(prefix: string, key: string): string {
  const isPlain = !/[%\ud800-\udfff]/.test(key); // Nearly all are, and a look costs a tenth of a replacement.
  const written = (unit: string) => `%${unit.charCodeAt(0).toString(16)}.`;
  return `{${prefix}:${isPlain ? key : key.replaceAll(/%|\p{Surrogate}/gu, written)}}`;
}

/** The key of a hash's name. */
export function keyOf(prefix: string, name: string): string {
  const escaped = name.slice(prefix.length + 2, -1);
  return escaped.replaceAll(/%([0-9a-f]+)\./g, (_, unit: string) => String.fromCharCode(Number.parseInt(unit, 16)));
}

function pushSnapshot(line: string[], snapshot: Snapshot | undefined, tier: Tier): void {
  if (snapshot === undefined || snapshot.epoch === "") {
    line.push("");
    return;
  }
  line.push(snapshot.epoch, text(snapshot.atMs));
  for (let index = 0; index < tier.limits.length; index++) line.push(text(snapshot.spent[index]));
}

function pushOperation(line: string[], command: Command): void {
  switch (command.op) {
    case "take":
      pushNeed(line, command.need, command.tier);
      line.push(text(command.want), text(command.divisor), text(command.outMs), command.isShared ? "1" : "0");
      line.push(text(command.place), presentText(command.present));
      break;
    case "peek":
      pushNeed(line, command.need, command.tier);
      line.push(presentText(command.present));
      break;
    case "release":
      line.push(text(command.place));
      break;
    case "hold":
      line.push(text(command.place), text(command.atMs));
      break;
    case "grant":
      line.push(text(command.limit + 1), text(command.milli), command.keeps ? "1" : "0");
      break;
    case "adjust":
      line.push(text(command.atMs), wordsOf(command), text(command.sequence));
      for (let index = 0; index < command.tier.limits.length; index++) line.push(text(command.deltas[index] ?? 0));
      break;
    case "reset":
    case "leave":
      break;
  }
}

function pushNeed(line: string[], need: CostMilli, { limits }: Tier): void {
  line.push(text(typeof need === "number" ? need : undefined));
  if (typeof need !== "number")
    for (let index = 0; index < limits.length; index++) line.push(text(costAt(need, index)));
}

function wordsOf({ quotasOnly, tell, isRetry, unused, duringOutage }: Command & { op: "adjust" }): string {
  const words = [
    quotasOnly && "quotas",
    tell && "tell",
    isRetry && "retry",
    unused && "unused",
    duringOutage && "outage",
  ];
  return words.filter((word) => word !== false).join(" ");
}

function rulesOf(tier: Tier): readonly string[] {
  let rules = prepared.get(tier);
  if (rules === undefined) {
    rules = [String(tier.limits.length), ...tier.limits.flatMap(ruleOf)];
    prepared.set(tier, rules);
  }
  return rules;
}

function ruleOf({ name, rule }: TierLimit): readonly string[] {
  if (rule.type === "bucket") {
    return [name, `b ${rule.capacity} ${rule.perMs} ${rule.perMilli}`, text(rule.initial), text(rule.block)];
  }
  if (rule.type === "concurrency") return [name, `c ${rule.limit} ${rule.timeoutMs}`, "0", "0"];
  return [name, `q ${rule.maxCostMilli} ${spanOf(rule)}`, "0", "0"];
}

/** How a rule's text tells a period; days and months as numbers alone, as they always were. */
function spanOf({ period, anchor }: Quota): string {
  switch (period) {
    case "day":
      return "0";
    case "month":
      return String(anchor);
    case "week":
    case "year":
      return `${period}:${anchor}`;
    case "hour":
    case "once":
      return period;
  }
}

/** An instant, and after it each replica by a space. */
function presentText(present: Present | undefined): string {
  return present === undefined ? "" : [present.atMs, ...present.replicas].join(" ");
}

function text(number: number | undefined): string {
  return number === undefined ? "" : String(number);
}
