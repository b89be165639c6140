import fastify from "fastify";
import { expect, it } from "vitest";
import { z } from "zod";
import { ERROR_CODES, type ErrorCode, TollkeeperError } from "../../../src/errors.js";
import { SERVICE_ERROR_CODES, ServiceError, type ServiceErrorCode } from "../../../src/service/errors.js";
import { answerProblems } from "../../../src/service/problems.js";

const hostile = new Proxy(new Error("x"), {
  get(_, name) {
    throw new Error(`secret of ${String(name)}`);
  },
});

it.each<[string, () => unknown]>([
  ["null", () => null],
  ["a text", () => "secret"],
  ["a symbol", () => Symbol("secret")],
  ["an object that can't be read", () => hostile],
  ["an error whose code is none", () => Object.assign(new Error("secret"), { code: { toString: null } })],
  ["an error with a status of no kind", () => Object.assign(new Error("secret"), { statusCode: "4e2x" })],
  ["an error with a status that HTTP does not have", () => Object.assign(new Error("secret"), { statusCode: 450.5 })],
  ["issues without a path", () => new z.ZodError([{ message: "secret" } as never])],
])("what a handler throws is answered with a problem, whatever it is: %s", async (_, make) => {
  const app = fastify();
  answerProblems(app, 100);
  app.get("/", async () => {
    throw make();
  });
  const answer = await app.inject("/");
  expect(answer.headers["content-type"]).toBe("application/problem+json");
  expect(answer.statusCode).toBeGreaterThanOrEqual(400);
  expect(answer.body).not.toMatch(/secret|FST_/);
});

it.each([...Object.keys(ERROR_CODES), ...Object.keys(SERVICE_ERROR_CODES)] as ServiceErrorCode[])(
  "%s names nothing of the server to whom does not manage it",
  async (code) => {
    const app = fastify();
    answerProblems(app, 100);
    const fail = async () => {
      const error = code in ERROR_CODES ? TollkeeperError : ServiceError;
      throw new error(code as ErrorCode, "tier is x; it may be one of secret");
    };
    app.get("/", fail);
    app.get("/managed", { config: { keyless: false } }, fail);
    const answer = await app.inject("/");
    expect(answer.statusCode).toBeGreaterThanOrEqual(500);
    expect(answer.body).not.toContain("secret");
    const isTold =
      /TIER_UNKNOWN|OVERRIDES|COST_INVALID|GRANT_INVALID|TABLE_FULL|REPORT|METER|ACCOUNT|WEBHOOK|EXTERNAL_ID|EXPIRY|KEY_LIMIT/.test(
        code,
      );
    expect((await app.inject("/managed")).body.includes("secret")).toBe(isTold);
  },
);
