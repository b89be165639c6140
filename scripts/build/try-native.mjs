// Fails unless the native engine that was built here loads and decides. Run by the release on every platform.
import { strict as assert } from "node:assert";
import { pathToFileURL } from "node:url";
import { ROOT } from "../run.mjs";

/** @type {typeof import("../../src/index.js")} */
const { createLimiter } = await import(pathToFileURL(`${ROOT}dist/esm/index.js`).href);
const limiter = createLimiter({
  engine: "native",
  tiers: { free: { limits: [{ name: "minute", type: "bucket", limit: 2, windowSeconds: 60, burst: 1 }] } },
});
assert.deepEqual(
  [1, 2, 3].map(() => limiter.consume("acct:42", "free").allowed),
  [true, true, false],
);
await limiter.close();
console.log(`native engine on ${process.platform} ${process.arch}: fine`);
