import { isIPv4 } from "node:net";
import type { FastifyInstance } from "fastify";
import { holdEverything, parseNetwork } from "../http/index.js";

/** The names of networks that Fastify knows, through `@fastify/proxy-addr`. */
const NAMED = new Map([
  ["loopback", ["127.0.0.0/8", "::1/128"]],
  ["linklocal", ["169.254.0.0/16", "fe80::/10"]],
  ["uniquelocal", ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]],
]);

/**
 * Fastify's own option `trustProxy`; undefined where it can't be had.
 *
 * It is in no public place, and a copy of ours may meet another copy of Fastify, so its symbol is looked for by name.
 */
export function ownTrustProxy(app: FastifyInstance): unknown {
  for (let instance: object | null = app; instance !== null; instance = Object.getPrototypeOf(instance)) {
    const options = Object.getOwnPropertySymbols(instance).find(({ description }) => description === "fastify.options");
    if (options !== undefined) return (instance as Record<symbol, { trustProxy?: unknown }>)[options]?.trustProxy;
  }
  return undefined;
}

/**
 * The networks that such an option names, in CIDR notation; none if it is `true`, a hop count, a function, or has anything in it that is no
 * network: part of a list would be another list.
 */
export function namedProxies(own: unknown): string[] {
  const list = typeof own === "string" ? own.split(",") : own;
  if (!Array.isArray(list)) return [];
  const texts = list.map((text) => String(text).trim()).flatMap((text) => NAMED.get(text) ?? [withPrefixLength(text)]);
  const networks = texts.map(parseNetwork).filter((network) => typeof network !== "string");
  return networks.length === texts.length && !holdEverything(networks) ? texts : [];
}

/** Fastify takes netmasks too: `10.0.0.0/255.0.0.0`. */
function withPrefixLength(text: string): string {
  const [address = "", mask = ""] = text.split("/");
  if (!isIPv4(mask)) return text;
  const bits = mask
    .split(".")
    .map((part) => Number(part).toString(2).padStart(8, "0"))
    .join("");
  return `${address}/${/^1*0*$/.test(bits) ? bits.lastIndexOf("1") + 1 : mask}`;
}
