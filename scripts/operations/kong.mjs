// Holds Kong's declarative file to the schemas of Kong 3.9 and of decK, and to what went wrong elsewhere. Kong itself can't
// be asked here: the fields below were read in its source (kong/plugins/*/schema.lua, kong/db/schema/entities).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { FORMS, HARMLESS, RELIED_ON } from "./hops.mjs";
import { kongFileSchema } from "./kong-schema.mjs";
import { compilePreFunction } from "./pre-function.mjs";

const FILE = "k8s/base/kong/kong.yaml";

/** Plugins that only work together: who the caller is, cleared, found, told the app. */
const NEEDED = ["pre-function", "cors", "jwt", "key-auth", "acl", "rate-limiting", "request-transformer"];

/** What a client may send to pass for somebody, beside what only begins like these. */
const SPOOFED = [
  "x-consumer-groups",
  "x-consumer-id",
  "x-consumer-custom-id",
  "x-consumer-username",
  "x-consumer-tier",
  "x_consumer_groups",
  "x-credential-identifier",
  "x-anonymous-consumer",
  "x-gateway-auth",
  "x-gateway-tier",
];

/** Of these, what the app or Kong goes by: cleared each by its name, however many fields a call has. */
const KNOWN = SPOOFED.filter((name) => !/tier|_/.test(name));

/**
 * @param {string} root
 * @returns {Promise<string[]>} What is wrong, one line each.
 */
export async function wrongInKong(root) {
  const { success, data, error } = kongFileSchema.safeParse(parse(readFileSync(join(root, FILE), "utf8")));
  if (!success) return error.issues.flatMap((issue) => describe(issue)).map((problem) => `${FILE}: ${problem}`);
  const problems = [...wrongInUpstreams(data), ...wrongInPlugins(data), ...(await wrongInPreFunctions(data))];
  return problems.map((problem) => `${FILE}: ${problem}`);
}

/**
 * @param {z.core.$ZodIssue} issue
 * @returns {string[]}
 */
function describe(issue) {
  if (issue.code === "invalid_union") {
    const [first = []] = issue.errors;
    return first.flatMap((inner) => describe({ ...inner, path: [...issue.path, ...inner.path] }));
  }
  return [`${issue.path.join(".") || "the file"}: ${issue.message}`];
}

/** @typedef {z.infer<typeof kongFileSchema>} KongFile */

/** @param {KongFile} file */
function wrongInUpstreams({ upstreams, services }) {
  const problems = [];
  for (const { name, healthchecks } of upstreams) {
    const { active, passive } = healthchecks;
    for (const [kind, { http_statuses }] of Object.entries({ active: active.unhealthy, passive: passive.unhealthy })) {
      if (http_statuses === undefined || http_statuses.includes(429)) {
        problems.push(
          `upstream ${name}: ${kind} checks take 429 for unhealthy, so a caller past its limit ejects pods`,
        );
      }
    }
    const counts = [
      active.healthy.interval,
      active.healthy.successes,
      active.unhealthy.interval,
      active.unhealthy.http_failures,
    ];
    if (counts.some((count) => count === 0)) problems.push(`upstream ${name}: its active checks are off`);
  }
  for (const { name, host, routes } of services) {
    if (!upstreams.some((upstream) => upstream.name === host)) problems.push(`service ${name}: ${host} is no upstream`);
    const paths = routes.flatMap((route) => route.paths).join(" ");
    for (const route of ["identify", "compare", "batch"]) {
      if (!paths.includes(route)) problems.push(`service ${name}: no route leads to /${route}`);
    }
  }
  return problems;
}

