import { createServer } from "node:http";
import { Worker } from "node:worker_threads";
import { expect, it, onTestFinished } from "vitest";
import { drain } from "../../src/service/drain.js";

/** Calls that hold the event loop, one after the other; the server is told to end at one of the first. */
const HOLDING = 20;
const TOLD_AT = 3;

/**
 * Sends calls on a connection of its own, each when that before was answered, and opens one more connection, with a call
 * on it, once the server is held by each: not in the turn before, which may be the last. Says how these ended.
 */
const CLIENT = `
  const { workerData: { port, holding, opened, held }, parentPort } = require("node:worker_threads");
  const { connect } = require("node:net");
  const GET = (path) => "GET " + path + " HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n";
  const tell = () => { Atomics.add(opened, 0, 1); Atomics.notify(opened, 0); };
  const ends = [];
  const open = () => new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.once("connect", () => { socket.write(GET("/")); tell(); });
    socket.once("error", ({ code }) => { if (code === "ECONNREFUSED") tell(); answer = code; });
    socket.on("data", (chunk) => { answer += chunk; socket.end(); });
    socket.once("close", () => resolve(answer.split("\\r\\n")[0]));
  });
  const onceHeld = (times, then) =>
    void (Atomics.load(held, 0) >= times ? then() : setImmediate(onceHeld, times, then));
  const first = connect(port, "127.0.0.1");
  const next = () => {
    if (ends.length === holding) return void first.end();
    first.write(GET("/hold"));
    onceHeld(ends.length + 1, () => ends.push(open()));
  };
  first.once("connect", next).on("data", next).on("error", () => undefined);
  first.once("close", async () => parentPort.postMessage(await Promise.all(ends)));
`;

it("connections that the system has accepted and the process has not are answered: calls lost at the end", async () => {
  const opened = new Int32Array(new SharedArrayBuffer(4));
  const held = new Int32Array(new SharedArrayBuffer(4));
  let drained: Promise<void> | undefined;
  const server = createServer((request, response) => {
    if (request.url === "/hold") {
      const times = Atomics.add(held, 0, 1) + 1;
      // In the turn in which the listener may be closed, until the next connection waits to be accepted.
      while (Atomics.load(opened, 0) < times) Atomics.wait(opened, 0, Atomics.load(opened, 0), 1000);
      if (times === TOLD_AT) drained = drain(server, 0);
    }
    response.end("there");
  }).listen(0, "127.0.0.1");
  onTestFinished(() => server.closeAllConnections());
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  const client = new Worker(CLIENT, { eval: true, workerData: { port, holding: HOLDING, opened, held } });
  const ends = await new Promise<string[]>((resolve) => client.once("message", resolve));
  await drained;
  await client.terminate();
  expect(server.listening).toBe(false);
  expect(ends.length).toBeGreaterThan(TOLD_AT);
  expect(ends.filter((end) => end !== "HTTP/1.1 200 OK" && end !== "ECONNREFUSED")).toEqual([]);
});
