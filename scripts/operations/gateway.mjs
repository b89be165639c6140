import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import { configOf } from "./kong-file.mjs";
import { compilePreFunction } from "./pre-function.mjs";

/** @typedef {import("./kong-file.mjs").KongFile} KongFile */
/** @typedef {import("./kong-file.mjs").Service} Service */
/** @typedef {import("./kong-file.mjs").Consumer} Consumer */
/** @typedef {import("node:http").IncomingMessage} IncomingMessage */
/** @typedef {import("node:http").ServerResponse} ServerResponse */
/** @typedef {Map<string, string>} Fields Header fields of a call on its way to the app, by name in lower case. */

/**
 * A running gateway.
 *
 * @typedef {{ url: string, stop(): Promise<void> }} Gateway `url` is `http://127.0.0.1:…`.
 */

/** @typedef {{ status: number, type?: string, body: string }} Answer What the gateway answers by itself. */

/**
 * Stands in for Kong, which can't run where this project is developed. It does with header fields what Kong 3.9 does with
 * them under the same file, in the same order, and balances over the targets in turn. It does not limit, does not know JWTs,
 * and checks no health.
 *
 * @param {KongFile} file
 * @param {readonly string[]} targets The app's processes, `http://host:port`.
 * @returns {Promise<Gateway>}
 */