/** @param {KongFile} file */
function wrongInPlugins({ services, consumers, plugins: everywhere }) {
  const problems = [];
  for (const { name, plugins } of services) {
    const names = plugins.map((plugin) => plugin.name);
    for (const needed of NEEDED) {
      if (!names.some((plugin) => plugin === needed)) problems.push(`service ${name}: plugin ${needed} is missing`);
    }
    problems.push(...wrongInIdentity(plugins).map((problem) => `service ${name}: ${problem}`));
  }
  const known = consumers.map(({ username }) => username);
  for (const { name, config } of services.flatMap(({ plugins }) => plugins)) {
    if ((name === "jwt" || name === "key-auth") && !known.includes(config.anonymous)) {
      problems.push(`plugin ${name}: ${config.anonymous} is no consumer`);
    }
  }
  const allowed = services.flatMap(({ plugins }) =>
    plugins.flatMap(({ name, config }) => (name === "acl" ? (config.allow ?? []) : [])),
  );
  for (const { group, username } of consumers.flatMap(({ acls, username }) =>
    acls.map((acl) => ({ ...acl, username })),
  )) {
    if (!allowed.includes(group)) problems.push(`consumer ${username}: acl does not let the group ${group} in`);
  }
  problems.push(...wrongInConsumers(consumers));
  if (!everywhere.some(({ name }) => name === "prometheus")) problems.push("plugin prometheus is missing");
  return problems;
}

/** @param {KongFile["consumers"]} consumers */
function wrongInConsumers(consumers) {
  const problems = [];
  for (const { username, custom_id: id, acls, keyauth_credentials: keys = [] } of consumers) {
    if (keys.length > 0 && id === undefined) {
      problems.push(`consumer ${username}: it has no custom_id, by which the app names its account`);
    }
    if (acls.length !== 1) problems.push(`consumer ${username}: it is in ${acls.length} groups, and a tier is one`);
  }
  return problems;
}

/** @param {KongFile["services"][number]["plugins"]} plugins */
function wrongInIdentity(plugins) {
  const problems = [];
  for (const { name, config } of plugins) {
    if (name === "request-transformer") {
      const { remove, add } = config;
      const adds = add.headers.some((header) => header.startsWith("X-Gateway-Auth:"));
      const removes = remove.headers.includes("X-Gateway-Auth");
      if (!adds || !removes) problems.push("request-transformer must remove, then add X-Gateway-Auth");
    }
  }
  return problems;
}

/**
 * Runs what lets no call through that speaks for the gateway, or names away what the gateway says.
 *
 * @param {KongFile} file
 */
async function wrongInPreFunctions({ services }) {
  const problems = [];
  for (const { config } of services.flatMap(({ plugins }) => plugins.filter(({ name }) => name === "pre-function"))) {
    if (!("access" in config)) continue;
    const preFunction = await compilePreFunction(config.access);
    problems.push(...spoofedPast(preFunction), ...namedAwayPast(preFunction));
  }
  return problems.map((problem) => `pre-function ${problem}`);
}

/** @typedef {Awaited<ReturnType<typeof compilePreFunction>>} PreFunction */

/**
 * A client's own fields, alone and behind more of them than Kong lists.
 *
 * @param {PreFunction} preFunction
 */
function spoofedPast(preFunction) {
  const kept = SPOOFED.filter((name) => {
    const fields = new Map([[name, "spoofed"]]);
    return preFunction(fields) === undefined && fields.has(name);
  });
  const crowded = new Map(Array.from({ length: 1000 }, (_, index) => [`x-${index}`, "there"]));
  for (const name of KNOWN) crowded.set(name, "spoofed");
  const answer = preFunction(crowded);
  kept.push(...KNOWN.filter((name) => crowded.has(name) && !kept.includes(name)));
  const problems = kept.map((name) => `does not clear ${name}`);
  if (answer?.status !== 431) problems.push("lets a call with more fields through than Kong lists");
  return problems;
}

/**
 * What `Connection` may name, since Kong clears it last.
 *
 * @param {PreFunction} preFunction
 */
function namedAwayPast(preFunction) {
  /** @param {string[]} lines */
  const statusOf = (lines) => {
    const [line = "", ...more] = lines;
    return preFunction(lines.length === 0 ? new Map() : new Map([["connection", more.length === 0 ? line : lines]]))
      ?.status;
  };
  const problems = [];
  for (const [form, lines] of Object.entries(FORMS)) {
    const passed = RELIED_ON.filter((name) => statusOf(lines(name)) !== 400);
    if (passed.length > 0) problems.push(`lets Connection name ${passed.join(", ")}, ${form}`);
  }
  for (const [form, lines] of Object.entries(HARMLESS)) {
    if (statusOf(lines) !== undefined) problems.push(`refuses a Connection that is harmless, ${form}`);
  }
  return problems;
}
