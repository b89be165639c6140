/** Thousands of clients, each of an account and a connection of its own that it keeps, for the benchmark `clients`. */

import { connect, type Socket } from "node:net";
import { serve } from "../child.js";

/** Whom to call, and how often. */
export interface Load {
  url: string;
  gatewaySecret: string;
  clients: number;
  seconds: number;
  /** Between two calls of a client. */
  pauseMs: number;
}

/** What came of it. */
export interface Outcome {
  connected: number;
  answered: number;
  /** Answers of another status than 200, calls without an answer, and connections that could not be made or ended. */
  failed: number;
  /** How often each of that happened. */
  failures: Record<string, number>;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

const BODY = '{"fingerprint":{"tls":{"ja4":"t13d1517h2_8daaf6152771_cb7bf5808d99"}}}';
/** Connections begun at a time, so that the queue of the listener holds them. */
const AT_ONCE = 100;
/** How long, in ms, the last calls may take to be answered. */
const PATIENCE_MS = 30_000;

/** One client: it has one call under way at most. */
class Client {
  readonly #call: Buffer;
  #socket: Socket | undefined;
  #received = "";
  #sentMs = 0;
  #tell: (status: number, ms: number) => void;

  constructor(account: string, gatewaySecret: string, tell: (status: number, ms: number) => void) {
    this.#tell = tell;
    this.#call = Buffer.from(
      "POST /v1/identify HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n" +
        `x-gateway-auth: ${gatewaySecret}\r\nx-consumer-username: ${account}\r\nx-consumer-groups: free\r\n` +
        `x-real-ip: 203.0.113.1\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`,
    );
  }

  get isWaiting(): boolean {
    return this.#sentMs > 0;
  }

  connect(port: number, ended: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true }, resolve);
      socket.setEncoding("latin1");
      socket.once("error", reject).once("close", ended);
      socket.on("data", (text: string) => this.#take(text));
      this.#socket = socket;
    });
  }

  call(): void {
    if (this.isWaiting) return;
    this.#sentMs = performance.now();
    this.#socket?.write(this.#call);
  }

  end(): void {
    this.#socket?.removeAllListeners("close").destroy();
  }

  #take(text: string): void {
    this.#received += text;
    const end = this.#received.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(this.#received)?.[1]);
    if (this.#received.length < end + 4 + length) return;
    const status = Number(this.#received.slice(9, 12));
    const ms = performance.now() - this.#sentMs;
    this.#received = "";
    this.#sentMs = 0;
    this.#tell(status, ms);
  }
}

serve(async ({ url, gatewaySecret, clients: count, seconds, pauseMs }: Load): Promise<Outcome> => {
  const outcome = { connected: 0, answered: 0, failed: 0, failures: {} as Record<string, number> };
  const fail = (what: string): void => {
    outcome.failed++;
    outcome.failures[what] = (outcome.failures[what] ?? 0) + 1;
  };
  const took: number[] = [];
  const clients = Array.from(
    { length: count },
    (_, index) =>
      new Client(`account-${index}`, gatewaySecret, (status, ms) => {
        if (status === 200) outcome.answered++;
        else fail(`status ${status}`);
        took.push(ms);
      }),
  );
  const port = Number(new URL(url).port);
  for (let at = 0; at < count; at += AT_ONCE) {
    const connecting = clients.slice(at, at + AT_ONCE).map((client) =>
      client
        .connect(port, () => fail("closed"))
        .then(
          () => {
            outcome.connected++;
            // A server takes one that says nothing for ten seconds for a slow sender.
            client.call();
          },
          () => fail("not connected"),
        ),
    );
    await Promise.all(connecting);
  }
  // Each has its own beat, spread evenly over the pause.
  const startMs = performance.now();
  let next = 0;
  await new Promise<void>((resolve) => {
    const beat = setInterval(() => {
      const elapsedMs = performance.now() - startMs;
      for (; next < (elapsedMs / pauseMs) * count; next++) clients[next % count]?.call();
      if (elapsedMs < seconds * 1000) return;
      clearInterval(beat);
      resolve();
    }, 1);
  });
  const patienceMs = performance.now() + PATIENCE_MS;
  while (clients.some(({ isWaiting }) => isWaiting) && performance.now() < patienceMs) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  for (const client of clients) {
    if (client.isWaiting) fail("not answered");
    client.end();
  }
  took.sort((a, b) => a - b);
  const at = (share: number) => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? 0;
  return { ...outcome, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
});
