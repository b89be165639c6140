// Checks that no retired word comes back as a name, and that docs/glossary.md names what there is. Run by lint.mjs.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

/** What was called so, and what it is called now; docs/glossary.md says what each is. */
const RETIRED = /** @type {Record<string, string>} */ ({
  Asker: "Session",
  asker: "session",
  believeUntilMs: "denyUntilMs",
  Complaint: "Unsuitability",
  Debts: "Outbox",
  debts: "outbox",
  Edition: "TierVersion",
  edition: "tierVersion",
  greet: "heartbeat",
  Greeting: "Heartbeat",
  greeting: "heartbeat",
  heal: "restore",
  healed: "restored",
  heed: "record",
  Holder: "VerifiedKey",
  isSettling: "isRecovering",
  isTogether: "isReady",
  Judge: "BoundTier",
  judge: "verdict, or boundTier",
  Judges: "BoundTiers",
  judges: "boundTiers",
  Kinds: "LimitKinds",
  Known: "Snapshot",
  owe: "queue",
  Owed: "Unreconciled",
  owed: "unreconciled",
  owes: "hasUnreconciled",
  Parcel: "Grant",
  parcel: "grant",
  parcels: "grants",
  PlanId: "RuleSetId",
  Roll: "Membership",
  settleMs: "recoverUntilMs",
  settlingMs: "recoveringMs",
  Share: "FallbackLimits",
  SharedJudge: "BoundTier",
  SharedJudges: "BoundTiers",
  soil: "mark_dirty",
  Surroundings: "Runtime",
  Takes: "LeaseAcquirer",
  TierBook: "TierVersions",
  Twin: "ScriptModel",
  twin: "model",
  View: "Outcome",
  vouchesFor: "authenticates",
  vouches_for: "authenticates",
  Waiter: "PendingCall",
  waiter: "call",
  Waiters: "ReadyGate",
  waiters: "pending",
});

/** Of these only the whole name is retired: as a part of another they are words like any. */
const WHOLE = ["Edition", "edition", "Holder", "Kinds", "Known", "Roll", "Share", "Takes", "View"];

/** Where a word is right all the same. */
const ALLOWED = [
  { file: /^scripts\/check\/words\.mjs$/, word: /./, why: "the list" },
  { file: /^test\/unit\/scripts\/check\/words\.test\.ts$/, word: /./, why: "plants them" },
];

/** Fields of the hashes in Redis, which never change their names, are text and no names: `settle` and `hold` of the replicas. */
const FOLDERS = ["src", "crates", "test", "bench", "monitoring", "scripts"];

/**
 * @param {string} root
 * @returns {string[]} Retired words, one line each.
 */
export function retiredWords(root) {
  // By itself, or as a part of a name: waiterOf, PendingWaiter, waiter_of.
  const words = Object.keys(RETIRED).map((word) => {
    if (WHOLE.includes(word)) return `\\b${word}\\b`;
    return /^[a-z]/.test(word) ? `(?<![A-Za-z])${word}` : word;
  });
  const word = new RegExp(`(?:${words.join("|")})(?![a-z])`, "g");
  return FOLDERS.flatMap((folder) => filesIn(root, folder, /\.([cm]?ts|mjs|rs)$/)).flatMap((file) => {
    const names = `${basename(file)} ${namesOf(readFileSync(join(root, file), "utf8"))}`;
    const found = new Set(names.match(word) ?? []);
    return [...found]
      .filter((name) => !ALLOWED.some((one) => one.file.test(file) && one.word.test(name)))
      .map((name) => `${file}: ${name} is retired; it is called ${RETIRED[name]} now (docs/glossary.md)`);
  });
}

/**
 * @param {string} root
 * @returns {string[]} Names of the glossary's table that nothing in the code has, one line each.
 */
export function unknownTerms(root) {
  const page = readFileSync(join(root, "docs", "glossary.md"), "utf8");
  const code = ["src", "crates"].flatMap((folder) => filesIn(root, folder, /\.(ts|rs)$/));
  const there = new Set(code.flatMap((file) => readFileSync(join(root, file), "utf8").match(/\w+/g) ?? []));
  const rows = [...page.matchAll(/^\| \*\*([^*]+)\*\* \|[^|]*\| ([^|]*) \|/gm)];
  if (rows.length === 0) return ["docs/glossary.md has no row"];
  return rows.flatMap(([, term, where = ""]) => {
    const names = [...where.matchAll(/`([^`]+)`/g)].flatMap(([, name = ""]) => name.match(/\w+/g) ?? []);
    if (names.length === 0) return [`docs/glossary.md: ${term} is said to be nowhere`];
    return names
      .filter((name) => !there.has(name))
      .map((name) => `docs/glossary.md: ${term} names ${name}, which is gone`);
  });
}

/**
 * The names in a text: without comments and quoted strings. What stands between backticks stays, since Lua stands there.
 *
 * @param {string} text
 */
function namesOf(text) {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, "")
    .replaceAll(/"(?:[^"\\\n]|\\.)*"/g, '""')
    .replaceAll(/(?:\/\/|-- ).*$/gm, "");
}

/**
 * @param {string} root
 * @param {string} folder
 * @param {RegExp} name
 */
function filesIn(root, folder, name) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((file) => `${folder}/${file.replaceAll("\\", "/")}`)
    .filter((file) => name.test(file) && !/(^|\/)(node_modules|target)\//.test(file));
}
