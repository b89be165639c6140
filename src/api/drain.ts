import { once } from "node:events";
import type { Server } from "node:http";
import { Server as Listener } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** How long, in ms, calls that have begun may take to end. */
const PATIENCE_MS = 10_000;
/**
 * How long, in ms, a connection on which nothing happens is kept for a call that may be on its way: closed at once, it
 * would take that call with it.
 */
const QUIET_MS = 500;
const IDLE_CHECK_MS = 50;

/**
 * Lets a server end without losing a call: nothing new is accepted, what has begun is answered, and each answer is the
 * last of its connection, so that clients go elsewhere by themselves. In that order: clients that were sent away before
 * would come back, and what waits to be accepted is lost when that ends.
 *
 * @param delayMs How long all goes on as before, for whoever sends calls to learn that they should not.
 */
export async function drain(server: Server, delayMs: number): Promise<void> {
  if (!server.listening) return;
  await delay(delayMs);
  // After what has come until now was accepted.
  await new Promise(setImmediate);
  const ended = once(server, "close");
  // Not the HTTP server's own, which closes idle connections at once.
  Listener.prototype.close.call(server);
  server.prependListener("request", (_request, response) => void response.setHeader("connection", "close"));
  let idle: NodeJS.Timeout | undefined;
  const quiet = setTimeout(() => {
    server.closeIdleConnections();
    // A connection is idle once its call has ended.
    idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
  }, QUIET_MS);
  const impatience = setTimeout(() => server.closeAllConnections(), PATIENCE_MS);
  await ended;
  clearTimeout(quiet);
  clearInterval(idle);
  clearTimeout(impatience);
}
