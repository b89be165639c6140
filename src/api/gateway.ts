import { hash, timingSafeEqual } from "node:crypto";
import type { FastifyRequest } from "fastify";
import type { Tiers } from "../engine/types.js";
import type { Refusal } from "../fastify/identity.js";
import { problem } from "../fastify/problem.js";
import { overriddenTier } from "../limiter/overrides.js";
import { ACCOUNT_NAME, type Accounts } from "./accounts.js";
import type { Caller } from "./identity.js";

/** How the gateway in front is known. */
export interface GatewayOptions {
  /** Secrets that it may send as `X-Gateway-Auth`: none, one, or two while it changes from one to the other. */
  gatewaySecrets: readonly string[];
  /** The tiers in force, by whose names the gateway groups its consumers. */
  tiers: () => Tiers;
}

/** Of a consumer of whom nobody says the tier, and of an account whose tier is not configured any more. */
export const LEAST_TIER = "anonymous";

const UNUSABLE: Refusal = {
  refusal: problem(400, "consumer_invalid", "The gateway names a consumer that can't be the name of an account."),
};

/**
 * A gateway, such as Kong, that has found out who calls and says so in header fields. They are believed only of a call
 * that carries its secret: a client can send them, too.
 */
export class Gateway {
  readonly #digests: readonly Buffer[];
  readonly #tiers: () => Tiers;
  readonly #accounts: Accounts;

  constructor({ gatewaySecrets, tiers }: GatewayOptions, accounts: Accounts) {
    this.#digests = gatewaySecrets.map(digest);
    this.#tiers = tiers;
    this.#accounts = accounts;
  }

  /** Whether a call carries the secret. All are compared, in a time that says nothing of how far they agree. */
  vouchesFor({ headers }: FastifyRequest): boolean {
    const secret = headers["x-gateway-auth"];
    if (this.#digests.length === 0 || typeof secret !== "string") return false;
    const given = digest(secret);
    return this.#digests.map((own) => timingSafeEqual(own, given)).includes(true);
  }

  /** The consumer for whom the gateway calls; undefined if it knows none. */
  consumerOf({ headers }: FastifyRequest): Caller | Refusal | undefined {
    if (headers["x-anonymous-consumer"] === "true") return undefined;
    const field = headers["x-consumer-custom-id"] ?? headers["x-consumer-username"];
    if (field === undefined) return undefined;
    const name = String(field);
    if (!ACCOUNT_NAME.test(name)) return UNUSABLE;
    const account = this.#accounts.get(name);
    const own = account !== undefined && Object.hasOwn(this.#tiers(), account.tier) ? account.tier : LEAST_TIER;
    const tier = this.#tierOf(headers["x-consumer-groups"]) ?? own;
    return { key: `acct:${name}`, tier: overriddenTier(tier, account?.overrides ?? null), account };
  }

  /** The address of the client, as the gateway has seen it. */
  addressOf({ headers }: FastifyRequest): string {
    const address = headers["x-real-ip"];
    return typeof address === "string" ? address : "";
  }

  /** The one tier that is among the groups; undefined if none is, or several. */
  #tierOf(groups: string | string[] | undefined): string | undefined {
    const tiers = this.#tiers();
    const names = new Set(
      String(groups ?? "")
        .split(",")
        .map((group) => group.trim()),
    );
    const [tier, ...others] = [...names].filter((name) => Object.hasOwn(tiers, name));
    return others.length === 0 ? tier : undefined;
  }
}

function digest(secret: string): Buffer {
  return hash("sha256", secret, "buffer");
}
