import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** What a receiver was told. */
export interface Heard {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver of webhooks on the loopback interface, which answers as it is told. */
export class HookServer {
  readonly heard: Heard[] = [];
  /** Answers a call whose body has come. */
  answer: (response: ServerResponse, request: IncomingMessage) => void = (response) => void response.end();
  url = "";

  static async start(): Promise<HookServer> {
    const hooks = new HookServer();
    const server = createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      hooks.heard.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
      hooks.answer(response, request);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    hooks.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`;
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return hooks;
  }
}
