// What nginx, and Kong on it, do with the header fields of a call on its way to the app.
// As in kong/runloop/handler.lua and kong/templates/nginx_kong.lua of 3.9, taken at their worst where versions differ.

/** @typedef {import("node:http").IncomingMessage} IncomingMessage */

/**
 * Header fields of a call on its way to the app, by name in lower case; several lines of one name are an array.
 *
 * @typedef {Map<string, string | string[]>} Fields
 */

/** What nginx's proxy module never hands on, or says itself. */
const OF_NGINX = ["connection", "content-length", "expect", "host", "keep-alive", "te", "transfer-encoding", "upgrade"];

/**
 * @param {IncomingMessage} call
 * @returns {Fields} Each line by itself, as nginx keeps them; fields with underscores, too.
 */
export function fieldsOf({ headersDistinct }) {
  /** @type {Fields} */
  const fields = new Map();
  for (const [name, lines = []] of Object.entries(headersDistinct)) {
    const [line = "", ...more] = lines;
    fields.set(name, more.length === 0 ? line : lines);
  }
  return fields;
}

/**
 * @param {Fields} fields
 * @param {string} name In lower case.
 * @returns {string[]}
 */
export function linesOf(fields, name) {
  return [fields.get(name) ?? []].flat();
}

/**
 * `ngx.req.clear_header`: it takes an underscore for a hyphen, so a field whose own name has one can't be cleared.
 *
 * @param {Fields} fields
 * @param {string} name
 */
export function clear(fields, name) {
  fields.delete(hyphenated(name));
}

/**
 * `ngx.req.set_header`, which takes an underscore for a hyphen, too.
 *
 * @param {Fields} fields
 * @param {string} name
 * @param {string} value
 */
export function set(fields, name, value) {
  fields.set(hyphenated(name), value);
}

/** @param {string} name */
function hyphenated(name) {
  return name.toLowerCase().replaceAll("_", "-");
}

/**
 * What Kong does after its last plugin: it clears each field that the client's `Connection` names, also those that plugins
 * have set. It reads `Connection` as it was before the plugins.
 *
 * @param {Fields} fields
 * @param {readonly string[]} connection The lines of it.
 */
export function clearHops(fields, connection) {
  const isWebsocket = upgradeOf(fields) === "websocket";
  for (const name of connection.flatMap((line) => line.toLowerCase().split(/[,\s]+/))) {
    if (name !== "" && !(name === "upgrade" && isWebsocket)) clear(fields, name);
  }
  clear(fields, "proxy");
  clear(fields, "proxy-connection");
}

/**
 * What nginx sets over all that came before, and so can't be named away.
 *
 * @param {Fields} fields
 * @param {{ host: string, path: string, peer: string, client: string, id: string }} of `host` is the app's, `peer` whoever
 * is connected to Kong, whom it does not trust to speak for others, and `client` the host that the client asked for.
 */
export function setHops(fields, { host, path, peer, client, id }) {
  const upgrade = upgradeOf(fields);
  const isTrailed = linesOf(fields, "te").some((line) => /(^|,)\s*trailers\s*(,|$)/.test(line));
  const [forwarded] = linesOf(fields, "x-forwarded-for");
  const [via] = linesOf(fields, "via");
  for (const name of OF_NGINX) fields.delete(name);
  set(fields, "host", host);
  set(fields, "connection", upgrade === "websocket" ? "keep-alive, Upgrade" : "keep-alive");
  if (upgrade === "websocket") set(fields, "upgrade", upgrade);
  if (isTrailed) set(fields, "te", "trailers");
  set(fields, "via", via === undefined ? KONG : `${via}, ${KONG}`);
  set(fields, "x-forwarded-for", forwarded === undefined ? peer : `${forwarded}, ${peer}`);
  set(fields, "x-forwarded-proto", "http");
  set(fields, "x-forwarded-host", client.replace(/:\d+$/, ""));
  set(fields, "x-forwarded-port", "8000");
  set(fields, "x-forwarded-path", path);
  fields.delete("x-forwarded-prefix");
  set(fields, "x-real-ip", peer);
  set(fields, "x-kong-request-id", id);
}

const KONG = "1.1 kong/3.9.3";

/** @param {Fields} fields */
function upgradeOf(fields) {
  return linesOf(fields, "upgrade")[0]?.toLowerCase();
}
