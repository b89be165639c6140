import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import { TollkeeperError } from "../errors.js";
import { strange } from "./redis-errors.js";

/** What each command takes after its key, harmless to a key that holds nothing; a command of no key has `undefined`. */
const ARGUMENTS: Readonly<Record<string, readonly string[] | undefined>> = {
  HGETALL: [],
  HGET: ["f"],
  HLEN: [],
  HKEYS: [],
  HEXISTS: ["f"],
  HMGET: ["f"],
  HSCAN: ["0"],
  HSET: ["f", "1"],
  HINCRBY: ["f", "1"],
  HDEL: ["f"],
  EXISTS: [],
  TYPE: [],
  PTTL: [],
  PEXPIRE: ["1000"],
  ZCARD: [],
  ZSCORE: ["m"],
  ZRANGEBYSCORE: ["-inf", "+inf"],
  ZRANGEBYLEX: ["-", "+"],
  ZREVRANGE: ["0", "0"],
  ZADD: ["1", "m"],
  ZREM: ["m"],
  DEL: [],
  TIME: undefined,
};

/** A command with its arguments, and what it is done on. */
export interface Need {
  readonly words: readonly string[];
  readonly key: string | undefined;
  /** As a rule of an ACL has it. */
  readonly rule: string | undefined;
}

/** Everything that a connection is used for. */
export interface Needs {
  /** Scripts, each with the name of a key such as it is given, and the rule that allows it and its like. */
  readonly scripts: readonly (readonly [script: string, key: string, rule: string])[];
  /** On which messages are sent and heard, if any are. */
  readonly channel: string | undefined;
  readonly prefix: string;
  readonly isCluster: boolean;
}

/**
 * Says which of some commands a user may not run. Servers from 7.0 on are asked; with older ones it is tried on keys of no
 * meaning, which are deleted in the end. A refusal for another reason, such as want of memory, is none.
 *
 * Arguments: how many such keys, these, then per command how many words, and these. Answers with which of them may not be run, from 1.
 */
export const RIGHTS = `
local refusals = {'run this command', 'access at least one of the keys', 'publish to the channel'}
local keys = tonumber(ARGV[1])
local missing, at, index = {}, 2 + keys, 0
while at <= #ARGV do
  local words = {}
  for i = 1, tonumber(ARGV[at]) do words[i] = ARGV[at + i] end
  at, index = at + #words + 1, index + 1
  local isRefused = false
  if redis.acl_check_cmd then
    local known, may = pcall(redis.acl_check_cmd, unpack(words))
    isRefused = known and not may
  else
    local answer = redis.pcall(unpack(words))
    for _, text in ipairs(refusals) do
      if type(answer) == 'table' and answer.err and string.find(answer.err, text, 1, true) then isRefused = true end
    end
  end
  if isRefused then missing[#missing + 1] = index end
end
for i = 2, 1 + keys do
  if not redis.acl_check_cmd then redis.pcall('DEL', ARGV[i]) end
end
return missing
`;

const RIGHTS_SHA = createHash("sha1").update(RIGHTS).digest("hex");

/** The commands that a script runs. */
export function commandsOf(script: string): string[] {
  const words = [...script.matchAll(/'([A-Z]{3,})'/g)].map(([, word = ""]) => word);
  return [...new Set(words)].filter((word) => word in ARGUMENTS);
}

/** What a user must be allowed to do. */
export function needsOf({ scripts, channel, prefix, isCluster }: Needs): Need[] {
  const all = `&{${prefix}}:*`;
  const plain = (...words: string[]): Need => ({ words, key: undefined, rule: undefined });
  return [
    plain("INFO"),
    ...(channel === undefined
      ? []
      : [
          { words: ["PUBLISH", channel, ""], key: undefined, rule: all },
          { words: ["SUBSCRIBE", channel], key: undefined, rule: all },
        ]),
    ...(isCluster ? [plain("CLUSTER", "MYID"), plain("CLUSTER", "SLOTS")] : []),
    ...scripts.flatMap(([script, key, rule]) => [
      { words: ["EVAL", "return 1", "1", key], key, rule },
      { words: ["EVALSHA", RIGHTS_SHA, "1", key], key, rule },
      ...commandsOf(script).map((command) => {
        const rest = ARGUMENTS[command];
        return rest === undefined ? plain(command) : { words: [command, key, ...rest], key, rule };
      }),
    ]),
  ];
}

/** The arguments of the script. */
export function lineOf(needs: readonly Need[]): string[] {
  const keys = [...new Set(needs.flatMap(({ key }) => key ?? []))];
  return [String(keys.length), ...keys, ...needs.flatMap(({ words }) => [String(words.length), ...words])];
}

/**
 * Asks one server what the user may not do.
 *
 * @throws {TollkeeperError} `ERR_STORE_REFUSED`, naming it and the rule that allows it; what the client throws
 */
export async function checkRights(server: Redis, needs: readonly Need[], url: string): Promise<void> {
  const missing = await evaluate(server, lineOf(needs));
  if (!Array.isArray(missing)) throw strange(url, "no list of rights");
  const refused = missing.flatMap((index) => needs[index - 1] ?? []);
  if (refused.length > 0) throw refusal(refused, url, server.options.username || "default");
}

async function evaluate(server: Redis, line: readonly string[]): Promise<unknown> {
  try {
    return await server.evalsha(RIGHTS_SHA, 0, ...line);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
    return server.eval(RIGHTS, 0, ...line);
  }
}

function refusal(refused: readonly Need[], url: string, user: string): TollkeeperError {
  const targets = new Map<string | undefined, Set<string>>();
  const rules = new Set<string>();
  for (const { words, rule } of refused) {
    const commands = targets.get(rule) ?? new Set();
    targets.set(rule, commands.add(words[0] ?? ""));
    if (rule !== undefined) rules.add(rule);
  }
  const commands = new Set([...targets.values()].flatMap((each) => [...each].map((word) => `+${word.toLowerCase()}`)));
  const told = [...targets].map(
    ([rule, each]) => [...each].join(", ") + (rule === undefined ? "" : ` on ${rule.slice(1)}`),
  );
  return new TollkeeperError(
    "ERR_STORE_REFUSED",
    `Redis at ${url} does not let the user ${user} do what is needed: ${told.join("; ")}. ` +
      `Grant it with: ACL SETUSER ${user} ${[...rules, ...commands].join(" ")}`,
  );
}
