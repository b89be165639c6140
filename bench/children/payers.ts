/** Callers that pay, a steady number of calls a second whatever becomes of them, for the benchmark `attacks`. */

import { Agent, request } from "node:http";
import { serve } from "../child.js";
import { quantile } from "../statistics.js";

/** Whom to call, and for how long. */
export interface Load {
  url: string;
  key: string;
  seconds: number;
}

/** What came of it; times from when a call was due until its answer was there. */
export interface Outcome {
  calls: number;
  failed: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

const A_SECOND = 200;
/** How long, in ms, a call may take. */
const PATIENCE_MS = 20_000;
const BODY = '{"fingerprint":{"tls":{"ja4":"t13d1517h2_8daaf6152771_cb7bf5808d99"}}}';

const agent = new Agent({ keepAlive: true, maxSockets: 32 });

function call({ url, key }: Load): Promise<boolean> {
  return new Promise((resolve) => {
    const headers = { "content-type": "application/json", "x-api-key": key };
    const sent = request(`${url}/v1/identify`, { method: "POST", agent, headers, timeout: PATIENCE_MS }, (answer) => {
      answer.resume().once("close", () => resolve(answer.statusCode === 200));
    });
    sent.once("timeout", () => sent.destroy());
    sent.once("error", () => resolve(false));
    sent.end(BODY);
  });
}

serve(async (load: Load): Promise<Outcome> => {
  const calls: Promise<{ good: boolean; ms: number }>[] = [];
  const startMs = performance.now();
  await new Promise<void>((resolve) => {
    const beat = setInterval(() => {
      const nowMs = performance.now() - startMs;
      for (let due = calls.length; due < Math.min(nowMs, load.seconds * 1000) * (A_SECOND / 1000); due++) {
        const dueMs = startMs + (due * 1000) / A_SECOND;
        calls.push(call(load).then((good) => ({ good, ms: performance.now() - dueMs })));
      }
      if (nowMs < load.seconds * 1000) return;
      clearInterval(beat);
      resolve();
    }, 2);
  });
  const outcomes = await Promise.all(calls);
  const took = Float64Array.from(outcomes.map(({ ms }) => ms)).sort();
  const at = (share: number): number => quantile(took, share);
  const failed = outcomes.filter(({ good }) => !good).length;
  return { calls: outcomes.length, failed, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
});
