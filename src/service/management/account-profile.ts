import { ServiceError } from "../errors.js";
import type { AccountProfile } from "./account.js";

/** Entries of an account's metadata. */
export const MOST_METADATA = 20;

/** Some of it. */
export type Possibly<T> = { [Field in keyof T]?: T[Field] | undefined };

/** Entries by name; null takes one away, and in the place of all of them each. */
export type MetadataChange = Readonly<Record<string, string | null>> | null | undefined;

/**
 * Metadata with some of its entries changed; null takes one away, and in the place of all of them each.
 *
 * @throws {ServiceError} `ERR_ACCOUNT_INVALID`
 */
export function mergedMetadata(before: AccountProfile["metadata"], change: MetadataChange): AccountProfile["metadata"] {
  if (change === null) return {};
  const entries = Object.entries({ ...before, ...change }).filter((entry): entry is [string, string] => {
    return entry[1] !== null;
  });
  if (entries.length <= MOST_METADATA) return Object.fromEntries(entries);
  const mayBe = `at most ${MOST_METADATA}`;
  throw new ServiceError("ERR_ACCOUNT_INVALID", `metadata would have ${entries.length} entries; it may have ${mayBe}`);
}

/** The profile of an account, with what is given of it changed. */
export function profileOf(account: AccountProfile, change: Possibly<AccountProfile>): AccountProfile {
  const { displayName = account.displayName, externalId = account.externalId, metadata = account.metadata } = change;
  const { anchorDay = account.anchorDay, source = account.source } = change;
  return { displayName, externalId, metadata, anchorDay, source };
}
