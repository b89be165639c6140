import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { startService, type TestService } from "./service.js";

const LIMITS = { RATE_LIMIT_CORS_ORIGINS: "", RATE_LIMIT_FREE_MINUTE_LIMIT: "100000000" };

/** A service that listens, a connection to it, and what the service itself sees of that. */
async function connected(): Promise<{ service: TestService; socket: Socket; seen: Socket }> {
  const service = await startService(LIMITS);
  await service.app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = service.app.server.address() as { port: number };
  const accepted = once(service.app.server, "connection");
  const socket = connect({ port, host: "127.0.0.1", noDelay: true }).on("error", () => undefined);
  onTestFinished(() => void socket.destroy());
  const [seen] = (await accepted) as [Socket];
  return { service, socket, seen };
}

/** The answer, and that the connection has ended. */
async function answerOf(socket: Socket): Promise<string> {
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk;
  });
  await new Promise<void>((resolve) => (socket.closed ? resolve() : socket.once("close", () => resolve())));
  return answer;
}

function left({ limiter }: TestService): number {
  return limiter.peek("acct:test-free", "free").limits.find(({ name }) => name === "month")?.remaining ?? Number.NaN;
}

const head = (method: string, path: string, key: string, fields: string) =>
  `${method} ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n${fields}\r\n`;

/** Every kind of route, and what a body of small pieces comes to there; nothing of it is given back. */
const ROUTES: [method: string, path: string, status: number, spends: number][] = [
  ["POST", "/v1/identify", 400, 1],
  ["POST", "/compare", 400, 2],
  ["POST", "/v1/batch", 400, 1],
  ["POST", "/nowhere", 404, 1],
  ["PUT", "/v1/identify", 405, 1],
  ["OPTIONS", "/v1/identify", 405, 1],
  ["PROPFIND", "/v1/identify", 405, 1],
  ["POST", "/%ff", 400, 1],
  ["GET", "/health", 200, 0],
  ["GET", "/v1/quota", 200, 0],
  ["POST", "/api/v1/keys", 403, 1],
];

/** 500 KB in ways that take 3 MB to send, as one chunk of text each. */
const CHUNKED: [name: string, piece: string, fields: string][] = [
  ["chunks of one byte", "1\r\n \r\n", ""],
  ["chunks of one byte with leading zeros", "00000001\r\n \r\n", ""],
  ["chunks of one byte with an extension", "1;a=b\r\n \r\n", ""],
  ["chunks of one byte, of a call for which Node has an answer of its own", "1\r\n \r\n", "expect: x\r\n"],
];

describe.each(CHUNKED)("small pieces: a body in %s", (_, piece, fields) => {
  it.each(ROUTES)("by %s %s is cut off, answered with %i, and paid for", async (method, path, status, spends) => {
    const { service, socket, seen } = await connected();
    const before = left(service);
    socket.write(head(method, path, service.free, `${fields}transfer-encoding: chunked\r\n`));
    socket.write(piece.repeat(500_000));
    const answer = await answerOf(socket);
    // Sent all at once: a reset may overtake what was answered to one that does not read meanwhile.
    if (answer !== "") expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    if (status === 400 && path !== "/%ff") expect(answer).toContain('"code":"body_in_pieces"');
    expect(seen.bytesRead).toBeLessThan(1024 * 1024);
    expect(before - left(service)).toBe(spends);
  });
});

describe("small pieces: a body whose length is known, a byte at a time", () => {
  it.each(ROUTES)("by %s %s is cut off, answered with %i, and paid for", async (method, path, status, spends) => {
    const { service, socket, seen } = await connected();
    const before = left(service);
    const answered = answerOf(socket);
    socket.write(head(method, path, service.free, "content-length: 16000\r\n"));
    let sent = 0;
    for (; sent < 15_000 && !socket.closed && socket.writable; sent++) {
      socket.write(" ");
      // Each byte is read before the next is sent.
      while (seen.bytesRead < socket.bytesWritten && !seen.destroyed) await new Promise(setImmediate);
    }
    if (sent === 15_000) socket.end();
    expect(await answered).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(sent).toBeLessThan(status === 400 && path !== "/%ff" ? 200 : 2000);
    expect(before - left(service)).toBe(spends);
  });
});

describe("a body in pieces as networks and libraries make them", () => {
  const text = (length: number) =>
    `{"fingerprint":{"http":{"headers":[["user-agent","curl/8.5.0"]]}}${" ".repeat(length)}}`;
  const batch = `{"items":[${text(0)}]${" ".repeat(500_000)}}`;

  it.each([
    ["/v1/identify", text(0), 2],
    ["/v1/identify", text(15_000), 512],
    ["/v1/batch", batch, 536],
    ["/v1/batch", batch, 65_536],
  ])("is taken: %s", async (path, body, size) => {
    const { service, socket } = await connected();
    const fields = "transfer-encoding: chunked\r\nconnection: close\r\n";
    const pieces = body.match(new RegExp(`.{1,${size}}`, "gs")) ?? [];
    socket.write(head("POST", path, service.free, fields));
    for (const piece of pieces) socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
    socket.write("0\r\nx-trailer: 1\r\n\r\n");
    expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 200 /);
  });
});

it("slow drip: one that goes on after it was told that it took too long is cut off, and has paid", async () => {
  const { service, socket } = await connected();
  const { app, free } = service;
  const before = left(service);
  app.server.requestTimeout = 200;
  app.server.headersTimeout = 200;
  socket.write(head("POST", "/v1/identify", free, "content-length: 16000\r\n"));
  const drip = setInterval(() => socket.write(" "), 20);
  onTestFinished(() => clearInterval(drip));
  expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"request_timeout"/);
  expect(before - left(service)).toBe(1);
}, 15_000);

it("who is refused before its body is read can read why, and keeps the connection if the body ends", async () => {
  const { service, socket } = await connected();
  const body = " ".repeat(300_000);
  const call = (connection: string) =>
    head("POST", "/nowhere", service.free, `content-length: ${body.length}\r\nconnection: ${connection}\r\n`) + body;
  socket.write(call("keep-alive"));
  await once(socket, "data");
  socket.write(call("close"));
  expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 404 /);
});

it("who is refused before its bodies are read, many times on one connection, leaves nothing behind on it", async () => {
  const { service, socket, seen } = await connected();
  const [soon, listeners] = [seen.destroySoon, seen.listenerCount("close")];
  for (let call = 0; call < 20; call++) {
    socket.write(head("POST", "/nowhere", service.free, "content-length: 2\r\n"));
    await once(socket, "data");
    socket.write("{}");
  }
  socket.write(head("POST", "/nowhere", service.free, "content-length: 0\r\n"));
  await once(socket, "data");
  expect(seen.listenerCount("close")).toBeLessThanOrEqual(listeners + 2);
  expect(seen.destroySoon).toBe(soon);
});
