import type { RecordStore } from "tollkeeper";
import { ServiceError } from "../errors.js";

const CLAIM = "external-id:";
/** How long, in ms, a claim holds by itself while its account does not have the id yet: much longer than that takes. */
const CLAIM_MS = 60_000;

interface Claim {
  account: string;
  /** Ms since the epoch. */
  atMs: number;
}

/**
 * Which account has which external id. It is claimed first, in a record that only one can write first, then written in the
 * account's profile, and then looked at once more; so of two replicas that give it away at once one is refused.
 */
export class ExternalIds {
  readonly #records: RecordStore;
  readonly #holders: (externalId: string) => readonly string[];
  readonly #clock: () => number;

  /** @param holders Gives the names of the accounts that have an id. */
  constructor(records: RecordStore, holders: (externalId: string) => readonly string[], clock: () => number) {
    this.#records = records;
    this.#holders = holders;
    this.#clock = clock;
  }

  /**
   * Before an account gets the id.
   *
   * @throws {ServiceError} `ERR_EXTERNAL_ID_TAKEN`
   */
  async claim(externalId: string, account: string): Promise<void> {
    this.#refuseTaken(externalId, account);
    const own = JSON.stringify({ account, atMs: this.#clock() } satisfies Claim);
    const there = JSON.parse(await this.#records.putNew(CLAIM + externalId, own)) as Claim;
    if (there.account === account) return;
    // What was written before it is known by now. A claim that nothing has come of is left by whoever ended in between.
    this.#refuseTaken(externalId, account);
    if (this.#clock() - there.atMs < CLAIM_MS) throw taken(externalId, there.account);
    await this.#records.put(CLAIM + externalId, own);
  }

  /**
   * After that.
   *
   * @throws {ServiceError} `ERR_EXTERNAL_ID_TAKEN`; then it has to be taken from the account again
   */
  confirm(externalId: string, account: string): void {
    this.#refuseTaken(externalId, account);
    const claimant = this.#claimantOf(externalId);
    if (claimant !== account) throw taken(externalId, claimant ?? "that is made now");
  }

  /** Once an account does not have the id any more. */
  async release(externalId: string, account: string): Promise<void> {
    if (this.#claimantOf(externalId) === account) await this.#records.put(CLAIM + externalId, undefined);
  }

  #refuseTaken(externalId: string, account: string): void {
    const other = this.#holders(externalId).find((holder) => holder !== account);
    if (other !== undefined) throw taken(externalId, other);
  }

  #claimantOf(externalId: string): string | undefined {
    const claim = this.#records.get(CLAIM + externalId);
    return claim === undefined ? undefined : (JSON.parse(claim) as Claim).account;
  }
}

function taken(externalId: string, by: string): ServiceError {
  return new ServiceError("ERR_EXTERNAL_ID_TAKEN", `account ${by} has the external id ${externalId} already`);
}
