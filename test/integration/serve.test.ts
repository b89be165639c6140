import { exec } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type Service, serve } from "../../src/service/serve.js";

function temporaryFile(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, name);
}

/** A running service on a free port, and what it printed. */
async function start(environment: Record<string, string>): Promise<Service & { lines: string[]; log: string[] }> {
  const lines: string[] = [];
  const log: string[] = [];
  const service = await serve({
    environment: { PORT: "0", ...environment },
    print: (line) => lines.push(line),
    logStream: { write: (text: string) => log.push(text) },
  });
  onTestFinished(() => service.stop());
  return { ...service, lines, log };
}

/** Begins a call on a socket of its own; the rest of the call ends it and gives the answer. */
function begin(url: string, text: string): (rest: string) => Promise<string> {
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(text);
  return async (rest) => {
    socket.write(rest);
    let answer = "";
    for await (const chunk of socket) answer += chunk;
    return answer;
  };
}

function keysIn(lines: string[]): string[][] {
  return lines.filter((line) => /^ +\w+ +fpk_/.test(line)).map((line) => line.trim().split(/ +/));
}

describe("the first start", () => {
  it("says name, version, address, engine and storage, then a key per tier, then a line to try", async () => {
    const file = temporaryFile("usage.redb");
    const { lines, url } = await start({ RATE_LIMIT_FILE: file });
    const { version } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(lines[0]).toBe(`fingerprint-api ${version} on ${url}, engine native`);
    expect(lines[1]).toBe(`storage: file ${file}`);
    expect(keysIn(lines).map(([tier]) => tier)).toEqual(["free", "pro", "enterprise", "partner"]);
    expect(lines.at(-1)).toMatch(/^ {2}curl /);
  });

  it("prints a line that works as printed, with the key of the tier free", async () => {
    const { lines } = await start({ RATE_LIMIT_STORAGE: "memory" });
    const { stdout } = await promisify(exec)(`${lines.at(-1)?.trim()} --silent`);
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(stdout).toMatch(/x-quota-tier: free/i);
    expect(JSON.parse(stdout.slice(stdout.indexOf("{")))).toMatchObject({
      candidates: [{ client: "chromium" }],
      cost: 1,
    });
  });

  it("makes no demo keys where they are not wanted, and the line to try works without one", async () => {
    const { lines } = await start({ RATE_LIMIT_STORAGE: "memory", RATE_LIMIT_DEMO_KEYS: "never" });
    expect(keysIn(lines)).toEqual([]);
    expect(lines.join("\n")).not.toContain("Bearer");
  });

  it("with the JavaScript engine keeps nothing, and says so and why", async () => {
    const { lines } = await start({ RATE_LIMIT_ENGINE: "js" });
    expect(lines[0]).toContain("engine js (RATE_LIMIT_ENGINE=js)");
    expect(lines[1]).toMatch(/^storage: memory: USAGE AND KEYS ARE NOT KEPT/);
  });

  it.each([{ RATE_LIMIT_FILE: "x.redb" }, { RATE_LIMIT_STORAGE: "file" }])(
    "does not happen without the storage that was asked for: %j",
    async (asked) => {
      await expect(start({ RATE_LIMIT_ENGINE: "js", ...asked })).rejects.toMatchObject({
        code: "ERR_STORAGE_NEEDS_NATIVE",
      });
    },
  );
});

