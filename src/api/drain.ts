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
 * Lets a server end without losing a call: each answer from now on is the last of its connection, so that clients go
 * elsewhere by themselves; then nothing new is accepted, and what has begun is answered.
 *
 * @param delayMs How long new connections are still accepted, for whoever sends calls to learn that they should not.
 */
export async function drain(server: Server, delayMs: number): Promise<void> {
  if (!server.listening) return;
  server.prependListener("request", (_request, response) => void response.setHeader("connection", "close"));
  await delay(delayMs);
  const ended = once(server, "close");
  // Not the HTTP server's own, which closes idle connections at once.
  Listener.prototype.close.call(server);
  const quiet = setTimeout(() => {
    server.closeIdleConnections();
    // A connection is idle once its call has ended.
    idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
  }, QUIET_MS);
  let idle: NodeJS.Timeout | undefined;
  const impatience = setTimeout(() => server.closeAllConnections(), PATIENCE_MS);
  await ended;
  clearTimeout(quiet);
  clearInterval(idle);
  clearTimeout(impatience);
}
