/** Calls an app with requests and answers of Node's that no network brings, for as long as it is asked. */
import { IncomingMessage, ServerResponse } from "node:http";
import { Duplex } from "node:stream";
import { serve } from "../child.js";
import { appOf, type ServerName } from "../servers.js";

/** How many batches of how many calls. */
export interface Batches {
  count: number;
  calls: number;
}

/** A connection on which nothing comes, and into which anything may be written. */
class Sink extends Duplex {
  readonly remoteAddress = "127.0.0.1";
  override _read(): void {
    // Nothing comes.
  }
  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }
  override _writev(_chunks: unknown, done: () => void): void {
    done();
  }
  setTimeout(): this {
    return this;
  }
}

const app = await appOf(process.argv[2] as ServerName);
await app.ready();
const socket = new Sink() as unknown as IncomingMessage["socket"];

function call(): Promise<void> {
  const request = new IncomingMessage(socket);
  Object.assign(request, { method: "GET", url: "/", httpVersionMajor: 1, httpVersionMinor: 1, httpVersion: "1.1" });
  request.headers = { host: "x", "x-api-key": "user-12345", connection: "keep-alive" };
  request.push(null);
  const response = new ServerResponse(request);
  response.assignSocket(socket);
  return new Promise((resolve) => {
    response.on("finish", () => {
      response.detachSocket(socket);
      resolve();
    });
    app.routing(request, response);
  });
}

/** µs a call, of each batch. */
serve(async ({ count, calls }: Batches): Promise<number[]> => {
  const batches: number[] = [];
  for (let batch = 0; batch < count; batch++) {
    const start = performance.now();
    for (let index = 0; index < calls; index++) await call();
    batches.push(((performance.now() - start) * 1000) / calls);
  }
  return batches;
});