describe("demo keys of an earlier start", () => {
  const NEVER = { RATE_LIMIT_DEMO_KEYS: "never" };
  const places: [string, Record<string, string>, Record<string, string>, number][] = [
    ["development", {}, { RATE_LIMIT_PRESET: "development" }, 200],
    ["development", {}, NEVER, 401],
    ["development", {}, { RATE_LIMIT_PRESET: "staging", HOST: "127.0.0.1", RATE_LIMIT_DRAIN_DELAY_MS: "0" }, 401],
    ["development", {}, { RATE_LIMIT_PRESET: "production", HOST: "127.0.0.1", RATE_LIMIT_DRAIN_DELAY_MS: "0" }, 401],
    [
      "production that asks for them",
      {
        RATE_LIMIT_PRESET: "production",
        RATE_LIMIT_DEMO_KEYS: "once",
        HOST: "127.0.0.1",
        RATE_LIMIT_DRAIN_DELAY_MS: "0",
      },
      NEVER,
      401,
    ],
    [
      "development",
      {},
      {
        RATE_LIMIT_PRESET: "production",
        RATE_LIMIT_DEMO_KEYS: "once",
        HOST: "127.0.0.1",
        RATE_LIMIT_DRAIN_DELAY_MS: "0",
      },
      200,
    ],
  ];
  it.each(places)(
    "made under %s %j, under %j are answered %i, and the start says so",
    async (_, made, then, status) => {
      const RATE_LIMIT_FILE = temporaryFile("usage.redb");
      const first = await start({ RATE_LIMIT_FILE, ...made });
      const keys = keysIn(first.lines).map(([, key]) => key ?? "");
      expect(keys).toHaveLength(4);
      await first.stop();
      const second = await start({ RATE_LIMIT_FILE, ...then });
      const url = new URL(second.url);
      url.hostname = "127.0.0.1";
      for (const key of keys) {
        for (const [method, path] of [
          ["POST", "/v1/identify"],
          ["GET", "/v1/quota"],
        ] as const) {
          const body =
            method === "POST" ? '{"fingerprint":{"tls":{"ja4":"t13d1517h2_8daaf6152771_cb7bf5808d99"}}}' : null;
          const headers = { "content-type": "application/json", "x-api-key": key };
          const answer = await fetch(new URL(path, url), { method, headers, body });
          await answer.arrayBuffer();
          expect(answer.status, `${path}`).toBe(status);
        }
      }
      expect(second.lines.join("\n")).toContain(
        status === 200 ? "4 of an earlier start are good" : "4 of an earlier start are stored, and refused",
      );
      await second.stop();
      // Nothing was taken away: back where they are good, they are.
      const third = await start({ RATE_LIMIT_FILE });
      expect(third.lines.join("\n")).toContain("4 of an earlier start are good");
    },
  );

  it("leave no account behind that a consumer of the gateway could step into", async () => {
    const RATE_LIMIT_FILE = temporaryFile("usage.redb");
    await (await start({ RATE_LIMIT_FILE })).stop();
    const secret = "a secret of the gateway";
    const { url } = await start({ RATE_LIMIT_FILE, ...NEVER, RATE_LIMIT_GATEWAY_SECRET: secret });
    const headers = { "x-gateway-auth": secret, "x-consumer-username": "demo-enterprise", "x-real-ip": "203.0.113.7" };
    const answer = await fetch(`${url}/v1/quota`, { headers });
    const body = (await answer.json()) as { tier?: string };
    expect(body.tier).not.toBe("enterprise");
  });
});

describe("a later start", () => {
  const call = async ({ url }: Service, key: string) => {
    const answer = await fetch(`${url}/v1/identify`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": key },
      body: '{"fingerprint":{"tls":{"ja4":"t13d1517h2_8daaf6152771_cb7bf5808d99"}}}',
    });
    await answer.arrayBuffer();
    return [answer.status, answer.headers.get("x-quota-monthly-remaining")];
  };

  it("still knows keys and usage, can't show the keys again, and says how to get new ones", async () => {
    const RATE_LIMIT_FILE = temporaryFile("usage.redb");
    const first = await start({ RATE_LIMIT_FILE });
    const free = keysIn(first.lines)[0]?.[1] ?? "";
    expect(await call(first, free)).toEqual([200, "49999"]);
    await first.stop();

    const second = await start({ RATE_LIMIT_FILE });
    expect(keysIn(second.lines)).toEqual([]);
    expect(second.lines.slice(2).join("\n")).toMatch(/there are keys already.*RATE_LIMIT_DEMO_KEYS=new npm start$/ms);
    expect(second.lines.join("\n")).not.toContain("delete");
    expect(await call(second, free)).toEqual([200, "49998"]);
    await second.stop();

    const third = await start({ RATE_LIMIT_FILE, RATE_LIMIT_DEMO_KEYS: "new" });
    const renewed = keysIn(third.lines)[0]?.[1] ?? "";
    expect((await call(third, free))[0]).toBe(401);
    expect(await call(third, renewed)).toEqual([200, "49997"]);
  });

  it("knows no keys under another pepper, and the file holds none", async () => {
    const RATE_LIMIT_FILE = temporaryFile("usage.redb");
    const first = await start({ RATE_LIMIT_FILE, RATE_LIMIT_KEY_PEPPER: "a pepper of some length" });
    const free = keysIn(first.lines)[0]?.[1] ?? "";
    await first.stop();
    expect(readFileSync(RATE_LIMIT_FILE).includes(free.slice(0, 24))).toBe(false);
    const second = await start({ RATE_LIMIT_FILE, RATE_LIMIT_KEY_PEPPER: "another pepper than that" });
    expect((await call(second, free))[0]).toBe(401);
  });
});

