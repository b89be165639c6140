import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** An address in canonical form: an IPv4-mapped IPv6 address is the IPv4 address that it stands for. */
export type Ip = ipaddr.IPv4 | ipaddr.IPv6;

/** A network of addresses. */
export type Network = [address: Ip, prefixLength: number];

/** The address that a text is, or undefined: strict, so neither `127.1` nor `0x7f.0.0.1` nor `010.0.0.1` is one. */
export function parseIp(text: string): Ip | undefined {
  if (isIP(text) === 0) return undefined;
  const ip = ipaddr.parse(text);
  return ip instanceof ipaddr.IPv6 && ip.isIPv4MappedAddress() ? ip.toIPv4Address() : ip;
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
  const written = ipaddr.parse(address);
  const ip = parseIp(address) ?? written;
  const width = written.kind() === "ipv4" ? 32 : 128;
  const length = prefix === undefined ? width : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!(length <= width)) return `its prefix length is not a number from 0 to ${width}`;
  // An IPv4-mapped network is one of IPv4, in which addresses are compared.
  const canonical = ip.kind() === written.kind() ? length : length - 96;
  if (canonical < 0) return "it is an IPv4-mapped network wider than IPv4 itself";
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
