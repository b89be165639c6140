import { type LookupAddress, type LookupOptions, lookup as lookupHost } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { type Network, parseNetwork } from "tollkeeper/http";

/** Why an address may not be called. */
export class ReceiverRefused extends Error {}

/** UTF-16 units of an address at most. */
const MAX_URL = 2048;

/** Of IPv6 only this much is given out for the internet; the rest holds, among others, IPv4 in another form. */
const GLOBAL_IPV6 = parseNetwork("2000::/3");

/**
 * Which hosts webhooks may go to: those of the internet, and of networks that are allowed by name. Else whoever may set a
 * webhook could have the service ask what only it can reach: its own network, or the credentials of its machine.
 */
export class Receivers {
  readonly #allowed: readonly Network[];

  /** `allowed` are networks in CIDR notation, already checked. */
  constructor(allowed: readonly string[] = []) {
    this.#allowed = allowed.map(parseNetwork).filter((network) => typeof network !== "string");
  }

  /**
   * The address of a webhook, checked as far as that can be told without a look-up.
   *
   * @throws {ReceiverRefused} with what it may be.
   */
  check(text: string): URL {
    const url = text.length <= MAX_URL && URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined) throw new ReceiverRefused(`it may be an address such as https://example.com/hooks`);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    if (url.username !== "" || url.password !== "") {
      throw new ReceiverRefused("it may hold no user and no password; deliveries are signed");
    }
    if (url.hash !== "") throw new ReceiverRefused("it may end with no #, of which a server hears nothing");
    const isAllowed = isIP(host) !== 0 && this.#isAllowed(host);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && isAllowed)) {
      throw new ReceiverRefused(
        "it may begin with https:// only, or with http:// for an address of an allowed network",
      );
    }
    if (isIP(host) !== 0) this.#checkAddress(host);
    else if (/(^|\.)(localhost|local|internal|home\.arpa)\.?$/i.test(host)) {
      throw new ReceiverRefused(`${host} names a host of one's own network, and no allowed one`);
    }
    return url;
  }

  /** Looks a host up for a connection, and refuses those of its addresses that may not be called: a name may change what it stands for. */
  readonly lookup: LookupFunction = (host, options, told) => {
    const all: LookupOptions & { all: true } = { ...options, all: true };
    lookupHost(host, all, (error: NodeJS.ErrnoException | null, found: LookupAddress[] = []) => {
      if (error) return told(error, "");
      try {
        // One that may not be called is enough: which of them is taken may be up to whoever answers.
        for (const { address } of found) this.#checkAddress(address);
      } catch (refused) {
        return told(refused as Error, "");
      }
      if (options.all) return told(null, found);
      const [first] = found;
      if (first === undefined) return told(new Error(`${host} has no address`), "");
      told(null, first.address, first.family);
    });
  };

  #checkAddress(address: string): void {
    const network = parseNetwork(address.split("%", 1)[0] ?? "");
    if (typeof network !== "string" && (isOfInternet(network) || this.#isAllowed(address))) return;
    throw new ReceiverRefused(`${address} is no address of the internet, and of no allowed network`);
  }

  #isAllowed(address: string): boolean {
    const network = parseNetwork(address);
    if (typeof network === "string") return false;
    const [ip] = network;
    return this.#allowed.some((allowed) => isWithin(ip, allowed));
  }
}

function isOfInternet([ip]: Network): boolean {
  return ip.range() === "unicast" && (ip.kind() === "ipv4" || isWithin(ip, GLOBAL_IPV6));
}

function isWithin(ip: Network[0], network: Network | string): boolean {
  return typeof network !== "string" && network[0].kind() === ip.kind() && ip.match(network[0] as never, network[1]);
}