export async function startGateway(file, targets) {
  const [service] = file.services;
  if (service === undefined) throw new Error("the file has no service");
  const preFunction = await compilePreFunction(configOf(service.plugins, "pre-function")?.access ?? []);
  const agent = new Agent({ keepAlive: true });
  let calls = 0;

  const server = createServer((call, response) => {
    if (!isRouted(service, call)) return answer(response, { status: 404, body: '{"message":"no Route matched"}' }, []);
    const sent = corsFields(service, call.headers.origin);
    if (isPreflight(call)) return answer(response, { status: 200, body: "" }, sent);
    const fields = fieldsOf(call);
    preFunction(fields);
    const refusal = authenticate(file, service, fields);
    if (refusal !== undefined) return answer(response, refusal, sent);
    transform(service, fields);
    addAddress(fields, call.socket.remoteAddress ?? "");
    const target = new URL(call.url ?? "/", targets[calls++ % targets.length]);
    const method = call.method ?? "GET";
    const onward = request(target, { method, agent, headers: Object.fromEntries(fields) }, (reply) => {
      for (const name of Object.keys(reply.headers)) {
        if (sent.some(([other]) => other.toLowerCase() === name)) delete reply.headers[name];
      }
      response.writeHead(reply.statusCode ?? 502, { ...reply.headers, ...Object.fromEntries(sent) });
      reply.pipe(response);
    });
    onward.on("error", () => answer(response, { status: 502, body: "{}" }, sent));
    call.pipe(onward);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      agent.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/**
 * @param {Service} service
 * @param {IncomingMessage} call
 */
function isRouted(service, { method, url }) {
  const [path = "/"] = (url ?? "/").split("?");
  return service.routes.some(
    ({ paths, methods }) =>
      methods.some((allowed) => allowed === method) &&
      paths.some((text) => (text.startsWith("~") ? new RegExp(`^${text.slice(1)}`).test(path) : path.startsWith(text))),
  );
}

/** @param {IncomingMessage} call */
function isPreflight({ method, headers }) {
  return method === "OPTIONS" && "origin" in headers && "access-control-request-method" in headers;
}

/**
 * What the plugin `cors` sets on every answer, over whatever the app has set.
 *
 * @param {Service} service
 * @param {string | undefined} origin
 * @returns {[string, string][]}
 */
function corsFields(service, origin) {
  const cors = configOf(service.plugins, "cors");
  if (cors === undefined || origin === undefined || !cors.origins.includes(origin)) return [];
  return [
    ["Access-Control-Allow-Origin", origin],
    ["Access-Control-Expose-Headers", cors.exposed_headers.join(",")],
    ["Access-Control-Allow-Methods", cors.methods.join(",")],
    ["Access-Control-Allow-Headers", cors.headers?.join(",") ?? "*"],
    ["Vary", "Origin"],
  ];
}

/** @param {IncomingMessage} call */
function fieldsOf(call) {
  /** @type {Fields} */
  const fields = new Map();
  for (const [name, values] of Object.entries(call.headersDistinct)) {
    if (values !== undefined && name !== "connection" && name !== "expect") fields.set(name, values.join(", "));
  }
  return fields;
}

/**
 * The plugins `key-auth`, `acl` and, of a consumer, `request-termination`.
 *
 * @param {KongFile} file
 * @param {Service} service
 * @param {Fields} fields
 * @returns {Answer | undefined}
 */
function authenticate(file, service, fields) {
  const keyAuth = configOf(service.plugins, "key-auth");
  const names = keyAuth?.key_names.map((name) => name.toLowerCase()) ?? [];
  const key = names.map((name) => fields.get(name)).find((value) => value !== undefined);
  const known = file.consumers.find(({ keyauth_credentials: keys = [] }) => keys.some((one) => one.key === key));
  const consumer = known ?? file.consumers.find(({ username }) => username === keyAuth?.anonymous);
  if (consumer === undefined) return { status: 401, body: '{"message":"Unauthorized"}' };
  if (keyAuth?.hide_credentials) for (const name of names) fields.delete(name);
  setConsumer(fields, consumer, known === undefined ? undefined : key);

  const acl = configOf(service.plugins, "acl");
  const groups = consumer.acls.map(({ group }) => group);
  if (acl !== undefined) {
    if (!groups.some((group) => acl.allow?.includes(group))) return { status: 403, body: '{"message":"forbidden"}' };
    if (!acl.hide_groups_header) fields.set("x-consumer-groups", groups.join(", "));
  }
  const termination = configOf(consumer.plugins, "request-termination");
  if (termination === undefined) return undefined;
  const { status_code: status, content_type: type = "application/json", body = "" } = termination;
  return { status, type, body };
}

/**
 * What Kong's authentication sets, or clears where there is nothing to set. `X-Consumer-Groups` is none of it.
 *
 * @param {Fields} fields
 * @param {Consumer} consumer
 * @param {string | undefined} credential
 */
function setConsumer(fields, consumer, credential) {
  const set = (/** @type {string} */ name, /** @type {string | undefined} */ value) =>
    value === undefined ? fields.delete(name) : fields.set(name, value);
  set("x-consumer-id", identifierOf(consumer.username));
  set("x-consumer-custom-id", consumer.custom_id);
  set("x-consumer-username", consumer.username);
  set("x-credential-identifier", credential === undefined ? undefined : identifierOf(credential));
  set("x-anonymous-consumer", credential === undefined ? "true" : undefined);
}

/** @param {string} text */
function identifierOf(text) {
  const hex = createHash("sha256").update(text).digest("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, "$1-$2-$3-$4-$5");
}

/**
 * The plugin `request-transformer`: it removes, then adds what is not there.
 *
 * @param {Service} service
 * @param {Fields} fields
 */
function transform(service, fields) {
  const config = configOf(service.plugins, "request-transformer");
  for (const name of config?.remove.headers ?? []) fields.delete(name.toLowerCase());
  for (const header of config?.add.headers ?? []) {
    const [, name = "", value = ""] = /^([^:]+):(.*)$/.exec(header) ?? [];
    if (!fields.has(name.toLowerCase())) fields.set(name.toLowerCase(), value);
  }
}

/**
 * What Kong says of the peer, of whom it trusts none to speak for others.
 *
 * @param {Fields} fields
 * @param {string} peer
 */
function addAddress(fields, peer) {
  const forwarded = fields.get("x-forwarded-for");
  fields.set("x-forwarded-for", forwarded === undefined ? peer : `${forwarded}, ${peer}`);
  fields.set("x-real-ip", peer);
}

/**
 * @param {ServerResponse} response
 * @param {Answer} answer
 * @param {readonly [string, string][]} fields
 */
function answer(response, { status, type, body }, fields) {
  response.writeHead(status, { "content-type": type ?? "application/json", ...Object.fromEntries(fields) }).end(body);
}
