// Load by k6: 1 minute up to 50 users, 3 minutes at 50, 1 minute down, then a burst of 150 calls of one user.
//   k6 run -e URLS=http://127.0.0.1:8080 -e KEY=fpk_… -e BURST_KEY=fpk_… bench/load/stages.k6.js
// URLS: replicas or gateways, separated by commas, called in turn. KEY and BURST_KEY: sent as X-API-Key. MINUTE: how many
// seconds a minute of the stages takes, 60 by default.
import { check, sleep } from "k6";
import http from "k6/http";
import { Counter } from "k6/metrics";

const urls = (__ENV["URLS"] ?? "http://127.0.0.1:8080").split(",");
const minute = Number(__ENV["MINUTE"] ?? 60);
/** Between the calls of a user, in seconds. */
const PAUSE = 0.1;
const BODY = JSON.stringify({ fingerprint: { tls: { ja4: "t13d1517h2_8daaf6152771_cb7bf5808d99" } } });

const allowed = new Counter("stages_allowed");
const denied = new Counter("stages_denied");
const burstAllowed = new Counter("burst_allowed");
const burstDenied = new Counter("burst_denied");

http.setResponseCallback(http.expectedStatuses(200, 429));

export const options = {
  scenarios: {
    stages: {
      executor: "ramping-vus",
      exec: "stages",
      gracefulStop: "5s",
      stages: [
        { duration: `${minute}s`, target: 50 },
        { duration: `${3 * minute}s`, target: 50 },
        { duration: `${minute}s`, target: 0 },
      ],
    },
    burst: { executor: "shared-iterations", exec: "burst", vus: 1, iterations: 150, startTime: `${5 * minute + 6}s` },
  },
  summaryTrendStats: ["med", "p(95)", "p(99)", "max"],
  thresholds: {
    http_req_failed: ["rate==0"],
    checks: ["rate==1"],
  },
};

export function stages() {
  count(call(__ENV["KEY"]), allowed, denied);
  sleep(PAUSE);
}

export function burst() {
  count(call(__ENV["BURST_KEY"] ?? __ENV["KEY"]), burstAllowed, burstDenied);
}

/** @param {string | undefined} key */
function call(key) {
  const headers = { "content-type": "application/json", ...(key === undefined ? {} : { "x-api-key": key }) };
  return http.post(`${urls[(__VU + __ITER) % urls.length]}/v1/identify`, BODY, { headers });
}

/**
 * @param {import("k6/http").Response} response
 * @param {Counter} passed
 * @param {Counter} refused
 */
function count(response, passed, refused) {
  (response.status === 200 ? passed : refused).add(1);
  check(response, {
    "200, or 429 that says when to come back": ({ status, headers }) => status === 200 || "Retry-After" in headers,
  });
}
