import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { keepToll, type Problem, problem, sendProblem } from "tollkeeper/fastify";
import { FingerprintError } from "tollkeeper/fingerprint";
import { z } from "zod";
import { BodyInPieces } from "./body.js";
import { isExplained, type ServiceErrorCode } from "./errors.js";
import { jsonPath } from "./json-path.js";
import { Paths } from "./paths.js";
import { type ProblemCode, serviceProblem } from "./problem-codes.js";

/** A field that can't be used. */
interface FieldError {
  /** JSON path, such as `items[3].fingerprint.tls.ja4`; empty for the whole body. */
  path: string;
  detail: string;
}

/**
 * Makes zod schemas the language of an app, and problem documents its answer to everything that goes wrong.
 *
 * @param maxParamLength As of the app's router, in UTF-16 units.
 */
export function answerProblems(app: FastifyInstance, maxParamLength: number): void {
  const paths = new Paths(app, maxParamLength);
  app.setValidatorCompiler<z.ZodType>(({ schema }) => (data) => {
    const parsed = schema.safeParse(data);
    return parsed.success ? { value: parsed.data } : { error: parsed.error };
  });
  // Answers are ours: that they are as described is for tests to tell, not for every call to pay for.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler<FastifyError | z.ZodError>((error, request, reply) => {
    if (error instanceof BodyInPieces) keepToll(request);
    const document = documentOf(error, request);
    if (document.status >= 500) request.log.error({ err: error }, "a call failed");
    return sendProblem(reply, document);
  });
  const answerUnknownRoute = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const allowed = paths.methodsAt(request.raw.url ?? "");
    if (allowed.length === 0) return sendProblem(reply, NOT_FOUND);
    const allow = allowed.join(", ");
    return sendProblem(reply, serviceProblem("method_not_allowed", `This address takes ${allow}.`), { allow });
  };
  app.setNotFoundHandler(answerUnknownRoute);
  app.addHook("preParsing", (request, reply, _payload, done) => {
    // No body is read for whom no route waits; guessing routes is not free, whatever else is wrong with the call.
    if (request.is404 || request.method === "OPTIONS") {
      keepToll(request);
      return void answerUnknownRoute(request, reply);
    }
    const coding = request.headers["content-encoding"] ?? "identity";
    done(coding.toLowerCase() === "identity" ? null : new CodingUnsupported(coding));
  });
}

/** A body that is compressed. Nobody is let have a few bytes become megabytes here. */
class CodingUnsupported extends Error {
  constructor(coding: string) {
    super(`The body is encoded as ${shortened(coding)}; it must come as it is, without Content-Encoding.`);
  }
}

const BY_CODE: Record<string, [code: ProblemCode, detail: string]> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ["body_too_large", "The body is larger than this route takes."],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ["media_type_unsupported", "The body must be application/json."],
  FST_ERR_CTP_INVALID_JSON_BODY: ["json_malformed", "The body is not JSON."],
  FST_ERR_CTP_EMPTY_JSON_BODY: ["json_malformed", "The body is empty."],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ["length_contradicts", "The body is not as long as Content-Length says."],
};

/** The same of our own errors, which name tiers and accounts, so only for those who manage them. */
const BY_OWN_CODE: Partial<Record<ServiceErrorCode, ProblemCode>> = {
  ERR_ACCOUNT_UNKNOWN: "account_unknown",
  ERR_ACCOUNT_INVALID: "account_invalid",
  ERR_ACCOUNT_EXISTS: "account_exists",
  ERR_ACCOUNT_STATE: "account_state_contradicts",
  ERR_EXTERNAL_ID_TAKEN: "external_id_taken",
  ERR_KEY_LIMIT: "key_limit_reached",
  ERR_EXPIRY_INVALID: "expiry_invalid",
  ERR_WEBHOOK_INVALID: "webhook_invalid",
  ERR_WEBHOOK_LIMIT: "webhook_limit_reached",
  ERR_REPORT_INVALID: "report_invalid",
  ERR_METER_UNKNOWN: "report_invalid",
  ERR_OVERRIDES_INVALID: "overrides_invalid",
  ERR_TIER_UNKNOWN: "tier_unknown",
  ERR_COST_INVALID: "cost_invalid",
  ERR_GRANT_INVALID: "grant_invalid",
  ERR_TABLE_FULL: "table_full",
};

/** Errors of a body that are told, and UTF-16 units of what is told of each: it may repeat what was sent. */
const MAX_ERRORS = 20;
const MAX_DETAIL = 200;

/** What is wrong with it is for logs: it names the server. */
const STORE_UNAVAILABLE = serviceProblem(
  "store_unavailable",
  "It can't be read or stored just now; look before you retry.",
);

/** Why it is missing is for logs: that may name folders of the server. */
const NATIVE_MISSING = serviceProblem(
  "ERR_NATIVE_MISSING",
  "Fingerprints need the native binary, which is missing here.",
);

const NOT_FOUND = serviceProblem("not_found", "There is nothing at this address.");

const INTERNAL = serviceProblem("internal_error", "The call failed through no fault of its own.");

/** What was thrown may be anything; a fault in telling it would leave the telling to the framework. */
function documentOf(error: unknown, request: FastifyRequest): Problem {
  try {
    return problemOf(error as FastifyError | z.ZodError, request);
  } catch {
    return INTERNAL;
  }
}

function problemOf(error: FastifyError | z.ZodError, { routeOptions }: FastifyRequest): Problem {
  if (error instanceof z.ZodError) {
    const { validationContext } = error as { validationContext?: string };
    return invalidBody(
      validationContext === "body" ? "body_invalid" : "parameter_invalid",
      error.issues
        .slice(0, MAX_ERRORS)
        .map((issue) => ({ path: shortened(jsonPath(issue.path)), detail: shortened(issue.message) })),
    );
  }
  if (error instanceof FingerprintError) return invalidBody(error.code, [{ path: error.path, detail: error.message }]);
  if (isExplained(error)) {
    if (error.code.startsWith("ERR_STORE_") || error.code.startsWith("ERR_STORAGE_")) return STORE_UNAVAILABLE;
    if (error.code === "ERR_NATIVE_MISSING") return NATIVE_MISSING;
    const isManaged = routeOptions.config.keyless === false;
    const known = isManaged ? BY_OWN_CODE[error.code] : undefined;
    return known === undefined ? INTERNAL : serviceProblem(known, error.message);
  }
  if (error instanceof BodyInPieces) return serviceProblem("body_in_pieces", error.message);
  if (error instanceof CodingUnsupported) return serviceProblem("content_coding_unsupported", error.message);
  const known = BY_CODE[error.code];
  if (known !== undefined) return serviceProblem(...known);
  const { statusCode = 500 } = error;
  // What the framework refuses for other reasons is the caller's fault; its words are for logs, not for callers.
  if (statusCode >= 400 && statusCode < 500) return problem(statusCode, "request_invalid", "The call can't be read.");
  return INTERNAL;
}

function invalidBody(code: string, errors: FieldError[]): Problem {
  const [first] = errors;
  const detail = first === undefined ? "The body can't be used." : `${first.path || "The body"}: ${first.detail}`;
  return problem(400, code, detail, { errors });
}

function shortened(text: string): string {
  return text.length <= MAX_DETAIL ? text : `${text.slice(0, MAX_DETAIL - 1)}…`;
}
