import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { startService } from "./service.js";

async function listening(environment: Record<string, string> = {}) {
  const { app } = await startService(environment);
  await app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = app.server.address() as { port: number };
  const open = async (): Promise<Socket> => {
    const socket = connect(port, "127.0.0.1").on("error", () => undefined);
    onTestFinished(() => void socket.destroy());
    await once(socket, "connect");
    return socket;
  };
  return { app, open };
}

async function answerOf(socket: Socket): Promise<string> {
  let answer = "";
  for await (const chunk of socket) answer += chunk;
  return answer;
}

it("a header that trickles in is cut off before the time of a whole call is up: slow senders", async () => {
  const { app, open } = await listening();
  expect(app.server).toMatchObject({ headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 72_000 });
  app.server.headersTimeout = 100;
  const socket = await open();
  socket.write("GET /health HTTP/1.1\r\nhost: x\r\nx-a: ");
  const trickle = setInterval(() => socket.write("a"), 20);
  onTestFinished(() => clearInterval(trickle));
  expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n[\s\S]*"code":"request_timeout"/);
});

it("a connection on which nothing happens is closed", async () => {
  const { app, open } = await listening();
  app.server.keepAliveTimeout = 1;
  const socket = await open();
  socket.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
  expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
});

it("more connections than may be open at once are closed at once, and the others are served", async () => {
  const { open } = await listening({ RATE_LIMIT_MAX_CONNECTIONS: "2" });
  const [first, second, third] = [await open(), await open(), await open()];
  expect(await answerOf(third)).toBe("");
  for (const socket of [first, second]) socket.write("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  expect(await answerOf(first)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(await answerOf(second)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
});

it("of a header not many more than a hundred fields are read", async () => {
  const { app, open } = await listening();
  const seen: number[] = [];
  app.server.on("request", ({ rawHeaders }) => seen.push(rawHeaders.length / 2));
  const socket = await open();
  const fields = Array.from({ length: 300 }, (_, index) => `x-${index}: 1\r\n`).join("");
  socket.write(`GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${fields}\r\n`);
  expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  // Node stops after the 32 in whose midst the hundredth is.
  expect(seen[0]).toBeLessThan(140);
});

const LOOK = "GET /docs HTTP/1.1\r\nhost: x\r\n\r\n";

/** Resolves when the service has closed as many connections; each that it sees is noted. */
function watched(app: FastifyInstance, count: number): { seen: Socket[]; closed: Promise<void> } {
  const seen: Socket[] = [];
  const closed = new Promise<void>((resolve) => {
    let left = count;
    app.server.on("connection", (socket) => {
      seen.push(socket);
      socket.on("close", () => --left === 0 && resolve());
    });
  });
  return { seen, closed };
}

describe("slow readers: clients that send calls and read no answer", () => {
  const CLIENTS = 20;

  it.each([
    ["say nothing more", 0],
    ["go on sending", 50],
  ])(
    "are closed once they have taken nothing for a while, though they %s, and hold one answer each",
    async (_, pauseMs) => {
      const { app, open } = await listening();
      expect(app.server.timeout).toBe(20_000);
      app.server.timeout = 1000;
      const { seen, closed } = watched(app, CLIENTS);
      const holds: number[] = [];
      for (let client = 0; client < CLIENTS; client++) {
        const socket = (await open()).pause();
        await vi.waitFor(() => expect(seen.length).toBe(client + 1));
        const there = seen[client] as Socket;
        let written = -1;
        // Until neither its kernel nor ours takes more; no more calls at a time than may wait.
        await vi.waitFor(
          () => {
            const isDone = there.writableLength === 0 && there.bytesWritten === written;
            if (isDone || written < 0) socket.write(LOOK.repeat(20));
            written = there.bytesWritten;
            expect(there.writableLength).toBeGreaterThan(0);
          },
          { interval: 20, timeout: 5000 },
        );
        holds.push(there.writableLength);
        if (pauseMs === 0) continue;
        const more = setInterval(() => socket.write("G"), pauseMs);
        onTestFinished(() => clearInterval(more));
      }
      await closed;
      const { rawPayload } = await app.inject("/docs");
      expect(Math.max(...holds)).toBeLessThan(rawPayload.length + 4096); // With its header.
      expect((await app.inject("/health")).statusCode).toBe(200);
    },
    20_000,
  );

  it("with more calls waiting than may be are closed at once", async () => {
    const { app, open } = await listening();
    const { closed } = watched(app, 1);
    (await open()).pause().write(LOOK.repeat(1000));
    await closed;
  });
});

it.each([
  ["plain calls", ""],
  ["calls that expect to be told to go on", "expect: 100-continue\r\n"],
  ["calls that expect what nobody knows", "expect: x\r\n"],
])("of thousands of %s sent at once no more are read than may wait", async (_, fields) => {
  const { app, open } = await listening();
  let made = 0;
  app.server.on("request", () => made++);
  app.server.on("checkExpectation", () => made++);
  const { closed } = watched(app, 1);
  (await open()).write(`GET /nowhere HTTP/1.1\r\nhost: x\r\n${fields}\r\n`.repeat(2000));
  await closed;
  expect(made).toBeLessThan(100);
  expect((await app.inject("/health")).statusCode).toBe(200);
});

it.each([
  ["what nobody knows is expected of", "host: x\r\nexpect: x\r\n", 404],
  ["no host is named by", "", 400],
])("a call is in the line where %s it", async (_, fields, status) => {
  const { open } = await listening();
  const socket = await open();
  socket.write(
    `GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /nowhere HTTP/1.1\r\n${fields}\r\n` +
      "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
  );
  const statuses = [...(await answerOf(socket)).matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status);
  expect(statuses).toEqual(["200", `${status}`, ...(status === 400 ? [] : ["200"])]);
});

it("calls that wait for each other on a connection are answered one after the other", async () => {
  const { open } = await listening();
  const socket = await open();
  const paths = Array.from({ length: 25 }, (_, index) => (index % 2 === 0 ? "/health" : "/nowhere"));
  const last = "GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
  socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`).join("") + last);
  const statuses = [...(await answerOf(socket)).matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status);
  expect(statuses).toEqual([...paths.map((path) => (path === "/health" ? "200" : "404")), "200"]);
});

it("connections are bounded also where nobody says how many there may be", async () => {
  const { app } = await listening();
  expect(app.server.maxConnections).toBe(10_000);
});
