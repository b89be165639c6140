import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { AddressReader, networksOf } from "../../../src/http/address.js";
import { isWithin, parseIp, parseNetwork } from "../../../src/http/network.js";

function request(remoteAddress: string | undefined, forwardedFor?: string): IncomingMessage {
  const headers = forwardedFor === undefined ? {} : { "x-forwarded-for": forwardedFor };
  return { socket: { remoteAddress }, headers, rawHeaders: [] } as unknown as IncomingMessage;
}

function keyOf(reader: AddressReader, remoteAddress: string | undefined, forwardedFor?: string): string | undefined {
  const ip = reader.read(request(remoteAddress, forwardedFor));
  return ip === undefined ? undefined : reader.keyOf(ip);
}

describe("the key of an address", () => {
  it.each([
    ["203.0.113.7", "ip:203.0.113.7"],
    ["::ffff:203.0.113.7", "ip:203.0.113.7"],
    ["::ffff:cb00:7107", "ip:203.0.113.7"],
    ["2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::/64"],
    ["2001:DB8:0001:0002:ffff:ffff:ffff:ffff", "ip:2001:db8:1:2::/64"],
    ["2001:db8::1", "ip:2001:db8::/64"],
    ["::1", "ip:::/64"],
    ["fe80::1%eth0", "ip:fe80::/64"],
    ["fe80::1%eth0.100", "ip:fe80::/64"],
    ["fe80::1%br:0", "ip:fe80::/64"],
    ["2001:db8:1:2::3%1.2.3.4", "ip:2001:db8:1:2::/64"],
    ["::ffff:203.0.113.7%::", "ip:203.0.113.7"],
    ["::ffff:203.0.113.7%eth0", "ip:203.0.113.7"],
    ["::FFFF:203.0.113.7", "ip:203.0.113.7"],
    ["0:0:0:0:0:ffff:cb00:7107", "ip:203.0.113.7"],
  ])("of %s is %s", (address, key) => {
    expect(keyOf(new AddressReader({}), address)).toBe(key);
  });

  it.each([
    ["NAT64", "64:ff9b::203.0.113.7", "ip:203.0.113.7"],
    ["NAT64, in hexadecimal", "64:ff9b::cb00:7107", "ip:203.0.113.7"],
    ["NAT64, in capitals and full length", "0064:FF9B:0000:0000:0000:0000:CB00:7107", "ip:203.0.113.7"],
    ["NAT64, with a zone", "64:ff9b::203.0.113.7%eth0", "ip:203.0.113.7"],
    ["a neighbour by NAT64", "64:ff9b::203.0.113.8", "ip:203.0.113.8"],
    ["NAT64 within a site", "64:ff9b:1::cb00:7107", "ip:64:ff9b:1::cb00:7107/128"],
    ["NAT64 within a site, by a prefix of its own", "64:ff9b:1:cb00:7:1::", "ip:64:ff9b:1:cb00:7:1::/128"],
    ["SIIT", "::ffff:0:203.0.113.7", "ip:203.0.113.7"],
    ["6to4", "2002:cb00:7107:1::5", "ip:203.0.113.7"],
    ["6to4, of another network of the same host", "2002:cb00:7107:ffff::5", "ip:203.0.113.7"],
    ["Teredo", "2001:0:4136:e378:8000:63bf:34ff:8ef8", "ip:203.0.113.7"],
    ["Teredo, of another client of the same server", "2001:0:4136:e378:8000:63bf:34ff:8ef7", "ip:203.0.113.8"],
    ["none: what only looks like NAT64", "64:ff9b:0:1::cb00:7107", "ip:64:ff9b:0:1::/64"],
    ["none: what only looks like Teredo", "2001:1::cb00:7107", "ip:2001:1::/64"],
    ["none: IPv4-compatible, which nobody may have", "::203.0.113.7", "ip:::/64"],
    ["none: the same in hexadecimal", "::cb00:7107", "ip:::/64"],
    ["none: the loopback", "::1", "ip:::/64"],
  ])("of an IPv4 host is that host's, though it comes by IPv6: %s", (_what, address, key) => {
    expect(keyOf(new AddressReader({}), address)).toBe(key);
    const reader = new AddressReader({ trustProxy: ["10.0.0.0/8"], ipv6Prefix: 48 });
    const isNative = key.endsWith("/64");
    if (isNative) return;
    for (const hop of [address, address.toUpperCase(), `[${address}]`, `[${address}]:443`]) {
      if (!hop.includes("%ETH0")) expect(keyOf(reader, "64:ff9b::10.0.0.1", `1.1.1.1, ${hop}`)).toBe(key);
    }
  });

  it.each([
    [48, "ip:2001:db8:abcd::/48"],
    [56, "ip:2001:db8:abcd:1200::/56"],
    [60, "ip:2001:db8:abcd:1230::/60"],
    [64, "ip:2001:db8:abcd:1234::/64"],
  ])("is cut to %d bits", (ipv6Prefix, key) => {
    expect(keyOf(new AddressReader({ ipv6Prefix }), "2001:db8:abcd:1234:5678::1")).toBe(key);
  });

  it.each([undefined, "", "unix:", "127.1", "0x7f.0.0.1", "010.0.0.1", "2130706433", "hello"])(
    "is none for a peer of %j",
    (peer) => {
      expect(keyOf(new AddressReader({}), peer)).toBeUndefined();
    },
  );
});

