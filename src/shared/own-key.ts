import type { BoundTier } from "../limiter/bound-tier.js";

/** Under which a key is counted: a NUL in it is doubled, so that none is what a shadow limit counts under. */
export function ownKey(key: string): string {
  return key.includes("\0") ? key.replaceAll("\0", "\0\0") : key;
}

/** Under which a shadow limit counts what such a key would have spent. */
export function shadowKey(own: string, { tier }: BoundTier): string {
  return `${own}\0${tier.limits.map(({ name }) => name).join()}`;
}
