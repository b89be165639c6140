#!/usr/bin/env node
import { outlastReaders, outputOf } from "./output.js";
import { run } from "./program.js";

const output = outputOf(process);
outlastReaders(process, ({ message }) => {
  output.note(`tollkeeper: the result can't be written: ${message}`);
  process.exitCode = 1;
});
void run(process.argv.slice(2), process.env, output).then((code) => {
  process.exitCode ||= code;
});
