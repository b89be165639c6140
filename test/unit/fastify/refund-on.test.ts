import { connect } from "node:net";
import type { FastifyReply, FastifyRequest } from "fastify";
import { describe, expect, it, vi } from "vitest";
import tollkeeper, { type RefundOn } from "../../../src/fastify/index.js";
import { day, leftOf, minute, openApp, openLimiter } from "./app.js";

const TIERS = { login: { limits: [minute(5), day(100)] } };

async function open(refundOn: RefundOn | undefined) {
  const limiter = openLimiter(TIERS);
  const log: string[] = [];
  const app = openApp({ logger: { stream: { write: (line: string) => void log.push(line) } } });
  await app.register(tollkeeper, { limiter, refundOn, identify: () => ({ key: "a", tier: "login" }) });
  const handler = async (request: FastifyRequest, reply: FastifyReply) =>
    reply.code(Number((request.params as { status: string }).status)).send("done");
  app.get("/:status", handler);
  app.post("/:status", handler);
  /** What is left after a call that is answered so. */
  const leftAfter = async (status: number) => {
    expect((await app.inject(`/${status}`)).statusCode).toBe(status);
    return leftOf(limiter, "a", "login");
  };
  const unreadable = async () => {
    const headers = { "content-type": "application/json" };
    await app.inject({ method: "POST", url: "/200", headers, payload: "{" });
    return leftOf(limiter, "a", "login");
  };
  return { app, limiter, log, leftAfter, unreadable };
}

describe("refundOn", () => {
  it.each([undefined, "failure"] as const)("%s gives quotas back what the server has failed", async (refundOn) => {
    const { leftAfter, unreadable } = await open(refundOn);
    expect([await leftAfter(200), await leftAfter(401), await leftAfter(503), await unreadable()]).toEqual([
      [4, 99],
      [3, 98],
      [2, 98],
      [1, 98],
    ]);
  });

  it('"success" has only failures count, as of logins', async () => {
    const { app, leftAfter, unreadable } = await open("success");
    for (let login = 0; login < 20; login++) expect(await leftAfter(login % 2 === 0 ? 200 : 302)).toEqual([5, 100]);
    expect([await leftAfter(401), await leftAfter(403), await leftAfter(500), await unreadable()]).toEqual([
      [4, 99],
      [3, 98],
      [2, 97],
      [1, 96],
    ]);
    expect(await leftAfter(401)).toEqual([0, 95]);
    expect((await app.inject("/200")).statusCode).toBe(429);
  });

  it("as a function says so of each answer", async () => {
    const told: unknown[] = [];
    const { leftAfter, unreadable } = await open((answer, { url }) => {
      told.push([answer, url]);
      return answer.status === 404 ? "all" : answer.status === 409 && "quotas";
    });
    expect([await leftAfter(404), await leftAfter(409), await leftAfter(500), await unreadable()]).toEqual([
      [5, 100],
      [4, 100],
      [3, 99],
      [2, 98],
    ]);
    expect(told[0]).toEqual([{ status: 404, isHandled: true }, "/404"]);
    expect(told[3]).toEqual([{ status: 400, isHandled: false }, "/200"]);
  });

  it.each<[string, RefundOn, string]>([
    [
      "throws",
      () => {
        throw new Error("broken");
      },
      "broken",
    ],
    ["gives something else", () => "half" as never, "ERR_OPTION_INVALID"],
  ])("as a function that %s keeps what was spent, and is told to the log", async (_what, refundOn, logged) => {
    const { leftAfter, log } = await open(refundOn);
    expect(await leftAfter(500)).toEqual([4, 99]);
    expect(log.join("")).toContain(logged);
  });

  it.each(["failure", "success"] as const)("%s gives nothing back to a caller that goes away", async (refundOn) => {
    const { app, limiter } = await open(refundOn);
    const status = refundOn === "success" ? 200 : 503;
    app.get("/large", async (_, reply) => reply.code(status).send(Buffer.alloc(64 * 2 ** 20)));
    await app.listen({ port: 0, host: "127.0.0.1" });
    const socket = connect((app.server.address() as { port: number }).port, "127.0.0.1").on("error", () => undefined);
    socket.pause().write("GET /large HTTP/1.1\r\nhost: x\r\n\r\n");
    await vi.waitFor(() => expect(leftOf(limiter, "a", "login")).toEqual([4, 99]));
    socket.destroy();
    await vi.waitFor(async () =>
      expect(await new Promise((resolve) => app.server.getConnections((_, count) => resolve(count)))).toBe(0),
    );
    expect(leftOf(limiter, "a", "login")).toEqual([4, 99]);
  });
});
