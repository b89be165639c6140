import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { compilePreFunction } from "../../scripts/operations/pre-function.mjs";
import { type Consumer, configOf, type KongFile, type Service } from "./kong-file.js";

/** Header fields of a call on its way to the app, by name in lower case. */
type Fields = Map<string, string>;

/** A running gateway. */
export interface Gateway {
  /** `http://127.0.0.1:…` */
  url: string;
  stop(): Promise<void>;
}

/** What the gateway answers by itself. */
interface Answer {
  status: number;
  type?: string;
  body: string;
}

/**
 * Stands in for Kong, which can't run where this project is developed. It does with header fields what Kong 3.9 does with
 * them under the same file, in the same order, and balances over the targets in turn. It does not limit, does not know JWTs,
 * and checks no health.
 *
 * @param targets The app's processes, `http://host:port`.
 */
export async function startGateway(file: KongFile, targets: readonly string[]): Promise<Gateway> {
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
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      agent.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function isRouted(service: Service, { method, url }: IncomingMessage): boolean {
  const [path = "/"] = (url ?? "/").split("?");
  return service.routes.some(
    ({ paths, methods }) =>
      methods.some((allowed) => allowed === method) &&
      paths.some((text) => (text.startsWith("~") ? new RegExp(`^${text.slice(1)}`).test(path) : path.startsWith(text))),
  );
}

function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === "OPTIONS" && "origin" in headers && "access-control-request-method" in headers;
}

/** What the plugin `cors` sets on every answer, over whatever the app has set. */
function corsFields(service: Service, origin: string | undefined): [string, string][] {
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

function fieldsOf(call: IncomingMessage): Fields {
  const fields: Fields = new Map();
  for (const [name, values] of Object.entries(call.headersDistinct)) {
    if (values !== undefined && name !== "connection" && name !== "expect") fields.set(name, values.join(", "));
  }
  return fields;
}

/** The plugins `key-auth`, `acl` and, of a consumer, `request-termination`. */
function authenticate(file: KongFile, service: Service, fields: Fields): Answer | undefined {
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

/** What Kong's authentication sets, or clears where there is nothing to set. `X-Consumer-Groups` is none of it. */
function setConsumer(fields: Fields, consumer: Consumer, credential: string | undefined): void {
  const set = (name: string, value: string | undefined) =>
    value === undefined ? fields.delete(name) : fields.set(name, value);
  set("x-consumer-id", identifierOf(consumer.username));
  set("x-consumer-custom-id", consumer.custom_id);
  set("x-consumer-username", consumer.username);
  set("x-credential-identifier", credential === undefined ? undefined : identifierOf(credential));
  set("x-anonymous-consumer", credential === undefined ? "true" : undefined);
}

function identifierOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, "$1-$2-$3-$4-$5");
}

/** The plugin `request-transformer`: it removes, then adds what is not there. */
function transform(service: Service, fields: Fields): void {
  const config = configOf(service.plugins, "request-transformer");
  for (const name of config?.remove.headers ?? []) fields.delete(name.toLowerCase());
  for (const header of config?.add.headers ?? []) {
    const [, name = "", value = ""] = /^([^:]+):(.*)$/.exec(header) ?? [];
    if (!fields.has(name.toLowerCase())) fields.set(name.toLowerCase(), value);
  }
}

/** What Kong says of the peer, of whom it trusts none to speak for others. */
function addAddress(fields: Fields, peer: string): void {
  const forwarded = fields.get("x-forwarded-for");
  fields.set("x-forwarded-for", forwarded === undefined ? peer : `${forwarded}, ${peer}`);
  fields.set("x-real-ip", peer);
}

function answer(response: ServerResponse, { status, type, body }: Answer, fields: readonly [string, string][]): void {
  response.writeHead(status, { "content-type": type ?? "application/json", ...Object.fromEntries(fields) }).end(body);
}