describe("a start that can't be", () => {
  it("on a port that is taken names HOST and PORT, and leaves nothing open", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const RATE_LIMIT_FILE = temporaryFile("usage.redb");
    await expect(start({ PORT: String(port), RATE_LIMIT_FILE })).rejects.toMatchObject({
      code: "ERR_ADDRESS_IN_USE",
      message: expect.stringMatching(new RegExp(`port ${port} of 127.0.0.1.*PORT.*HOST`)),
    });
    // The file is free again, and the demo keys are still to be shown.
    expect(keysIn((await start({ RATE_LIMIT_FILE })).lines)).toHaveLength(4);
  });

  it.each([
    ["192.0.2.1", "none of this machine's"], // TEST-NET-1
    ["no-such-host.invalid", "no such host"],
  ])("on %s names HOST and PORT, and what is wrong", async (HOST, why) => {
    await expect(start({ HOST, RATE_LIMIT_STORAGE: "memory" })).rejects.toMatchObject({
      code: "ERR_ADDRESS_UNAVAILABLE",
      message: expect.stringMatching(new RegExp(`HOST ${HOST} and PORT 0 .*${why}`)),
    });
  });

  it("with bad settings says them all and touches no file", async () => {
    const RATE_LIMIT_FILE = temporaryFile("usage.redb");
    await expect(start({ RATE_LIMIT_FILE, PORT: "http", RATE_LIMIT_FREE_LIMIT: "1" })).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringMatching(/RATE_LIMIT_FREE_LIMIT[\s\S]*PORT is "http"/),
    });
    expect(existsSync(RATE_LIMIT_FILE)).toBe(false);
  });
});

describe("stopping", () => {
  it("ends the calls that have begun, and says on the way that it is not ready", async () => {
    const { app, stop, url } = await start({ RATE_LIMIT_STORAGE: "memory" });
    const body = '{"fingerprint":{"tls":{"ja4":"t13d1517h2_8daaf6152771_cb7bf5808d99"}}}';
    const length = `content-type: application/json\r\ncontent-length: ${body.length}`;
    const arrived = new Promise((resolve) => app.server.once("request", resolve));
    const call = begin(url, `POST /v1/identify HTTP/1.1\r\nhost: x\r\n${length}\r\n\r\n`);
    const probe = begin(url, "GET /ready HTTP/1.1\r\n");
    await arrived;
    const stopped = stop();
    // By then the server has closed every connection on which nothing has begun.
    await vi.waitFor(() => expect(app.server.listening).toBe(false));
    expect(await probe("host: x\r\n\r\n")).toMatch(/^HTTP\/1\.1 503 [\s\S]*"code":"draining"/);
    expect(await call(body)).toMatch(/^HTTP\/1\.1 200 OK/);
    await stopped;
  });

  it("frees the port and the file", async () => {
    const RATE_LIMIT_FILE = temporaryFile("usage.redb");
    const first = await start({ RATE_LIMIT_FILE });
    await Promise.all([first.stop(), first.stop()]);
    const second = await start({ RATE_LIMIT_FILE, PORT: new URL(first.url).port });
    expect(second.url).toBe(first.url);
  });
});
