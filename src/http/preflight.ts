import type { IncomingMessage } from "node:http";

/** What of a call tells whether it is a preflight. */
export interface PreflightCall {
  /** In upper case, as HTTP has it. */
  method: string | undefined;
  /** By name in lower case. */
  headers: Readonly<Record<string, string | string[] | null | undefined>>;
  /** Whether it has a body, of whatever length. */
  hasBody: boolean;
}

/**
 * Whether a call is a CORS preflight: what a browser asks, by itself, before it lets a page call another origin.
 *
 * Known by what it is, with its two fields and without a body, since any client can send `OPTIONS`.
 */
export function isPreflight({ method, headers, hasBody }: PreflightCall): boolean {
  return (
    method === "OPTIONS" && Boolean(headers["origin"]) && Boolean(headers["access-control-request-method"]) && !hasBody
  );
}

/** Whether a call that Node's server has received has a body, of whatever length. */
export function hasBody(message: IncomingMessage): boolean {
  const { headers } = message;
  if (headers["transfer-encoding"] !== undefined) return true;
  if (headers["content-length"] !== undefined) return Number(headers["content-length"]) !== 0;
  // HTTP/2 has neither field where the length is not known before.
  const { stream } = message as { stream?: { endAfterHeaders?: boolean } };
  return stream?.endAfterHeaders === false;
}
