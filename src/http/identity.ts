import type { IncomingMessage } from "node:http";
import { optionInvalid, TollkeeperError } from "../errors.js";
import type { Subject } from "../limiter/subjects.js";
import { type AddressOptions, AddressReader, type HeaderFields, networksOf } from "./address.js";
import { COST, isAnyCost } from "./costs.js";
import type { MaybePromise } from "./maybe-promise.js";
import { type Ip, isWithin, type Network, parseIp } from "./network.js";
import { type Problem, problem } from "./problem.js";

/** Answers a call with a problem instead of letting it through. */
export interface Refusal {
  /** What is answered; its `status` is the status. */
  refusal: Problem;
  /** Header fields of the answer, such as `www-authenticate`. */
  headers?: Record<string, string>;
}

/** Who calls: whose tokens are spent, and under which tier. With a refusal the call is charged and then refused. */
export interface Identity extends Partial<Refusal> {
  /** The limiter's key, such as `acct:42`. */
  key: string;
  /** The tier whose limits are asked, from your own data, or what `overriddenTier` made of it. */
  tier: string;
  /** Whose usage a ledger counts: 1 to 512 UTF-16 units; the key by default. */
  account?: string | undefined;
}

/** One of several who pay for a call. */
export interface PayingSubject extends Subject {
  /**
   * Whose usage a ledger counts: 1 to 512 UTF-16 units. A call is counted for the first subject that has it, and if none does,
   * for the first subject's key.
   */
  readonly account?: string | undefined;
}

/**
 * Who was identified: one caller, a refusal, or several subjects, such as a user and the organisation. All of these pay what
 * the call costs, each at its own `cost` if it has one, or none does.
 */
export type Identified = Identity | Refusal | readonly PayingSubject[];

/** Says who calls; without a key nothing is charged and the call is refused. */
export type Identify<Request> = (request: Request) => MaybePromise<Identified>;

/** Who calls: of several subjects the first, and all of them. */
export interface Caller extends Identity {
  /** All who pay for the call, where there are several. */
  readonly subjects?: readonly PayingSubject[] | undefined;
  /** Which of these the call is counted for. */
  readonly index?: number;
}

/**
 * Who calls, or why nobody gets in. Nobody does because a look-up came back empty.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID` for what is none of these.
 */
export function checkedCaller(identified: Identified): Caller | Refusal {
  if (!isSeveral(identified)) {
    checkIdentity(identified);
    return identified;
  }
  const [first] = identified;
  if (first === undefined) throw notIdentified();
  for (const subject of identified as readonly (PayingSubject & Partial<Refusal>)[]) {
    checkIdentity(subject);
    const { refusal, cost = 0 } = subject;
    if (refusal !== undefined) throw optionInvalid("identify()[].refusal", "given", "left out of several subjects");
    if (!isAnyCost(cost)) throw optionInvalid("identify()[].cost", cost, COST);
  }
  const index = Math.max(
    0,
    identified.findIndex(({ account }) => account !== undefined),
  );
  return { key: first.key, tier: first.tier, subjects: identified, index };
}

function isSeveral(identified: Identified): identified is readonly PayingSubject[] {
  return Array.isArray(identified);
}

function notIdentified(): TollkeeperError {
  return new TollkeeperError(
    "ERR_OPTION_INVALID",
    "identify returned neither a key and a tier, nor several of these, nor a refusal; it may return one of these",
  );
}

function checkIdentity(identity: Identity | Refusal | PayingSubject): void {
  const { key, tier, refusal } = (identity ?? {}) as Partial<Identity & Refusal>;
  if (refusal === undefined && (typeof key !== "string" || typeof tier !== "string")) throw notIdentified();
  if (refusal === undefined) return;
  const status: unknown = refusal?.status;
  if (!(Number.isInteger(status) && (status as number) >= 400 && (status as number) <= 599)) {
    throw optionInvalid("identify().refusal.status", status, "a status from 400 to 599");
  }
}

/** The account of callers told apart by address: a ledger counts them together, and holds no address. */
export const NO_ACCOUNT = "no account";

/** How callers are told apart by address. */
export interface AddressIdentityOptions extends AddressOptions {
  /** Networks, in CIDR notation, whose callers are of the tier `trusted`; all others are `anonymous`. */
  trusted?: readonly string[] | undefined;
}

const ADDRESS_UNKNOWN: Refusal = {
  refusal: problem(403, "address_unknown", "The call has no key, and the address that it comes from can't be known."),
};

/** Tells callers apart by address. A caller without one is refused: it gets neither a pass nor a bucket with others. */
export class AddressIdentity {
  readonly #reader: AddressReader;
  readonly #trusted: readonly Network[];
  readonly #known = new WeakMap<Ip, Identity>();
  #onIgnored: (() => void) | undefined;

  /**
   * @param onIgnored Told once that a call says for whom it is made, by a peer that is not trusted; by default a process
   * warning.
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`
   */
  constructor(options: AddressIdentityOptions, onIgnored: () => void = warnOfIgnored) {
    this.#reader = new AddressReader(options);
    this.#trusted = networksOf("trusted", options.trusted ?? []);
    this.#onIgnored = onIgnored;
  }

  /** The caller at the address from which a call comes that Node's server has received. */
  ofMessage(message: IncomingMessage): Identity | Refusal {
    if (this.#onIgnored !== undefined && this.#reader.ignores(message)) this.#tellIgnored();
    return this.#of(this.#reader.read(message));
  }

  /** The same of any other call: by the address of its peer, and its header. */
  ofPeer(peer: string | undefined, headers: HeaderFields): Identity | Refusal {
    if (this.#onIgnored !== undefined && this.#reader.ignoresOf(peer, headers)) this.#tellIgnored();
    return this.#of(this.#reader.find(peer, headers));
  }

  /** The caller at an address that somebody trustworthy has told. */
  ofText(address: string): Identity | Refusal {
    return this.#of(parseIp(address));
  }

  #tellIgnored(): void {
    this.#onIgnored?.();
    this.#onIgnored = undefined;
  }

  #of(ip: Ip | undefined): Identity | Refusal {
    if (ip === undefined) return ADDRESS_UNKNOWN;
    let identity = this.#known.get(ip);
    if (identity === undefined) {
      const tier = isWithin(ip, this.#trusted) ? "trusted" : "anonymous";
      identity = { key: this.#reader.keyOf(ip), tier, account: NO_ACCOUNT };
      this.#known.set(ip, identity);
    }
    return identity;
  }
}

function warnOfIgnored(): void {
  process.emitWarning(
    "X-Forwarded-For comes from a peer that is not trusted and is ignored: all callers behind that peer count as one. " +
      "If it is your proxy, name its network in tollkeeper's option trustProxy",
    { type: "TollkeeperWarning", code: "TOLLKEEPER_PROXY_NOT_TRUSTED" },
  );
}
