import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import ipaddr from "ipaddr.js";
import { TollkeeperError } from "../errors.js";
import {
  holdEverything,
  type Ip,
  isOfLocalTranslator,
  isWithin,
  type Network,
  parseIp,
  parseNetwork,
  tunnelEnd,
} from "./network.js";

/** How the address of a caller is found. */
export interface AddressOptions {
  /**
   * Networks of the proxies in front, in CIDR notation. `X-Forwarded-For` is believed from the right, for as long as the
   * hop that reported it is in one of them; by default those that Fastify's own option of that name names. `true` and hop
   * counts are refused: neither says who the direct peer may be, so a client that reaches this server past the proxy would
   * choose its own address.
   */
  trustProxy?: readonly string[] | undefined;
  /** Bits of an IPv6 address that make one caller, 48 to 64; 64 by default. IPv4 addresses count whole. */
  ipv6Prefix?: number | undefined;
}

/** Finds out from which address a request comes. */
export class AddressReader {
  readonly #proxies: readonly Network[];
  readonly #ipv6Prefix: number;
  /** The peers of open connections, which carry many calls each. */
  readonly #peers = new WeakMap<Socket, Ip | undefined>();

  /**
   * @param own Networks that are trusted where the options name none.
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`
   */
  constructor({ trustProxy, ipv6Prefix = 64 }: AddressOptions, own: readonly Network[] = []) {
    this.#proxies = trustProxy === undefined ? own : networksOf("trustProxy", trustProxy);
    if (!(Number.isInteger(ipv6Prefix) && ipv6Prefix >= 48 && ipv6Prefix <= 64)) {
      throw invalid("ipv6Prefix", ipv6Prefix, "a whole number of bits, 48 to 64");
    }
    this.#ipv6Prefix = ipv6Prefix;
  }

  /**
   * The address of the nearest hop that is no trusted proxy; undefined if it can't be known, as on a Unix socket or
   * when a trusted proxy reports nothing, or something that is no address. Calls that come straight from one connection
   * give the same object.
   */
  read(request: IncomingMessage): Ip | undefined {
    let ip = this.#peerOf(request.socket);
    if (this.#proxies.length === 0) return ip;
    if (isCutOff(request)) return undefined;
    let forwarded = forwardedFor(request);
    // A proxy that does not say for whom it calls: its own address would be everybody's.
    if (forwarded === "" && ip !== undefined && isWithin(ip, this.#proxies)) return undefined;
    while (ip !== undefined && forwarded !== "" && isWithin(ip, this.#proxies)) {
      const comma = forwarded.lastIndexOf(",");
      ip = parseIp(withoutPort(forwarded.slice(comma + 1).trim()));
      forwarded = comma < 0 ? "" : forwarded.slice(0, comma);
    }
    return ip;
  }

  /** Whether a request says for whom it calls, and is not believed. */
  ignores(request: IncomingMessage): boolean {
    if (request.headers["x-forwarded-for"] === undefined || forwardedFor(request) === "") return false;
    const ip = this.#peerOf(request.socket);
    return ip === undefined || !isWithin(ip, this.#proxies);
  }

  #peerOf(socket: Socket): Ip | undefined {
    const known = this.#peers.get(socket);
    if (known !== undefined || socket.remoteAddress === undefined) return known;
    const ip = parseIp(socket.remoteAddress);
    this.#peers.set(socket, ip);
    return ip;
  }

  /** The limiter's key of an address: `ip:203.0.113.7`, `ip:2001:db8:1:2::/64`. */
  keyOf(ip: Ip): string {
    const counted = tunnelEnd(ip) ?? ip;
    if (counted instanceof ipaddr.IPv4) return `ip:${counted.toString()}`;
    const bits = isOfLocalTranslator(counted) ? 128 : this.#ipv6Prefix;
    const parts = counted.parts.map(
      (part, index) => part & (0xffff << Math.min(16, Math.max(0, 16 * (index + 1) - bits))) & 0xffff,
    );
    return `ip:${new ipaddr.IPv6(parts).toRFC5952String()}/${bits}`;
  }
}

/**
 * Networks of an option.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`, saying which one can't be used and why.
 */
export function networksOf(option: string, cidrs: readonly string[]): Network[] {
  if (!Array.isArray(cidrs)) {
    const reason =
      typeof cidrs === "number" || typeof cidrs === "boolean"
        ? "; true and hop counts would let a client that is not behind the proxy choose its own address"
        : "";
    throw invalid(option, cidrs, `a list of networks in CIDR notation${reason}`);
  }
  const networks = cidrs.map((cidr: unknown, index) => {
    const network = typeof cidr === "string" ? parseNetwork(cidr) : "it is not a string";
    if (typeof network === "string")
      throw invalid(`${option}[${index}]`, cidr, `a network such as 10.0.0.0/8: ${network}`);
    return network;
  });
  if (holdEverything(networks)) throw invalid(option, cidrs, "networks that do not hold every address between them");
  return networks;
}

/** Fields of a header that Node reads by default; its documentation says 2000, and means names and values. */
const MAX_FIELDS = 1000;

/**
 * Whether the header may have more fields than Node has read. What it leaves out is the end, where a proxy adds the line
 * of its own, so that the client's line before it would be believed.
 */
function isCutOff({ rawHeaders, socket }: IncomingMessage): boolean {
  const { server } = socket as { server?: { maxHeadersCount?: number | null } };
  const most = server?.maxHeadersCount ?? MAX_FIELDS;
  return most > 0 && rawHeaders.length >= 2 * most;
}

/** All lines of the header as one list, nearest hop last; Node has joined them, in order. */
function forwardedFor(request: IncomingMessage): string {
  const header = request.headers["x-forwarded-for"];
  return typeof header === "string" ? header : (header?.join(",") ?? "");
}

/** Some proxies report `203.0.113.7:5678` or `[2001:db8::1]:5678`. */
function withoutPort(hop: string): string {
  return /^\[(.*)\](?::\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop;
}

function invalid(option: string, was: unknown, mayBe: string): TollkeeperError {
  return new TollkeeperError("ERR_OPTION_INVALID", `${option} is ${JSON.stringify(was)}; it may be ${mayBe}`);
}
