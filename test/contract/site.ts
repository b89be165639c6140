import type { IncomingMessage } from "node:http";
import type {
  Cost,
  FieldOptions,
  FinalAnswer,
  Identified,
  MaybePromise,
  Meter,
  UsageLedger,
} from "../../src/http/index.js";
import type { Decision, Limiter, SharedLimiter } from "../../src/index.js";

/** Reads a header field of a call, whatever the framework. */
export type Field = (name: string) => string | undefined;

/** Options of one layer, named as every adapter names them. */
export interface Layer {
  identify?: (field: Field) => Identified | Promise<Identified>;
  trustProxy?: readonly string[];
  trusted?: readonly string[];
  ipv6Prefix?: number;
  shadow?: boolean;
  fields?: FieldOptions | false;
  refundOn?: "failure" | "success" | ((answer: FinalAnswer) => "all" | "quotas" | false);
  ledger?: UsageLedger;
  meter?: Meter;
  /** Answers a denial with this in place of the problem. */
  onDenied?: (decision: Decision) => Reply;
}

/** What a handler answers. */
export interface Reply {
  status: number;
  headers?: Record<string, string>;
  body?: string;
  /** The body, where it is sent bit by bit. */
  chunks?: AsyncIterable<string>;
}

/** A call that has reached its handler. */
export interface Call {
  toll: Decision | undefined;
  tolls: readonly Decision[];
  /** Fulfilled when the server has seen that the caller is gone. */
  gone: Promise<void>;
}

export interface Route {
  cost?: Cost | ((field: Field) => Cost);
  /** The whole cost, of a body that is JSON; the body is read, and refused with 400 where it is none, if this is given. */
  total?: (body: unknown) => MaybePromise<Cost>;
  handle?: (call: Call) => Reply | Promise<Reply>;
}

/** An app in terms that every framework has. */
export interface Setup {
  layers: Layer[];
  /** By path; each answers every method. */
  routes: Record<string, Route>;
  /** Whether preflights are answered, by what comes before the limits. */
  cors?: boolean;
}

/** A framework with an app in it that listens; returns its port, and what ends it. */
export type Serve = (
  setup: Setup,
  limiter: Limiter | SharedLimiter,
) => Promise<{ port: number; close: () => Promise<unknown> }>;

export const OK: Reply = { status: 200, body: "ok" };

export const NO_JSON: Reply = { status: 400, body: '{"error":"no JSON"}' };

/** What every framework's error handler answers here, since each has another by default. */
export function replyOf(error: unknown): Reply {
  const { status, statusCode = status ?? 500, message } = error as Error & { status?: number; statusCode?: number };
  return statusCode === 400 ? NO_JSON : { status: statusCode, body: JSON.stringify({ error: message }) };
}

export function headersOf({ headers = {} }: Reply): Record<string, string> {
  return { "content-type": "application/json", ...headers };
}

/** Fulfilled when the connection of a call has closed. */
export function goneOf({ socket }: IncomingMessage): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

/** What a preflight is answered where there is CORS. */
export const ALLOWED = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE",
};

export function isPreflight(method: string | undefined, field: Field): boolean {
  return method === "OPTIONS" && field("origin") !== undefined && field("access-control-request-method") !== undefined;
}
