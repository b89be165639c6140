// Holds Kong's declarative file to the schemas of Kong 3.9 and of decK, and to what went wrong elsewhere. Kong itself can't
// be asked here: the fields below were read in its source (kong/plugins/*/schema.lua, kong/db/schema/entities).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { kongFileSchema } from "./kong-schema.mjs";

const FILE = "k8s/base/kong/kong.yaml";

/** Plugins that only work together: who the caller is, cleared, found, told the app. */
const NEEDED = ["pre-function", "cors", "jwt", "key-auth", "acl", "rate-limiting", "request-transformer"];

/**
 * @param {string} root
 * @returns {string[]} What is wrong, one line each.
 */
export function wrongInKong(root) {
  const { success, data, error } = kongFileSchema.safeParse(parse(readFileSync(join(root, FILE), "utf8")));
  if (!success) return error.issues.flatMap((issue) => describe(issue)).map((problem) => `${FILE}: ${problem}`);
  return [...wrongInUpstreams(data), ...wrongInPlugins(data)].map((problem) => `${FILE}: ${problem}`);
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
  for (const { username, acls } of consumers) {
    if (acls.length !== 1) problems.push(`consumer ${username}: it is in ${acls.length} groups, and a tier is one`);
  }
  if (!everywhere.some(({ name }) => name === "prometheus")) problems.push("plugin prometheus is missing");
  return problems;
}

/** @param {KongFile["services"][number]["plugins"]} plugins */
function wrongInIdentity(plugins) {
  const problems = [];
  for (const { name, config } of plugins) {
    if (name === "pre-function") {
      const code = config.access.join("\n");
      for (const field of ["X-Consumer-Groups", "X-Consumer-Custom-ID", "X-Consumer-Username", "X-Gateway-Auth"]) {
        if (!code.includes(`"${field}"`)) problems.push(`pre-function does not clear ${field}`);
      }
    }
    if (name === "request-transformer") {
      const { remove, add } = config;
      const adds = add.headers.some((header) => header.startsWith("X-Gateway-Auth:"));
      const removes = remove.headers.includes("X-Gateway-Auth");
      if (!adds || !removes) problems.push("request-transformer must remove, then add X-Gateway-Auth");
    }
  }
  return problems;
}