describe("behind trusted proxies", () => {
  const reader = new AddressReader({ trustProxy: ["10.0.0.0/8", "2001:db8:ffff::/48", "192.0.2.1"] });

  it.each([
    ["a client behind one proxy", "10.0.0.1", "203.0.113.7", "ip:203.0.113.7"],
    ["a client behind three", "10.0.0.1", "203.0.113.7, 192.0.2.1, 2001:db8:ffff::5", "ip:203.0.113.7"],
    ["a proxy known by its mapped address", "::ffff:10.0.0.1", "203.0.113.7", "ip:203.0.113.7"],
    ["what the client itself had sent", "10.0.0.1", "1.1.1.1, 203.0.113.7", "ip:203.0.113.7"],
    ["a client that calls itself a proxy", "10.0.0.1", "1.1.1.1, 10.0.0.9, 203.0.113.7", "ip:203.0.113.7"],
    ["garbage to the left of the client", "10.0.0.1", "<script>, , 203.0.113.7", "ip:203.0.113.7"],
    ["a port", "10.0.0.1", "203.0.113.7:5678", "ip:203.0.113.7"],
    ["IPv6 in brackets", "10.0.0.1", "[2001:db8:1:2::3]", "ip:2001:db8:1:2::/64"],
    ["IPv6 in brackets with a port", "10.0.0.1", "[2001:db8:1:2::3]:5678", "ip:2001:db8:1:2::/64"],
    ["a proxy that does not say for whom it calls", "10.0.0.1", undefined, undefined],
    ["a proxy that says nothing", "10.0.0.1", "", undefined],
    ["a call from within", "10.0.0.1", "10.1.1.1, 10.2.2.2", "ip:10.1.1.1"],
    ["a peer that is no proxy", "203.0.113.9", "1.1.1.1", "ip:203.0.113.9"],
  ])("the address of %s", (_what, peer, header, key) => {
    expect(keyOf(reader, peer, header)).toBe(key);
  });

  it.each(["unknown", "_hidden", "203.0.113.7, ", "256.1.1.1", "203.0.113.7, unknown"])(
    "is not known when the proxy reports %j",
    (header) => {
      expect(keyOf(reader, "10.0.0.1", header)).toBeUndefined();
    },
  );
});

describe("the end of a tunnel", () => {
  it.each(["2002:a00:1::1", "2001:0:4136:e378:8000:63bf:f5ff:fffe"])(
    "is counted by its IPv4 address and not trusted for it: %s",
    (peer) => {
      expect(keyOf(new AddressReader({}), peer)).toBe("ip:10.0.0.1");
      expect(keyOf(new AddressReader({ trustProxy: ["10.0.0.0/8"] }), peer, "1.1.1.1")).toBe("ip:10.0.0.1");
    },
  );
});

describe("trustProxy", () => {
  it.each([true, 1, "10.0.0.0/8"])("as %j is refused, with the reason", (trustProxy) => {
    const open = () => new AddressReader({ trustProxy: trustProxy as unknown as string[] });
    expect(open).toThrow(expect.objectContaining({ code: "ERR_OPTION_INVALID" }));
    expect(open).toThrow(/a list of networks in CIDR notation/);
    if (typeof trustProxy !== "string") expect(open).toThrow(/choose its own address/);
  });

  it.each([
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b::/64",
    "::ffff:0:0:0/96",
    "0.0.0.0/0",
    "::/0",
    "::ffff:10.0.0.0/95",
    "10.0.0.0/33",
    "10.0.0/8",
    "proxy.local",
    "10.0.0.0/8/8",
    "fe80::1%eth0/64",
    "",
  ])("of %j is refused: ::ffff:0:0/96-style trust that trusts everybody", (network) => {
    expect(() => networksOf("trustProxy", [network])).toThrow(/trustProxy\[0\]/);
  });

  it("of networks that hold every address between them is refused", () => {
    expect(() => networksOf("trustProxy", ["0.0.0.0/1", "128.0.0.0/1"])).toThrow(/every address between them/);
  });

  it.each(["::ffff:10.0.0.0/104", "64:ff9b::10.0.0.0/104", "::ffff:0:10.0.0.0/104"])(
    "of an IPv4 network in IPv6 is that IPv4 network: %s",
    (text) => {
      const [network] = networksOf("trustProxy", [text]);
      const within = (text: string) => {
        const ip = parseIp(text);
        return ip !== undefined && network !== undefined && isWithin(ip, [network]);
      };
      expect([within("10.9.9.9"), within("::ffff:10.9.9.9"), within("11.0.0.1"), within("::a00:1")]).toEqual([
        true,
        true,
        false,
        false,
      ]);
    },
  );

  it("of an IPv6 network holds no IPv4 address", () => {
    const network = parseNetwork("::/8");
    const ip = parseIp("::ffff:10.0.0.1");
    expect(typeof network !== "string" && ip !== undefined && isWithin(ip, [network])).toBe(false);
  });
});

it.each([47, 65, 56.5, "64"])("ipv6Prefix of %j is refused", (ipv6Prefix) => {
  expect(() => new AddressReader({ ipv6Prefix: ipv6Prefix as number })).toThrow(/48 to 64/);
});
