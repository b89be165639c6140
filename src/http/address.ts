import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import ipaddr from "ipaddr.js";
import { optionInvalid } from "../errors.js";
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
   * hop that reported it is in one of them; none by default. `true` and hop counts are refused: neither says who the direct
   * peer may be, so a client that reaches this server past the proxy would choose its own address.
   */
  trustProxy?: readonly string[] | undefined;
  /** Bits of an IPv6 address that make one caller, 48 to 64; 64 by default. IPv4 addresses count whole. */
  ipv6Prefix?: number | undefined;
}

/** Fields of a header by name in lower case. */
export type HeaderFields = Readonly<Record<string, string | string[] | undefined>>;

/** Finds out from which address a request comes. */
export class AddressReader {
  readonly #proxies: readonly Network[];
  readonly #ipv6Prefix: number;
  /** The peers of open connections, which carry many calls each. */
  readonly #peers = new WeakMap<Socket, Ip | undefined>();

  /**
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`
   */
  constructor({ trustProxy = [], ipv6Prefix = 64 }: AddressOptions) {
    this.#proxies = networksOf("trustProxy", trustProxy);
    if (!(Number.isInteger(ipv6Prefix) && ipv6Prefix >= 48 && ipv6Prefix <= 64)) {
      throw optionInvalid("ipv6Prefix", ipv6Prefix, "a whole number of bits, 48 to 64");
    }
    this.#ipv6Prefix = ipv6Prefix;
  }

  /**
   * The address of the nearest hop that is no trusted proxy; undefined if it can't be known, as on a Unix socket or
   * when a trusted proxy reports nothing, or something that is no address. Calls that come straight from one connection
   * give the same object.
   */
  read(request: IncomingMessage): Ip | undefined {
    const peer = this.#peerOf(request.socket);
    if (this.#proxies.length === 0) return peer;
    return isCutOff(request) ? undefined : this.#behind(peer, forwardedFor(request.headers));
  }

  /** The same of a call that did not come by Node's server: of the peer's address as text, and the header. */
  find(peer: string | undefined, headers: HeaderFields): Ip | undefined {
    return this.#behind(peer === undefined ? undefined : parseIp(peer), forwardedFor(headers));
  }

  #behind(peer: Ip | undefined, hops: string): Ip | undefined {
    let ip = peer;
    let forwarded = hops;
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
  ignores({ headers, socket }: IncomingMessage): boolean {
    return headers["x-forwarded-for"] !== undefined && this.#ignores(this.#peerOf(socket), headers);
  }

  /** The same of a call that did not come by Node's server. */
  ignoresOf(peer: string | undefined, headers: HeaderFields): boolean {
    return this.#ignores(peer === undefined ? undefined : parseIp(peer), headers);
  }

  #ignores(peer: Ip | undefined, headers: HeaderFields): boolean {
    return forwardedFor(headers) !== "" && (peer === undefined || !isWithin(peer, this.#proxies));
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

/** Readers by the list of networks that they trust, so that each list is read once. */
const readers = new WeakMap<readonly string[], AddressReader>();
const NOBODY: readonly string[] = [];

/**
 * The key of the address from which a call comes, for use without an adapter: `ip:203.0.113.7`, `ip:2001:db8:1:2::/64`.
 *
 * @param peer The socket's remote address.
 * @param headers Fields by name in lower case.
 * @param trust Networks of the proxies in front, in CIDR notation; give the same array with each call.
 * @returns undefined if the address can't be known: refuse the call, or all such callers would be one.
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function addressOf(
  peer: string | undefined,
  headers: HeaderFields,
  trust: readonly string[] = NOBODY,
): string | undefined {
  let reader = readers.get(trust);
  if (reader === undefined) {
    reader = new AddressReader({ trustProxy: trust });
    readers.set(trust, reader);
  }
  const ip = reader.find(peer, headers);
  return ip === undefined ? undefined : reader.keyOf(ip);
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
    throw optionInvalid(option, cidrs, `a list of networks in CIDR notation${reason}`);
  }
  const networks = cidrs.map((cidr: unknown, index) => {
    const network = typeof cidr === "string" ? parseNetwork(cidr) : "it is not a string";
    if (typeof network === "string")
      throw optionInvalid(`${option}[${index}]`, cidr, `a network such as 10.0.0.0/8: ${network}`);
    return network;
  });
  if (holdEverything(networks))
    throw optionInvalid(option, cidrs, "networks that do not hold every address between them");
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
function forwardedFor(headers: HeaderFields): string {
  const header = headers["x-forwarded-for"];
  return typeof header === "string" ? header : (header?.join(",") ?? "");
}

/** Some proxies report `203.0.113.7:5678` or `[2001:db8::1]:5678`. */
function withoutPort(hop: string): string {
  return /^\[(.*)\](?::\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop;
}
