import { describe, expect, it } from "vitest";
import { Receivers } from "../../../../src/service/webhooks/receiver.js";

const REFUSED = [
  "http://example.com/hooks",
  "ftp://example.com",
  "https://user:secret@example.com/",
  "https://example.com/#part",
  "https://localhost/",
  "https://a.localhost/",
  "https://printer.local/",
  "https://metadata.google.internal/",
  "https://127.0.0.1/",
  "https://127.1/",
  "https://0x7f000001/",
  "https://2130706433/",
  "https://0.0.0.0/",
  "https://10.0.0.1/",
  "https://172.16.0.1/",
  "https://192.168.1.1/",
  "https://169.254.169.254/latest/meta-data/",
  "https://100.64.0.1/",
  "https://224.0.0.1/",
  "https://[::1]/",
  "https://[::]/",
  "https://[::ffff:127.0.0.1]/",
  "https://[::ffff:7f00:1]/",
  "https://[::7f00:1]/",
  "https://[::8.8.8.8]/",
  "https://[4000::1]/",
  "https://[64:ff9b::7f00:1]/",
  "https://[64:ff9b:1::7f00:1]/",
  "https://[2002:7f00:1::]/",
  "https://[fd00::1]/",
  "https://[fe80::1]/",
  "https://[ff02::1]/",
  "nonsense",
  "",
  `https://example.com/${"a".repeat(2048)}`,
];
const TAKEN = [
  "https://example.com/hooks",
  "https://example.com:8443/?a=b",
  "https://8.8.8.8/",
  "https://[2606:4700::1111]/",
];

describe("the address of a webhook", () => {
  it.each(REFUSED)("may not be %s", (url) => {
    expect(() => new Receivers().check(url)).toThrow(/it may|no address of the internet|names a host/);
  });

  it.each(TAKEN)("may be %s", (url) => {
    expect(new Receivers().check(url).href).toBe(new URL(url).href);
  });

  it("may be of a network that is allowed, and of no other", () => {
    const receivers = new Receivers(["10.1.0.0/16", "fd12::/32"]);
    expect(receivers.check("http://10.1.2.3:9000/").port).toBe("9000");
    expect(receivers.check("https://[fd12::1]/").hostname).toBe("[fd12::1]");
    expect(() => receivers.check("https://10.2.0.1/")).toThrow("no allowed network");
    expect(() => receivers.check("http://example.com/")).toThrow("https:// only");
  });
});

describe("the look-up of a host", () => {
  const lookUp = (receivers: Receivers, host: string, all: boolean) =>
    new Promise((resolve, reject) => {
      receivers.lookup(host, { all } as never, (error, address) => (error ? reject(error) : resolve(address)));
    });

  it.each([true, false])("refuses a name that stands for an address of one's own (all: %s)", async (all) => {
    await expect(lookUp(new Receivers(), "localhost", all)).rejects.toThrow("no address of the internet");
  });

  it("tells the addresses of an allowed network", async () => {
    const receivers = new Receivers(["127.0.0.0/8", "::1/128"]);
    expect(["127.0.0.1", "::1"]).toContain(await lookUp(receivers, "localhost", false));
    expect(await lookUp(receivers, "localhost", true)).toContainEqual(
      expect.objectContaining({ family: expect.any(Number) }),
    );
  });
});
