import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** An address in canonical form: an IPv6 address that a translator made of an IPv4 address is that IPv4 address. */
export type Ip = ipaddr.IPv4 | ipaddr.IPv6;

/** A network of addresses. */
export type Network = [address: Ip, prefixLength: number];

/** The address that a text is, or undefined: strict, so neither `127.1` nor `0x7f.0.0.1` nor `010.0.0.1` is one. */
export function parseIp(text: string): Ip | undefined {
  if (isIP(text) === 0) return undefined;
  const ip = parse(text);
  return ip instanceof ipaddr.IPv6 ? (translated(ip) ?? ip) : ip;
}

/** Bits before an IPv4 address in one of IPv6 that stands for it. */
const TRANSLATED = 96;

/** The first six parts of those: IPv4-mapped, NAT64's (RFC 6052) and those of SIIT (RFC 2765). */
const TRANSLATORS = ["0:0:0:0:0:ffff", "64:ff9b:0:0:0:0", "0:0:0:0:ffff:0"];

/** The IPv4 host that a translator has put into an address, so that all of IPv4 would be one network of IPv6. */
function translated({ parts }: ipaddr.IPv6): ipaddr.IPv4 | undefined {
  const prefix = parts.slice(0, 6).map((part) => part.toString(16));
  return TRANSLATORS.includes(prefix.join(":")) ? ipv4Of(parts[6], parts[7]) : undefined;
}

/**
 * The IPv4 end of a tunnel by 6to4 (RFC 3056) or Teredo (RFC 4380), which has 65,536 networks of IPv6, or shares one with
 * all others. It is no IPv4 host, so that a network that is trusted does not hold it.
 */
export function tunnelEnd(ip: Ip): ipaddr.IPv4 | undefined {
  if (ip instanceof ipaddr.IPv4) return undefined;
  const { parts } = ip;
  if (parts[0] === 0x2002) return ipv4Of(parts[1], parts[2]);
  if (parts[0] === 0x2001 && parts[1] === 0) return ipv4Of(~(parts[6] ?? 0), ~(parts[7] ?? 0));
  return undefined;
}

/** Whether an address is of the prefix for NAT64 within a site, where the IPv4 address may stand in several places. */
export function isOfLocalTranslator(ip: Ip): boolean {
  return ip instanceof ipaddr.IPv6 && ip.parts[0] === 0x64 && ip.parts[1] === 0xff9b && ip.parts[2] === 1;
}

function ipv4Of(high = 0, low = 0): ipaddr.IPv4 {
  return new ipaddr.IPv4([(high >> 8) & 0xff, high & 0xff, (low >> 8) & 0xff, low & 0xff]);
}

/**
 * An address as written, without its zone: the library refuses some, as of `fe80::1%eth0.100`. And it would take
 * `::192.0.2.1` for `::ffff:192.0.2.1`, which is another.
 */
function parse(text: string): Ip {
  const [address = ""] = text.split("%", 1);
  return ipaddr.parse(address.replace(/^::(?=\d+\.)/, "0::"));
}

/**
 * The network that a text in CIDR notation is; a bare address is a network of one.
 *
 * @returns The network, or the reason why it can't be one. Networks that hold every address are refused, in whatever
 * notation, since a list with one in it trusts everybody.
 */
export function parseNetwork(text: string): Network | string {
  const [address = "", prefix, ...rest] = text.split("/");
  if (isIP(address) === 0 || rest.length > 0) return "it is not an address or a network such as 10.0.0.0/8";
  if (address.includes("%")) return "it names a zone, by which addresses are not told apart";
  const written = parse(address);
  const ip = parseIp(address) ?? written;
  const width = written.kind() === "ipv4" ? 32 : 128;
  const length = prefix === undefined ? width : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!(length <= width)) return `its prefix length is not a number from 0 to ${width}`;
  // A network of translated addresses is one of IPv4, in which addresses are compared.
  const canonical = ip.kind() === written.kind() ? length : length - TRANSLATED;
  if (canonical < 0) return "it is a network of IPv4 addresses in IPv6 wider than IPv4 itself";
  if (canonical === 0) return "it holds every address, so it would trust everybody";
  return [ip, canonical];
}

/** Whether networks hold every address of IPv4 or of IPv6 between them. */
export function holdEverything(networks: readonly Network[]): boolean {
  return ["ipv4", "ipv6"].some((kind) => {
    // Two networks are apart or one holds the other; the widest are all apart, so that their shares add up.
    const widest: Network[] = [];
    const own = networks.filter(([address]) => address.kind() === kind).sort(([, a], [, b]) => a - b);
    for (const network of own) if (!isWithin(network[0], widest)) widest.push(network);
    return widest.reduce((share, [, length]) => share + 2 ** -length, 0) >= 1;
  });
}

/** Whether any of the networks holds the address. */
export function isWithin(ip: Ip, networks: readonly Network[]): boolean {
  return networks.some(([address, length]) => address.kind() === ip.kind() && ip.match(address, length));
}
