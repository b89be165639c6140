import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, it, onTestFinished } from "vitest";
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
