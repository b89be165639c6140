import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";

const TOLD = "tollkeeper.fallback";

/**
 * Says once a process, by a process warning, that `"auto"` got the JavaScript engine. Node keeps what it was told for both
 * builds, and for the workers that are started from then on; those that run already tell it once each.
 */
export function tellOfFallback(reason: string): void {
  if (getEnvironmentData(TOLD) === true) return;
  setEnvironmentData(TOLD, true);
  process.emitWarning(`limits are decided in JavaScript, since ${reason}`, {
    type: "TollkeeperWarning",
    code: "TOLLKEEPER_JS_ENGINE",
    detail:
      'Threads share no table, and storage files can\'t be used. `engine: "js"` asks for that and is not warned of; ' +
      "https://github.com/tollkeeper/tollkeeper/blob/main/docs/bundlers.md says how to bring the binary.",
  });
}
