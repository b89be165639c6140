import { expect, it } from "vitest";
import { translated } from "../../../src/store/redis-errors.js";

/** What servers answer, as they word it; what is told of it, and what mends it. */
const answers: [answer: string, code: string, says: RegExp][] = [
  ["NOAUTH Authentication required.", "ERR_STORE_REFUSED", /refuses the user or password.*correct them/],
  [
    "WRONGPASS invalid username-password pair or user is disabled.",
    "ERR_STORE_REFUSED",
    /refuses the user or password/,
  ],
  ["ERR AUTH <password> called without any password configured for the default user.", "ERR_STORE_REFUSED", /refuses/],
  ["NOPERM this user has no permissions to run the 'evalsha' command", "ERR_STORE_REFUSED", /grant \+evalsha/],
  [
    "NOPERM User app has no permissions to run the 'cluster|slots' command",
    "ERR_STORE_REFUSED",
    /grant \+cluster\|slots/,
  ],
  ["NOPERM No permissions to access a channel", "ERR_STORE_REFUSED", /grant the channel with &/],
  ["NOPERM this user has no permissions to access one of the keys used as arguments", "ERR_STORE_REFUSED", /with ~/],
  [
    "ERR The user executing the script can't publish to the channel mentioned in the command script: 3c10, on @user_script:1.",
    "ERR_STORE_REFUSED",
    /does not let this user do it.*grant the channel/,
  ],
  ["ERR ACL failure in script: No permissions to access a channel", "ERR_STORE_REFUSED", /grant the channel/],
  ["OOM command not allowed when used memory > 'maxmemory'.", "ERR_STORE_FAILED", /out of memory.*raise maxmemory/],
  [
    "ERR Error running script: OOM command not allowed when used memory > 'maxmemory'.",
    "ERR_STORE_FAILED",
    /out of memory/,
  ],
  [
    "Stream isn't writeable and enableOfflineQueue options is false",
    "ERR_STORE_UNAVAILABLE",
    /^Redis at \S+ is not connected just now \(/,
  ],
  [
    "Cluster isn't ready and enableOfflineQueue options is false",
    "ERR_STORE_UNAVAILABLE",
    /^Redis at \S+ is not connected just now \(/,
  ],
  ["LOADING Redis is loading the dataset in memory", "ERR_STORE_UNAVAILABLE", /still reading its data.*wait/],
  [
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "ERR_STORE_UNAVAILABLE",
    /lost its master/,
  ],
  [
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "ERR_STORE_FAILED",
    /can't save to its disk.*room/,
  ],
  [
    "NOREPLICAS Not enough good replicas to write.",
    "ERR_STORE_FAILED",
    /too few replicas follow it.*min-replicas-to-write/,
  ],
  ["READONLY You can't write against a read only replica.", "ERR_STORE_FAILED", /is a replica.*address of its master/],
  ["CLUSTERDOWN The cluster is down", "ERR_STORE_FAILED", /serves no calls now.*CLUSTER INFO/],
  ["CLUSTERDOWN Hash slot not served", "ERR_STORE_FAILED", /slots that nobody has/],
  [
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "ERR_STORE_UNAVAILABLE",
    /moving the slot.*nothing needs to be done/,
  ],
  [
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "ERR_STORE_FAILED",
    /busy-reply-threshold/,
  ],
  [
    "UNKILLABLE Sorry the script already executed write commands against the dataset.",
    "ERR_STORE_FAILED",
    /can't be stopped.*wait/,
  ],
  ["NOSCRIPT No matching script. Please use EVAL.", "ERR_STORE_FAILED", /forgot a script.*SCRIPT FLUSH/],
  ["EXECABORT Transaction discarded because of previous errors.", "ERR_STORE_FAILED", /gave up a transaction/],
  ["ERR max number of clients reached", "ERR_STORE_UNAVAILABLE", /takes no more connections.*maxclients/],
  ["ERR max number of clients + cluster connections reached", "ERR_STORE_UNAVAILABLE", /maxclients/],
  ["ERR DB index is out of range", "ERR_STORE_FAILED", /correct the database/],
  ["WRONGTYPE Operation against a key holding the wrong kind of value", "ERR_STORE_FAILED", /answered: WRONGTYPE/],
  ["ERR unknown command 'EVALSHA'", "ERR_STORE_FAILED", /answered: ERR unknown/],
  ["CROSSSLOT Keys in request don't hash to the same slot", "ERR_STORE_FAILED", /answered: CROSSSLOT/],
  ["connect ECONNREFUSED 127.0.0.1:6379", "ERR_STORE_UNAVAILABLE", /can't be reached: connect ECONNREFUSED/],
  ["getaddrinfo ENOTFOUND redis.invalid", "ERR_STORE_UNAVAILABLE", /can't be reached.*check the host/],
  ["ECONNRESET while reading", "ERR_STORE_UNAVAILABLE", /can't be reached/],
  ["Connection is closed.", "ERR_STORE_UNAVAILABLE", /can't be reached/],
];

it.each(answers)("%s", (answer, code, says) => {
  const error = translated(new Error(answer), "redis://redis.example", true);
  expect(error).toMatchObject({ code, message: expect.stringMatching(says) });
  expect(error.message).toContain(answer);
  // Only what was never answered can't be reached.
  expect(/can't be reached/.test(error.message)).toBe(/ECONN|ENOTFOUND|closed/.test(answer));
});
