// Makes ready what is missing, and serves in this very process, so that stop signals reach the server. `npm start`
import { pathToFileURL } from "node:url";
import { ROOT } from "./run.mjs";
import { setUp } from "./setup.mjs";

await setUp();
const cli = `${ROOT}dist/service/cli/main.js`;
process.argv.splice(1, 1, cli, "serve");
await import(pathToFileURL(cli).href);
