import type { IncomingMessage } from "node:http";

/**
 * Whether a call is a CORS preflight: what a browser asks, by itself, before it lets a page call another origin.
 *
 * Known by what it is, with its two fields and without a body, since any client can send `OPTIONS`.
 */
export function isPreflight(raw: IncomingMessage): boolean {
  const { method, headers } = raw;
  return (
    method === "OPTIONS" &&
    Boolean(headers.origin) &&
    Boolean(headers["access-control-request-method"]) &&
    !hasBody(raw)
  );
}

function hasBody(raw: IncomingMessage): boolean {
  const { headers } = raw;
  if (headers["transfer-encoding"] !== undefined) return true;
  if (headers["content-length"] !== undefined) return Number(headers["content-length"]) !== 0;
  // HTTP/2 has neither field where the length is not known before.
  const { stream } = raw as { stream?: { endAfterHeaders?: boolean } };
  return stream?.endAfterHeaders === false;
}
