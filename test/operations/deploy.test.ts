import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Gateway, startGateway } from "../../scripts/operations/gateway.mjs";
import { readKongFile } from "../../scripts/operations/kong-file.mjs";
import { type AppProcess, startApp } from "../gateway/app.js";
import { Checkout } from "./checkout.js";

const GATEWAY_SECRET = "gateway-secret-of-these-tests-and-no-other";
const VERIFY_KEY = "verify-key-of-these-tests-and-of-no-other";
const SECRETS = ["POSTGRES_PASSWORD", "REDIS_PASSWORD", "KONG_REDIS_PASSWORD", "KEY_PEPPER"]
  .map((name) => `${name}=a-secret-of-these-tests-and-of-no-other\n`)
  .concat(`GATEWAY_SECRET=${GATEWAY_SECRET}\n`, `VERIFY_KEY=${VERIFY_KEY}\n`);

/**
 * A cluster in which all is up already, and whose balancer has given Kong no address. Pods have no network where the tests
 * of deploy.sh against a control plane run, so none can be forwarded to there. Every port that is asked for by its number is
 * somebody else's, and what is forwarded is the stand-in for Kong.
 */
const KUBECTL = `#!/usr/bin/env bash
case " $* " in
  *" version "*) printf 'serverVersion:\\n  minor: "30"\\n' ;;
  *" get job "*) echo "Complete: " ;;
  *" create --dry-run=client "*) echo job.batch/of-these-tests ;;
  *" port-forward service/kong-proxy :80 "*)
    echo $$ > "$FORWARDER"
    echo "Forwarding from 127.0.0.1:$KONG_PORT -> 8000"
    exec sleep infinity
    ;;
  *" port-forward "*)
    echo "error: unable to listen on any of the requested ports" >&2
    exit 1
    ;;
  *" kustomize "*) echo "kind: Namespace" ;;
esac
`;

/** curl before 7.84, which does not know %header{…} and writes it as it stands. */
const CURL = `#!/usr/bin/env bash
PATH=\${PATH#*:}
exec curl "\${@//%header\\{/%%header\\{}"
`;

let app: AppProcess;
let gateway: Gateway;
let checkout: Checkout;

beforeAll(async () => {
  app = await startApp({ RATE_LIMIT_GATEWAY_SECRET: GATEWAY_SECRET });
  const file = readKongFile({
    DECK_APP_TARGET: "app:8080",
    DECK_GATEWAY_SECRET: GATEWAY_SECRET,
    DECK_VERIFY_KEY: VERIFY_KEY,
    DECK_KONG_REDIS_PASSWORD: "none",
  });
  gateway = await startGateway(file, [app.url]);
  checkout = new Checkout();
  writeFileSync(join(checkout.root, "k8s/secrets.env"), SECRETS.join(""));
  mkdirSync(join(checkout.root, "bin"));
  for (const [name, script] of Object.entries({ kubectl: KUBECTL, curl: CURL })) {
    writeFileSync(join(checkout.root, "bin", name), script, { mode: 0o755 });
  }
});

afterAll(async () => {
  await gateway?.stop();
  await app?.stop();
  checkout?.remove();
});

/** Runs deploy.sh, which finds the stand-ins of kubectl and curl first. */
async function deploy(environment: Readonly<Record<string, string>>): Promise<{ code: number | null; output: string }> {
  const child = spawn(join(checkout.root, "k8s/deploy.sh"), ["--skip-monitoring", "--timeout", "10"], {
    env: {
      ...process.env,
      PATH: `${join(checkout.root, "bin")}:${process.env["PATH"]}`,
      FORWARDER: forwarder(),
      KONG_PORT: new URL(gateway.url).port,
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { code: child.exitCode, output: `${stdout}${stderr}` };
}

/** Where the kubectl that forwards leaves the number of its process. */
function forwarder(): string {
  return join(checkout.root, "forwarder");
}

test("where Kong has no address, it is called on a port that was free, which is let go at the end", async () => {
  const { code, output } = await deploy({ PROXY_URL: "" });
  expect(output).toContain(`calling ${gateway.url}\n`);
  expect(output).toContain("with a key: 200");
  expect(output).toContain("all is up in namespace tollkeeper");
  expect(code).toBe(0);
  const pid = Number(readFileSync(forwarder(), "utf8"));
  expect(() => process.kill(pid, 0)).toThrow("ESRCH");
});

test("a curl from before %header sees the app deny, too", async () => {
  const { code, output } = await deploy({ PROXY_URL: gateway.url });
  expect(output).toMatch(/past the burst: 429, after \d+ more calls/);
  expect(code).toBe(0);
});
