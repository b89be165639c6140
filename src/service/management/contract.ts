import type { FastifySchema, RouteShorthandOptions } from "fastify";
import "@fastify/swagger"; // For what it adds to the schema of a route.
import { z } from "zod";
import { ACCOUNT_NAME } from "./account.js";
import { SCOPES, type Scope } from "./api-keys.js";

/** What goes wrong, as RFC 9457 has it. */
const problemDocument = z
  .looseObject({
    type: z.string().meta({ description: "URI of the type of problem; about:blank where the status says it all." }),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string().meta({ description: "What happened this time, for people." }),
    code: z.string().meta({ description: "Stable, for programs." }),
  })
  .meta({ id: "Problem" });

/** Statuses of problems, and what they mean on every route. */
const PROBLEMS = {
  400: "The body, a parameter or the call itself can't be used; `errors` has the path of each field.",
  401: "No API key, or one that is malformed, unknown, revoked or expired.",
  403: "The API key may not be used for this, or the address of the call can't be known.",
  404: "There is nothing of that name.",
  409: "It contradicts what is there.",
  413: "The body is too large.",
  415: "The body is not application/json, or is compressed.",
  422: "It can be read, but never done.",
  429: "A limit is used up; `retry_after` says for how many seconds, or null if no wait helps.",
  500: "The service met a fault of its own.",
  503: "It can't be decided, read or computed just now.",
} as const;
export type ProblemStatus = keyof typeof PROBLEMS;

/** How a route answers: its own answer, and the problems beside those that every route has. */
export function answers(status: 200 | 201, answer: z.ZodType, description: string, problems: readonly ProblemStatus[]) {
  return { [status]: { description, content: { "application/json": { schema: answer } } }, ...problemsOf(problems) };
}

/** The same for an answer that is text. */
export function answersText(description: string, problems: readonly ProblemStatus[]) {
  return { 200: { description, content: { "text/plain": { schema: z.string() } } }, ...problemsOf(problems) };
}

function problemsOf(problems: readonly ProblemStatus[]): Record<number, object> {
  const all = [400, ...problems, 500].map((problem) => [
    problem,
    {
      description: PROBLEMS[problem as ProblemStatus],
      content: { "application/problem+json": { schema: problemDocument } },
    },
  ]);
  return Object.fromEntries(all);
}

/** With a key of a scope; `[]` among them means without one, too. */
export function securedBy(scope: Scope | undefined, isOptional: boolean): Record<string, string[]>[] {
  const scopes = scope === undefined ? [] : [scope];
  return [{ bearer: scopes }, { apiKey: scopes }, ...(isOptional ? [{}] : [])];
}

/** A management route: free, for callers with a key of a scope. */
export function managed(scope: Scope, schema: FastifySchema): RouteShorthandOptions {
  const toll = { cost: 0, identified: true };
  return {
    config: { toll, scope, keyless: false },
    schema: { ...schema, tags: ["management"], security: securedBy(scope, false) },
    bodyLimit: 16 * 1024,
  };
}

/** Which part of a list is wanted. */
export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(50).meta({ description: "Items at most." }),
  after: z
    .string()
    .max(256)
    .default("")
    .meta({ description: "`next` of the part before; the first part if left out." }),
});

/** A part of a list. */
export function pageOfItems(item: z.ZodType) {
  return z.object({
    items: z.array(item),
    next: z
      .string()
      .nullable()
      .meta({ description: "What to give as `after` for the next part; null if there is none." }),
  });
}

export const accountName = z
  .string()
  .regex(ACCOUNT_NAME, "an account has 1 to 128 visible ASCII characters, no spaces")
  .meta({
    description: "Name of an account: 1 to 128 visible ASCII characters, no spaces.",
    examples: ["42"],
  });
export const tierName = z
  .string()
  .min(1)
  .max(64)
  .meta({ description: "Name of a tier that is configured.", examples: ["pro"] });
export const scopeName = z.enum(SCOPES);

const isoDate = z.string().meta({ format: "date-time" });
export const keyInfo = z
  .object({
    id: z.string().meta({ description: "Names the key where it is managed; it is no secret." }),
    account: z.string(),
    name: z.string().nullable().meta({ description: "For people." }),
    scopes: z.array(scopeName),
    created: isoDate,
    expires: isoDate.nullable().meta({ description: "From when on it is refused; null if that is never." }),
    lastUsed: isoDate
      .nullable()
      .meta({ description: "To the minute, and up to an hour late; null if no use is known." }),
    revoked: isoDate.nullable().meta({ description: "Since when the key is refused; null while it is good." }),
  })
  .meta({ id: "Key" });

const amount = z.number().min(0).max(1e12);
/** Limits of an account's own; null takes a limit away. */
export const overrides = z
  .record(
    z.string().min(1).max(32), // Which limits there are is for the library to tell.
    z
      .strictObject({
        limit: amount.optional(),
        burst: z.number().min(0.001).max(1000).optional(),
        blockSeconds: z.number().positive().max(1e12).optional(),
        overage: z
          .strictObject({ max: z.number().positive().max(1e12) })
          .nullable()
          .optional()
          .meta({ description: "Tokens beyond the limit of a quota; null for none." }),
      })
      .nullable(),
  )
  .meta({
    description: "By name of the limit, what differs from the tier's; null takes the limit away.",
    examples: [{ minute: { limit: 500, burst: 2 }, month: null }],
  });

const unlimited = "null if unlimited.";
export const limitState = z
  .object({
    name: z.string(),
    type: z.enum(["bucket", "quota", "concurrency"]),
    limit: z
      .number()
      .nullable()
      .meta({ description: `Tokens of one window or period, or calls at the same time; ${unlimited}` }),
    capacity: z
      .number()
      .nullable()
      .meta({ description: `Tokens that it can hold, of a quota with its overage; ${unlimited}` }),
    remaining: z
      .number()
      .nullable()
      .meta({ description: `Tokens or places left, of a quota up to its limit; ${unlimited}` }),
    overage: z
      .number()
      .optional()
      .meta({ description: "Tokens that were used beyond the limit; there only where the quota has overage." }),
    resets_at: isoDate.nullable().meta({
      description:
        "When it is full, its period ends, or the first place is free at the latest; null if unlimited, or if that is never.",
    }),
  })
  .meta({ id: "LimitState" });

export const quotaState = z
  .object({
    subject: z.string().meta({ description: "`acct:` and an account, or `ip:` and an address." }),
    tier: z.string(),
    overrides: overrides.nullable(),
    limits: z.array(limitState),
  })
  .meta({ id: "Quota" });
