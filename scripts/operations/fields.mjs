// What nginx, and Kong on it, do with the header fields of a call on its way to the app.
// As in kong/runloop/handler.lua and kong/templates/nginx_kong.lua of 3.9, taken at their worst where versions differ; held
// to a real nginx by test/operations/nginx.test.ts.

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
 * What Kong does after its last plugin: it clears each field that the client's `Connection` names, also those that plugins
 * have set.
 *
 * @param {Fields} fields
 * @param {Fields} before As they were before the first plugin, whatever plugins have made of `Connection`.
 */
export function clearHops(fields, before) {
  const isWebsocket = upgradeOf(before) === "websocket";
  for (const name of linesOf(before, "connection").flatMap((line) => line.toLowerCase().split(/[,\s]+/))) {
    if (!(name === "upgrade" && isWebsocket)) fields.delete(name);
  }
  fields.delete("proxy");
  fields.delete("proxy-connection");
}

/**
 * What nginx sets over all that came before, and so can't be named away.
 *
 * @param {Fields} fields
 * @param {Fields} before
 * @param {{ host: string, path: string, peer: string, id: string }} of `host` is the app's, `peer` whoever is connected to
 * Kong, whom it does not trust to speak for others.
 */
export function setHops(fields, before, { host, path, peer, id }) {
  const upgrade = upgradeOf(before);
  const [forwarded] = linesOf(before, "x-forwarded-for");
  const [via] = linesOf(before, "via");
  const [client = ""] = linesOf(before, "host");
  for (const name of OF_NGINX) fields.delete(name);
  fields.set("host", host);
  fields.set("connection", upgrade === "websocket" ? "keep-alive, Upgrade" : "keep-alive");
  if (upgrade === "websocket") fields.set("upgrade", upgrade);
  if (linesOf(before, "te").some((line) => /(^|,)\s*trailers\s*(,|$)/.test(line))) fields.set("te", "trailers");
  fields.set("via", via === undefined ? KONG : `${via}, ${KONG}`);
  fields.set("x-forwarded-for", forwarded === undefined ? peer : `${forwarded}, ${peer}`);
  fields.set("x-forwarded-proto", "http");
  fields.set("x-forwarded-host", client.replace(/:\d+$/, ""));
  fields.set("x-forwarded-port", "8000");
  fields.set("x-forwarded-path", path);
  fields.delete("x-forwarded-prefix");
  fields.set("x-real-ip", peer);
  fields.set("x-kong-request-id", id);
}

const KONG = "1.1 kong/3.9.3";

/** @param {Fields} fields */
function upgradeOf(fields) {
  return linesOf(fields, "upgrade")[0]?.toLowerCase();
}
