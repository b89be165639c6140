#!/usr/bin/env node
import { outputOf } from "./cli/output.js";
import { run } from "./cli/program.js";

void run(process.argv.slice(2), process.env, outputOf(process)).then((code) => {
  process.exitCode = code;
});
