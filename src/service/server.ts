import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { MAX_FIELDS } from "./management/identify.js";
import { MeteredMessage } from "./metered-message.js";

/** How long a call may take to arrive whole, and its header alone, in ms; a sender slower than that is cut off. */
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
/** How long, in ms, a connection is kept for another call: longer than proxies do as a rule, so that they close first. */
const KEEP_ALIVE_MS = 72_000;
/** How long, in ms, a caller may take nothing of what it is sent. */
const WRITE_TIMEOUT_MS = 20_000;
/** Bytes of a header. */
const MAX_HEADER_BYTES = 16 * 1024;
/** How often slow senders are looked for, in ms. */
const TIMEOUT_CHECK_MS = 1000;
/** Calls that may wait on a connection for the answers to those before them. */
const MAX_WAITING = 32;

type Listener = RequestListener<typeof MeteredMessage>;

/**
 * An HTTP server that bounds what a connection may cost: how slowly a call may come and an answer be taken, in how many
 * pieces a body may come, how many calls may wait.
 *
 * @param maxConnections Those beyond are closed at once.
 */
export function boundedServer(handle: Listener, maxConnections: number): Server {
  const line = new Line((request, response) => {
    if (request.headers.host === undefined && request.httpVersion === "1.1") {
      response.writeHead(400, { connection: "close" }).end();
      return;
    }
    if (hasBody(request)) {
      response.prependOnceListener("finish", () => {
        if (!request.complete) request.linger();
      });
    }
    handle(request, response);
  });
  const options = {
    IncomingMessage: messageOf(line),
    requireHostHeader: false, // Node would answer by itself, out of the line, whatever else comes with it.
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
  };
  const server = createServer(options, (request, response) => line.take(request, response));
  // The same: one that expects what nobody knows is a call like any other.
  server.on("checkExpectation", (request, response) => void server.emit("request", request, response));
  server.on("upgrade", (_request, socket) => void socket.destroy());
  server.maxHeadersCount = MAX_FIELDS + 1; // One more, to tell that there are too many.
  server.maxConnections = maxConnections;
  server.timeout = WRITE_TIMEOUT_MS;
  server.on("timeout", (socket: Socket) => {
    // One that still sends, or waits for its answer, has a time of its own.
    if (socket.writableLength > 0 || !line.isBusy(socket)) socket.destroy();
  });
  return server;
}

function hasBody({ headers }: MeteredMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}

/**
 * A message for which there may be no place in the line. Node has no other means to stop in the midst of what it has read,
 * which may be thousands of calls, than to take one for the last of the protocol.
 */
function messageOf(line: Line): typeof MeteredMessage {
  return class extends MeteredMessage {
    get upgrade(): boolean {
      return this.method === "CONNECT" || line.isFull(this.socket);
    }

    set upgrade(_said: unknown) {
      // What Node makes of the call's own fields: no other protocol is spoken here.
    }
  };
}

/**
 * Has the calls of a connection handled one after the other, each when the answer before it was taken: Node would have
 * all answers of one that sends many calls and reads none.
 */
class Line {
  readonly #handle: Listener;
  readonly #waiting = new WeakMap<Socket, (() => void)[]>();

  constructor(handle: Listener) {
    this.#handle = handle;
  }

  isBusy(socket: Socket): boolean {
    return this.#waiting.has(socket);
  }

  isFull(socket: Socket): boolean {
    return (this.#waiting.get(socket)?.length ?? 0) >= MAX_WAITING;
  }

  take(request: MeteredMessage, response: ServerResponse<MeteredMessage>): void {
    const { socket } = request;
    const begin = (): void => {
      if (socket.destroyed) return void this.#waiting.delete(socket);
      response.once("close", () => this.#next(socket));
      this.#handle(request, response);
    };
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) {
      this.#waiting.set(socket, []);
      begin();
    } else {
      waiting.push(begin);
    }
  }

  #next(socket: Socket): void {
    const begin = socket.destroyed ? undefined : this.#waiting.get(socket)?.shift();
    if (begin === undefined) this.#waiting.delete(socket);
    else setImmediate(begin); // After those of other connections.
  }
}
