import { once } from "node:events";
import { type IncomingHttpHeaders, request as send } from "node:http";
import { connect } from "node:net";

export interface Asked {
  path?: string;
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  /** The loopback address to call from. */
  from?: string;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  /** Of a problem. */
  code?: unknown;
}

/** What is the framework's own, or the server's: how long the body is, and what becomes of the connection. */
const OWN = ["date", "connection", "keep-alive", "content-length", "transfer-encoding", "x-powered-by"];

/** One call over a socket. */
export async function call(port: number, asked: Asked = {}): Promise<Answer> {
  const { path = "/", method = "GET", headers = {}, body, from = "127.0.0.1" } = asked;
  const sent = send({
    host: "127.0.0.1",
    port,
    path,
    method,
    headers,
    localAddress: from,
    agent: false,
  }).end(body);
  const [answer] = await once(sent, "response");
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) text += chunk;
  const kept = Object.entries(answer.headers).filter(([name]) => !OWN.includes(name));
  kept.sort(([a], [b]) => (a < b ? -1 : 1));
  const fields = Object.fromEntries(kept) as IncomingHttpHeaders;
  const isProblem = fields["content-type"] === "application/problem+json" && text !== "";
  return {
    status: answer.statusCode,
    headers: fields,
    body: text,
    ...(isProblem ? { code: JSON.parse(text).code } : {}),
  };
}

/** Calls, and hangs up once `until` is fulfilled. */
export async function hangUp(port: number, until: Promise<unknown>, path = "/"): Promise<void> {
  const socket = connect(port, "127.0.0.1").on("error", () => undefined);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
  await until;
  socket.destroy();
}

/** Sends the beginning of a body, and hangs up once `until` is fulfilled. */
export async function hangUpInBody(port: number, path: string, until: () => Promise<unknown>): Promise<void> {
  const socket = connect(port, "127.0.0.1").on("error", () => undefined);
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n`;
  socket.write(`${head}[1`);
  await until();
  socket.destroy();
}

/** Sends calls at once on one connection; returns the statuses, in the order of the answers. */
export async function pipelined(port: number, count: number): Promise<number[]> {
  const socket = connect(port, "127.0.0.1");
  const last = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
  socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(count - 1) + last);
  let text = "";
  for await (const chunk of socket.setEncoding("latin1")) text += chunk;
  return [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
}

/** Sends half of a body, and the rest once `until` is fulfilled. */
export async function inHalves(port: number, body: string, until: Promise<unknown>): Promise<number> {
  const headers = { "content-type": "application/json", "content-length": String(body.length) };
  const sent = send({ host: "127.0.0.1", port, method: "POST", headers, agent: false });
  sent.write(body.slice(0, 2));
  await until;
  sent.end(body.slice(2));
  const [answer] = await once(sent, "response");
  answer.resume();
  return answer.statusCode;
}
