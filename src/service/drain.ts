import { once } from "node:events";
import type { Server } from "node:http";
import { Server as Listener } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** How long, in ms, calls that have begun may take to end. */
const PATIENCE_MS = 10_000;
/** How long, in ms, it is waited at most for a turn of the event loop that brings no connection. */
const BACKLOG_PATIENCE_MS = 2000;
/** A turn shorter than this, in ms, leaves nobody the time to connect before the listener closes. */
const SHORT_TURN_MS = 1;
/**
 * How long, in ms, no call may have come before connections on which nothing happens are closed: with a call on its way,
 * one would take that with it. Counted in ticks, since nothing comes to a process that stands still.
 */
const QUIET_MS = 1000;
const TICK_MS = 50;

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
  await takeBacklog(server);
  const ended = once(server, "close");
  // Not the HTTP server's own, which closes idle connections at once.
  Listener.prototype.close.call(server);
  let quietMs = 0;
  server.prependListener("request", (_request, response) => {
    quietMs = 0;
    response.setHeader("connection", "close");
  });
  let lastMs = performance.now();
  const ticks = setInterval(() => {
    const nowMs = performance.now();
    if (nowMs - lastMs < 2 * TICK_MS) quietMs += TICK_MS;
    lastMs = nowMs;
    // A connection is idle once its call has ended.
    if (quietMs >= QUIET_MS) server.closeIdleConnections();
  }, TICK_MS);
  const impatience = setTimeout(() => server.closeAllConnections(), PATIENCE_MS);
  await ended;
  clearInterval(ticks);
  clearTimeout(impatience);
}

/**
 * Accepts connections until a short turn of the event loop has brought none: the system has taken those that wait, and
 * resets them when the listener closes. What comes within the last turn is lost.
 */
async function takeBacklog(server: Server): Promise<void> {
  const endMs = performance.now() + BACKLOG_PATIENCE_MS;
  let came = false;
  const note = (): void => {
    came = true;
  };
  server.on("connection", note);
  let turnMs: number;
  do {
    came = false;
    const startMs = performance.now();
    await new Promise(setImmediate);
    turnMs = performance.now() - startMs;
  } while ((came || turnMs > SHORT_TURN_MS) && performance.now() < endMs);
  server.off("connection", note);
}
