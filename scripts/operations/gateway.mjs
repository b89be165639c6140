import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import { buffer } from "node:stream/consumers";
import { clearHops, fieldsOf, linesOf, setHops } from "./fields.mjs";
import { configOf } from "./kong-file.mjs";
import { compilePreFunction } from "./pre-function.mjs";

/** @typedef {import("./fields.mjs").Fields} Fields */
/** @typedef {import("./kong-file.mjs").KongFile} KongFile */
/** @typedef {import("./kong-file.mjs").Service} Service */
/** @typedef {import("./kong-file.mjs").Consumer} Consumer */
/** @typedef {import("./pre-function.mjs").Answer} Answer */
/** @typedef {import("node:http").IncomingMessage} IncomingMessage */
/** @typedef {import("node:http").ServerResponse} ServerResponse */

/**
 * A running gateway.
 *
 * @typedef {{ url: string, stop(): Promise<void> }} Gateway `url` is `http://127.0.0.1:…`.
 */

/** What nginx takes of a header, in bytes. */
const MAX_HEADER_BYTES = 32_768;

/** Of an answer, what is between two neighbours only. */
const HOPS = ["connection", "keep-alive", "transfer-encoding", "upgrade"];

/**
 * Stands in for Kong, which can't run where this project is developed. It does with header fields what Kong 3.9 does with
 * them under the same file, in the same order, what `Connection` names being cleared last, and balances over the targets in
 * turn. It does not limit, does not know JWTs, and checks no health.
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

  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, async (call, response) => {
    if (!isRouted(service, call)) return answer(response, { status: 404, body: '{"message":"no Route matched"}' }, []);
    const sent = corsFields(service, call.headers.origin);
    const fields = fieldsOf(call);
    const before = new Map(fields);
    const own =
      preFunction(fields) ??
      (isPreflight(call) ? { status: 200, body: "" } : undefined) ??
      authenticate(file, service, fields);
    if (own !== undefined) return answer(response, own, sent);
    transform(service, fields);
    clearHops(fields, before);
    const target = new URL(call.url ?? "/", targets[calls++ % targets.length]);
    // Without its length nginx takes a call to have no body.
    const hasBody = fields.has("content-length") || call.headers["transfer-encoding"] !== undefined;
    const peer = call.socket.remoteAddress ?? "";
    setHops(fields, before, { host: target.host, path: target.pathname, peer, id: randomBytes(16).toString("hex") });
    const body = await buffer(call).catch(() => undefined);
    if (body === undefined) return;
    const method = call.method ?? "GET";
    const onward = request(target, { method, agent, headers: Object.fromEntries(fields) }, (reply) =>
      handBack(reply, response, sent),
    );
    onward.on("error", () => answer(response, { status: 502, body: "{}" }, sent));
    endWith(onward, hasBody ? body : undefined);
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
  // Of a key in several lines Kong takes none.
  const [key, ...others] = names.flatMap((name) => linesOf(fields, name));
  const known = file.consumers.find(({ keyauth_credentials: keys = [] }) =>
    keys.some((one) => one.key === key && others.length === 0),
  );
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
  for (const [name, value] of [
    ["x-consumer-id", identifierOf(consumer.username)],
    ["x-consumer-custom-id", consumer.custom_id],
    ["x-consumer-username", consumer.username],
    ["x-credential-identifier", credential === undefined ? undefined : identifierOf(credential)],
    ["x-anonymous-consumer", credential === undefined ? "true" : undefined],
  ]) {
    if (name !== undefined) value === undefined ? fields.delete(name) : fields.set(name, value);
  }
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
 * Sends the body whole, as Kong does, which has read it before; a call without one says nothing of its length.
 *
 * @param {import("node:http").ClientRequest} onward
 * @param {Buffer | undefined} body
 */
function endWith(onward, body) {
  if (body !== undefined) onward.setHeader("content-length", body.length);
  else for (const name of ["content-length", "transfer-encoding"]) onward.removeHeader(name);
  onward.end(body);
}

/**
 * @param {IncomingMessage} reply The app's.
 * @param {ServerResponse} response
 * @param {readonly [string, string][]} sent What the gateway says itself.
 */
function handBack(reply, response, sent) {
  for (const name of Object.keys(reply.headers)) {
    const isSent = sent.some(([other]) => other.toLowerCase() === name);
    if (isSent || HOPS.includes(name)) delete reply.headers[name];
  }
  response.writeHead(reply.statusCode ?? 502, { ...reply.headers, ...Object.fromEntries(sent) });
  reply.pipe(response);
}

/**
 * @param {ServerResponse} response
 * @param {Answer} answer
 * @param {readonly [string, string][]} fields
 */
function answer(response, { status, type, body }, fields) {
  response.writeHead(status, { "content-type": type ?? "application/json", ...Object.fromEntries(fields) }).end(body);
}
