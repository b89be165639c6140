import type { Command } from "commander";

export type Environment = NodeJS.ProcessEnv;

/** Options that every command with a result has. */
export interface CommonOptions {
  json?: boolean;
}

export interface ConfigOptions {
  config?: string;
}

/** Behind the help of each command that asks a running service. */
export const SERVICE = `
The service is at --url, or TOLLKEEPER_URL, or HOST and PORT. TOLLKEEPER_API_KEY holds a key that may do it; a key is
never an argument, which everybody on the machine could read.`;

/** Behind the help of each command that works on a running service, or on what it stores. */
export const STORED = `With --url, TOLLKEEPER_URL or TOLLKEEPER_API_KEY a running service is asked, with a key of the scope admin. Without any of
them it is done where the configuration says that accounts and keys are kept: in Redis, or in the storage file of a service
that is stopped.`;

export function withJson(command: Command): Command {
  return command.option("--json", "print the result, or the error, as JSON");
}

export function withUrl(command: Command): Command {
  return command.option("--url <address>", "where the service is");
}

export function withConfig(command: Command): Command {
  return command.option("--config <file>", "the configuration file; RATE_LIMIT_CONFIG if not given");
}

/** The environment, with a file that was given as an argument. */
export function configured(environment: Environment, config: string | undefined): Environment {
  return config === undefined ? environment : { ...environment, RATE_LIMIT_CONFIG: config };
}

export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`;
}
