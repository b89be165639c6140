import { hash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { FastifyRequest } from "fastify";
import { overriddenTier, type Tiers } from "tollkeeper";
import type { Refusal } from "tollkeeper/fastify";
import { serviceProblem } from "../problem-codes.js";
import { ACCOUNT_NAME, LEAST_TIER, limiterKeyOf } from "./account.js";
import { refusalOf } from "./account-refusal.js";
import type { Accounts } from "./accounts.js";
import type { Caller } from "./caller.js";
import { Consumers } from "./consumers.js";

/** Which of a consumer's names is its account's: its own id, its user name, or the id if it has one. */
export type GatewayAccount = "either" | "custom-id" | "username";

/** How the gateway in front is known. */
export interface GatewayOptions {
  /** Secrets that it may send as `X-Gateway-Auth`: none, one, or two while it changes from one to the other. */
  gatewaySecrets: readonly string[];
  /** Which of a consumer's names is its account's. */
  gatewayAccount: GatewayAccount;
  /** The tiers in force, by whose names the gateway groups its consumers. */
  tiers: () => Tiers;
}

/** Consumers of whom it is remembered that they have an id of their own; the one first seen is forgotten first. */
const KNOWN_CONSUMERS = 100_000;

const UNUSABLE: Refusal = {
  refusal: serviceProblem("consumer_invalid", "The gateway names a consumer that can't be the name of an account."),
};

// What is missing may have been taken out on the way, so nobody gets the benefit of the doubt. Not of the class of 500: a
// gateway takes the app for broken after some of these, and a caller could bring them about.
const UNNAMED: Refusal = {
  refusal: serviceProblem("consumer_unknown", "The gateway says neither who the consumer is nor that it is nobody."),
};
const WITHOUT_TIER: Refusal = {
  refusal: serviceProblem(
    "consumer_tier_unknown",
    "The gateway puts the consumer into no group that is a tier, or several.",
  ),
};

/**
 * A gateway, such as Kong, that has found out who calls and says so in header fields. They are believed only of a call
 * that carries its secret: a client can send them, too.
 */
export class Gateway {
  readonly #digests: readonly Buffer[];
  readonly #account: GatewayAccount;
  readonly #tiers: () => Tiers;
  readonly #accounts: Accounts;
  readonly #consumers: Consumers;
  /** User names of consumers that have an id of their own, which is then their account's name for good. */
  readonly #withId = new Set<string>();

  constructor({ gatewaySecrets, gatewayAccount, tiers }: GatewayOptions, accounts: Accounts) {
    this.#digests = gatewaySecrets.map(digest);
    this.#account = gatewayAccount;
    this.#tiers = tiers;
    this.#accounts = accounts;
    this.#consumers = new Consumers(accounts);
  }

  /** Whether a call carries the secret. All are compared, in a time that says nothing of how far they agree. */
  authenticates({ headers }: FastifyRequest): boolean {
    const secret = headers["x-gateway-auth"];
    if (this.#digests.length === 0 || typeof secret !== "string") return false;
    const given = digest(secret);
    return this.#digests.map((own) => timingSafeEqual(own, given)).includes(true);
  }

  /** The consumer for whom the gateway calls; undefined if that is nobody: the gateway says so, or names the least tier. */
  consumerOf({ headers }: FastifyRequest): Caller | Refusal | undefined {
    if (headers["x-anonymous-consumer"] === "true") return undefined;
    const tier = this.#tierOf(headers["x-consumer-groups"]);
    if (tier === LEAST_TIER) return undefined;
    const name = this.#nameOf(headers);
    if (name === undefined) return UNNAMED;
    if (!ACCOUNT_NAME.test(name)) return UNUSABLE;
    if (tier === undefined) return WITHOUT_TIER;
    const account = this.#accounts.get(name);
    if (account === undefined || (account.source === "gateway" && account.tier !== tier)) {
      this.#consumers.note(name, tier);
    }
    const refusal = refusalOf(account);
    if (refusal !== undefined) return refusal;
    const own = { key: limiterKeyOf(name), tier: overriddenTier(tier, account?.overrides ?? null) };
    return { ...own, account: name, owner: account };
  }

  /** The address of the client, as the gateway has seen it. */
  addressOf({ headers }: FastifyRequest): string {
    const address = headers["x-real-ip"];
    return typeof address === "string" ? address : "";
  }

  /** The name of the consumer's account: never one time its id and another its user name. */
  #nameOf(headers: IncomingHttpHeaders): string | undefined {
    // A field without a value is how some proxies send none.
    const id = headers["x-consumer-custom-id"]?.toString() || undefined;
    const user = headers["x-consumer-username"]?.toString() || undefined;
    if (this.#account === "username") return user;
    if (this.#account === "custom-id" || user === undefined) return id;
    if (id === undefined) return this.#withId.has(user) ? undefined : user;
    this.#remember(user);
    return id;
  }

  #remember(user: string): void {
    if (this.#withId.has(user)) return;
    if (this.#withId.size === KNOWN_CONSUMERS) this.#withId.delete(this.#withId.values().next().value ?? "");
    this.#withId.add(user);
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
