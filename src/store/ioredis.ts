import { TollkeeperError } from "../errors.js";

/** The client that Redis is asked with, a package that the app brings. */
export type Ioredis = Pick<typeof import("ioredis"), "Redis" | "Cluster">;

/**
 * Loads it when it is needed, so that who keeps nothing in Redis need not have it.
 *
 * @throws {TollkeeperError} `ERR_PACKAGE_MISSING`
 */
export async function loadIoredis(): Promise<Ioredis> {
  try {
    return await import("ioredis");
  } catch (cause) {
    const { code, message = "" } = (cause ?? {}) as { code?: unknown; message?: string };
    const isMissing = String(code).endsWith("MODULE_NOT_FOUND") && /['"]ioredis['"]/.test(message);
    if (!isMissing) throw cause;
    const what = 'storage of type "redis" needs the package ioredis, which is not installed; npm install ioredis';
    throw new TollkeeperError("ERR_PACKAGE_MISSING", what, { cause });
  }
}
