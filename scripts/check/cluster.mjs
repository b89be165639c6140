// Deploys everything to a real control plane on loopback, which has no containers. `npm run test:cluster`
import { orFail, runTool } from "../run.mjs";
import { setUp } from "../setup.mjs";

await setUp();
await orFail(runTool("vitest", ["run", "--project=cluster"]));
