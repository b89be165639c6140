import { MAX_AMOUNT, MAX_BLOCK } from "../engine/amount.js";
import { costAt, mostOf } from "../engine/cost.js";
import type { TierLimit } from "../engine/tier.js";
import { LONGEST_OUT_MS } from "./lua/key-state.js";
import { ABSENT_MS } from "./lua/replicas.js";
import type { Command, Membership, Reply } from "./protocol.js";

/** What stands in an answer before the amounts. */
const HEAD = 6;

/** How an epoch is written: the server, an instant, and a `+` for each reset within it. */
const EPOCH = /^[\w.-]{0,40}:\d{1,16}\+*$/;

/** Units of what is wrong in an answer that are shown at most. */
const SHOWN = 40;

/** An answer that no script of ours gives; its message says what of it can't be. */
export class StrangeAnswer extends Error {}

/** Parts the script's answer for so many commands into theirs, and the first refusal of what should have followed a write. */
export function partsOf(answer: unknown, commands: number): { parts: unknown[]; refused: string | undefined } {
  if (!Array.isArray(answer)) throw new StrangeAnswer(`${shown(answer)} for a list`);
  const parts: unknown[] = answer.slice(0, commands);
  const [refused, ...more]: unknown[] = answer.slice(commands);
  if (parts.length < commands || more.length > 0) {
    throw new StrangeAnswer(`${answer.length} answers to ${commands} commands`);
  }
  if (refused !== undefined && typeof refused !== "string") throw new StrangeAnswer(`${shown(refused)} for a refusal`);
  return { parts, refused };
}

/**
 * The script's answer to one command. What is granted is believed only as far as it was asked for and is counted as spent,
 * and a denial only if the amounts deny.
 *
 * @throws {StrangeAnswer} if the script would not have answered so
 */
export function replyOf(answer: unknown, command: Command): Reply {
  if (!Array.isArray(answer)) throw new StrangeAnswer(`${shown(answer)} for a list`);
  const { length } = command.tier.limits;
  const amounts = answer.length - HEAD;
  // What was granted comes after what is spent, where something was, and whether it is kept.
  if (amounts !== length && amounts !== 2 * length + 1 && amounts !== 0)
    throw new StrangeAnswer(`${amounts} amounts of ${length} limits`);
  const nowMs = whole(answer[2], MAX_AMOUNT, "the time");
  const credits = answer
    .slice(HEAD + length, HEAD + 2 * length)
    .map((credit) => whole(credit, MAX_AMOUNT, "what was granted"));
  const reply = {
    denied: whole(answer[0], length, "the limit that denies"),
    granted: whole(answer[1], mostGranted(command), "the grant"),
    nowMs,
    lagMs: whole(answer[3], nowMs, "the lag"),
    epoch: epochOf(answer[4]),
    backMs: whole(answer[5], LONGEST_OUT_MS, "until when tokens come back"),
    isExact: amounts > length && whole(answer[HEAD + 2 * length], 1, "whether something is kept") === 1,
    spent: command.tier.limits.slice(0, amounts).map((limit, index) => {
      const credit = limit.rule.type === "quota" ? (credits[index] ?? 0) : 0;
      return whole(answer[HEAD + index], largestOf(limit), "an amount", 0 - credit);
    }),
  };
  // Of what is not there, and of what was reset, nothing is spent.
  const isThere = reply.epoch !== "" && command.op !== "reset";
  if (isThere !== amounts > 0) throw new StrangeAnswer(`${amounts} amounts in the epoch "${reply.epoch}"`);
  if (isDecision(command)) checkDecision(reply, command, credits);
  else if (reply.denied > 0) throw new StrangeAnswer(`a denial of ${command.op}`);
  return reply;
}

/**
 * The registry's answer to a heartbeat, and what kinds others have told.
 *
 * @throws {StrangeAnswer} if the script would not have answered so
 */
export function membershipOf(
  answer: unknown,
  replica: string,
  isLeaving: boolean,
): Required<Membership> & { others: string[] } {
  if (!Array.isArray(answer) || answer.length !== 5) throw new StrangeAnswer(`${shown(answer)} to a heartbeat`);
  const replicas = texts(answer[1]);
  if (!isLeaving && !replicas.includes(replica))
    throw new StrangeAnswer("a list of replicas without the one that asks");
  return {
    recoveringMs: whole(answer[0], ABSENT_MS, "the wait"),
    replicas,
    others: texts(answer[2]),
    isFull: whole(answer[3], 1, "whether there is room") === 1,
    atMs: whole(answer[4], MAX_AMOUNT, "the time"),
  };
}

/** The largest amount that a limit counts, or says of a block. */
function largestOf(limit: TierLimit): number {
  return limit.rule.type === "bucket" && limit.rule.isBlocking ? MAX_AMOUNT + MAX_BLOCK : MAX_AMOUNT;
}

type Decision = Command & { op: "take" | "peek" };

function isDecision(command: Command): command is Decision {
  return command.op === "take" || command.op === "peek";
}

/** What a command can be granted at most. */
function mostGranted(command: Command): number {
  if (command.op === "grant") return command.milli;
  if (command.op === "release") return command.tier.limits.length;
  if (command.op !== "take") return 0;
  const { need, want, tier } = command;
  return Math.max(mostOf(need, tier.limits.length), typeof need === "number" ? want : 0);
}

function checkDecision(
  { denied, granted, nowMs, epoch, spent }: Reply,
  { op, need, tier }: Decision,
  credits: readonly number[],
): void {
  if (epoch === "") throw new StrangeAnswer(`a ${op} of a key that is not there`);
  if (denied > 0) {
    if (granted > 0) throw new StrangeAnswer(`a denial with a grant of ${granted}`);
    const rule = tier.limits[denied - 1]?.rule;
    const needed = costAt(need, denied - 1);
    if (needed === 0 || rule?.waitMs(spent[denied - 1] ?? 0, needed, nowMs) === 0)
      throw new StrangeAnswer("a denial where there is room");
    return;
  }
  if (op === "peek") return;
  const most = mostOf(need, tier.limits.length);
  if (granted < most) throw new StrangeAnswer(`a grant of ${granted} where ${most} were needed`);
  tier.limits.forEach(({ rule }, index) => {
    if (rule.type === "concurrency") return; // What it says of them is of this instant, and is kept nowhere.
    const milli = typeof need === "number" ? granted : costAt(need, index);
    const units = milli * (rule.type === "bucket" ? rule.perMilli : 1);
    if (units > (spent[index] ?? 0) + (credits[index] ?? 0))
      throw new StrangeAnswer(`a grant of ${granted} that was not spent`);
  });
}

function epochOf(value: unknown): string {
  if (typeof value !== "string" || (value !== "" && !EPOCH.test(value)))
    throw new StrangeAnswer(`the epoch ${shown(value)}`);
  return value;
}

/** A whole number, from 0 if nothing else is said, also as text: the app may have ioredis give numbers so. */
function whole(value: unknown, most: number, what: string, least = 0): number {
  const number = typeof value === "string" && /^-?\d{1,16}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= least && number <= most) return number;
  const from = least === 0 ? "" : `from ${least} `;
  throw new StrangeAnswer(`${what} is ${shown(value)}, where it is a whole number ${from}up to ${most}`);
}

function texts(value: unknown): string[] {
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw new StrangeAnswer(`${shown(value)} for a list of texts`);
}

function shown(value: unknown): string {
  return `"${String(value).slice(0, SHOWN)}"`;
}
