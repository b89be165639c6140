/** 32 connections that call as fast as they are answered, for the benchmark `http`. */

import autocannon from "autocannon";
import { serve } from "../child.js";
import { nameOf } from "../keys.js";

/** What to call, and for how long. */
export interface Target {
  url: string;
  seconds: number;
  /** The key of every call; without one, callers take turns. */
  key: string | undefined;
  /** JSON to post; without it the call is a GET. */
  body: string | undefined;
}

/** What came of it. */
export interface Outcome {
  requests: number;
  seconds: number;
  /** Calls not answered with a status of 200 to 299, or not at all. */
  failed: number;
  /** Of the answers, in ms. */
  p50Ms: number;
  p99Ms: number;
}

const CONNECTIONS = 32;
const CALLERS = 100;

serve(async ({ url, seconds, key, body }: Target): Promise<Outcome> => {
  const keys = key === undefined ? Array.from({ length: CALLERS }, (_, caller) => nameOf(caller)) : [key];
  const { requests, duration, errors, non2xx, latency } = await autocannon({
    url,
    connections: CONNECTIONS,
    duration: seconds,
    requests: keys.map((key) => ({
      ...(body === undefined ? {} : { method: "POST", body }),
      headers: { "x-api-key": key, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    })),
  });
  return {
    requests: requests.total,
    seconds: duration,
    failed: errors + non2xx,
    p50Ms: latency.p50,
    p99Ms: latency.p99,
  };
});
