import type { FastifyRequest } from "fastify";
import { callerOf, type Identity, type Refusal } from "tollkeeper/fastify";
import type { Account } from "./account.js";

/** A caller of the service. */
export interface Caller extends Identity {
  /** The API key that was shown; undefined for a consumer of the gateway, or an address. */
  keyId?: string | undefined;
  /** Whose tokens are spent, where that is an account; `account` is its name. */
  owner?: Account | undefined;
}

/** Who calls, or why that is not said. */
export type Identified = Caller | Refusal;

/** Callers who were refused, though it is known who they are. */
const refused = new WeakMap<FastifyRequest, Caller>();

/** Who calls, let in or not; undefined if nobody was asked, or nobody is known. */
export function whoCalls(request: FastifyRequest): Caller | undefined {
  return callerOf(request) ?? refused.get(request);
}

/** Notes who it is that is refused, for those who ask later. */
export function noteRefused(request: FastifyRequest, caller: Caller): void {
  refused.set(request, caller);
}
