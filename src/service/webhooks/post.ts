import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { Webhook as Signer } from "standardwebhooks";
import { ReceiverRefused, type Receivers } from "./receiver.js";

/** How long, in ms, a receiver may take from the first byte to its status. */
export const ATTEMPT_MS = 15_000;
/** How long, in ms, a receiver may ask to be left alone for, at most. */
const MAX_RETRY_AFTER_MS = 86_400_000;

/** What has become of one attempt. */
export interface Attempt {
  readonly isDelivered: boolean;
  /** `200`, or why there was no status: for people. */
  readonly outcome: string;
  /** Whether the receiver says that it is there no more. */
  readonly isGone: boolean;
  /** For how many ms it wants to be left alone; 0 if it does not say. */
  readonly retryAfterMs: number;
}

/** What is posted, and where to. */
export interface Posted {
  readonly url: string;
  readonly id: string;
  readonly body: string;
  /** Each signs it: the present one first, and the one before while it is still good. */
  readonly secrets: readonly string[];
  readonly nowMs: number;
  /** How the sender names itself. */
  readonly userAgent: string;
}

/**
 * Posts a body as Standard Webhooks has it: `webhook-id`, `webhook-timestamp`, and a signature by each secret. Follows no
 * redirect, and reads nothing of an answer but its status. Never rejects.
 */
export async function post(
  { url, id, body, secrets, nowMs, userAgent }: Posted,
  receivers: Receivers,
): Promise<Attempt> {
  let checked: URL;
  try {
    checked = receivers.check(url);
  } catch (error) {
    return failed(`refused: ${(error as ReceiverRefused).message}`);
  }
  const at = new Date(nowMs);
  const headers = {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "user-agent": userAgent,
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(nowMs / 1000)),
    "webhook-signature": secrets.map((secret) => new Signer(secret).sign(id, at, body)).join(" "),
  };
  const request = checked.protocol === "https:" ? requestHttps : requestHttp;
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(ATTEMPT_MS);
    const call = request(checked, { method: "POST", headers, signal, agent: false, lookup: receivers.lookup });
    const onAnswer = ({ statusCode = 0, headers: { "retry-after": after } }: IncomingMessage) => {
      resolve(answered(statusCode, waitOf(after, nowMs)));
      call.destroy(); // What else it says is of no use, and may have no end.
    };
    call.once("response", onAnswer);
    // Another protocol is no delivery; unheard, it would be no answer either, and no error.
    call.once("upgrade", onAnswer);
    call.on("error", (error) => resolve(failed(reasonOf(error, signal))));
    call.once("close", () => resolve(failed("closed without an answer")));
    call.end(body);
  });
}

function answered(status: number, retryAfterMs: number): Attempt {
  const isDelivered = status >= 200 && status < 300;
  const isRedirect = status >= 300 && status < 400;
  return {
    isDelivered,
    outcome: isRedirect ? `${status}, and redirects are not followed` : String(status),
    isGone: status === 410,
    retryAfterMs: isDelivered ? 0 : retryAfterMs,
  };
}

/** What `Retry-After` asks for, in ms: seconds, or a date of HTTP. */
function waitOf(after: string | undefined, nowMs: number): number {
  if (after === undefined) return 0;
  const waitMs = /^\d{1,9}$/.test(after) ? Number(after) * 1000 : / GMT$/.test(after) ? Date.parse(after) - nowMs : 0;
  return Math.min(Math.max(waitMs, 0) || 0, MAX_RETRY_AFTER_MS);
}

function failed(outcome: string): Attempt {
  return { isDelivered: false, outcome, isGone: false, retryAfterMs: 0 };
}

function reasonOf(error: Error, signal: AbortSignal): string {
  if (signal.aborted) return `no answer within ${ATTEMPT_MS / 1000} seconds`;
  if (error instanceof ReceiverRefused) return `refused: ${error.message}`;
  return "code" in error ? String(error.code) : error.message;
}
