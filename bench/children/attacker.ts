/** Attacks on the service, one at a time, for the benchmark `attacks`. */

import { renameSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect, type Socket } from "node:net";
import { serve } from "../child.js";
import type { Address } from "./victim.js";

/** What to do, and for how long. */
export interface Order {
  attack: AttackName;
  target: Address;
  seconds: number;
  /** Connections of the slow readers. */
  readers: number;
}

/** How often it was done, and what was answered how often. */
export interface Done {
  times: number;
  answers: Record<string, number>;
  /** Of the slow readers: how long the last was held, in s; 0 of others. */
  heldSeconds: number;
}

/** How long, in s, slow readers wait to be cut off. */
const READERS_PATIENCE_S = 60;

type Attack = (order: Order, count: (answer: string) => void) => Promise<number | undefined>;

/** Text that a router would take for parameters, wildcards and regular expressions. */
const PATTERNS = ["/:a-".repeat(3900), `/${":a-".repeat(5000)}`, `/${":a(b)".repeat(2500)}`];
const SHORT_PATTERNS = ["/*x", "/api/v1/keys/:id(", "/api/v1/keys/:id((a+)+)"];
const PIECES = Buffer.from(`${"1\r\n \r\n".repeat(500_000)}0\r\n\r\n`);

const LOOK = "GET /docs HTTP/1.1\r\nhost: x\r\n\r\n";

const ATTACKS = {
  "hostile paths": (order, count) =>
    callers(order, 2, async (turn) => {
      const path = SHORT_PATTERNS[turn % SHORT_PATTERNS.length] ?? "/";
      count(await call(order, "GET", path, order.target.attacker));
    }),
  "paths of 16 KB by OPTIONS": (order, count) =>
    callers(order, 2, async (turn) => {
      count(await call(order, "OPTIONS", PATTERNS[turn % PATTERNS.length] ?? "/", order.target.attacker));
      // Some 36 a second, as they were seen.
      await pause(50);
    }),
  "bodies of 1-byte chunks": (order, count) =>
    callers(order, 2, () => {
      const head = `POST /v1/batch HTTP/1.1\r\nhost: x\r\nx-api-key: ${order.target.attacker}\r\n`;
      const fields = "content-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
      return raw(order, Buffer.concat([Buffer.from(head + fields), PIECES])).then(count);
    }),
  "slow readers": async (order, count) => {
    const sockets = Array.from({ length: order.readers }, () => reader(order));
    const startMs = performance.now();
    let open = sockets.length;
    let lastMs = 0;
    for (const socket of sockets) {
      socket.once("close", () => {
        open--;
        lastMs = performance.now();
      });
    }
    while (open > 0 && performance.now() - startMs < READERS_PATIENCE_S * 1000) await pause(50);
    count(open === 0 ? "all closed" : `${open} still held`);
    for (const socket of sockets) socket.destroy();
    return ((open === 0 ? lastMs : performance.now()) - startMs) / 1000;
  },
  "management without a key": (order, count) =>
    callers(order, 16, async () => count(await call(order, "GET", "/api/v1/keys", undefined))),
  "deep and huge configuration": (order, count) =>
    callers(order, 1, async (turn) => {
      const many = Array.from({ length: 60_000 }, (_, field) => `unknown${field}: 1`).join("\n");
      const text = turn % 2 === 0 ? '{"a":'.repeat(120_000) : many;
      // At once, as editors and ConfigMaps do.
      writeFileSync(`${order.target.configFile}.new`, text);
      renameSync(`${order.target.configFile}.new`, order.target.configFile);
      count("written");
      await pause(500);
    }).finally(() => writeFileSync(order.target.configFile, "{}\n")),
  "pages of keys": (order, count) =>
    callers(order, 4, async () => count(await call(order, "GET", "/api/v1/keys?limit=100", order.target.operator))),
} satisfies Record<string, Attack>;

export type AttackName = keyof typeof ATTACKS;

const agent = new Agent({ keepAlive: true });
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** So many that do a thing again and again until the time is up. */
async function callers({ seconds }: Order, count: number, act: (turn: number) => Promise<void>): Promise<undefined> {
  const endMs = performance.now() + seconds * 1000;
  let turn = 0;
  const loop = async (): Promise<void> => {
    while (performance.now() < endMs) await act(turn++);
  };
  await Promise.all(Array.from({ length: count }, loop));
  return undefined;
}

/** The status of the answer, or what went wrong. */
function call({ target }: Order, method: string, path: string, key: string | undefined): Promise<string> {
  const { hostname, port } = new URL(target.url);
  return new Promise((resolve) => {
    const headers = key === undefined ? {} : { "x-api-key": key };
    const sent = request({ hostname, port, method, path, agent, headers }, (answer) => {
      answer.resume().once("close", () => resolve(String(answer.statusCode)));
    });
    sent.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message)).end();
  });
}

/** The same of what is sent as it stands, on a connection of its own. */
function raw({ target }: Order, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(Number(new URL(target.url).port), "127.0.0.1");
    socket
      .on("error", () => undefined)
      .on("data", (chunk) => {
        answer += chunk;
      });
    socket.once("close", () => resolve(answer.slice(9, 12) || "closed"));
    socket.write(bytes);
  });
}

/** Sends calls and reads no answer, as many as the server takes. */
function reader({ target }: Order): Socket {
  const socket = connect(Number(new URL(target.url).port), "127.0.0.1").pause();
  // As many as may wait, and then one now and then: more at once would be a flood, which is another attack.
  socket.write(LOOK.repeat(30));
  const more = setInterval(() => socket.write(LOOK), 1000);
  return socket.on("error", () => undefined).once("close", () => clearInterval(more));
}

export const ATTACK_NAMES = Object.keys(ATTACKS) as AttackName[];

if (process.send !== undefined) {
  serve(async (order: Order): Promise<Done> => {
    const answers: Record<string, number> = {};
    let times = 0;
    const heldSeconds = await (ATTACKS[order.attack] as Attack)(order, (answer) => {
      times++;
      answers[answer] = (answers[answer] ?? 0) + 1;
    });
    return { times, answers, heldSeconds: heldSeconds ?? 0 };
  });
}
