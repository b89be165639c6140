import { TollkeeperError } from "../errors.js";
import { guarded } from "../limiter/callback.js";

/** Is told what is wrong with the set-up, or why a call can't be decided: it is for the log, and clients are not told. */
export type OnFault = (error: unknown) => void;

/**
 * Who is told, where the framework has no log of its own.
 *
 * @param onFault By default a process warning, once of each code.
 */
export function faultListener(onFault: OnFault = warnOnce()): OnFault {
  return guarded("onFault", onFault);
}

function warnOnce(): OnFault {
  const told = new Set<string>();
  return (error) => {
    const code = error instanceof TollkeeperError ? error.code : "";
    if (told.has(code)) return;
    told.add(code);
    process.emitWarning(`${error instanceof Error ? error.message : String(error)} (told once; see onFault)`, {
      type: "TollkeeperWarning",
      code: "TOLLKEEPER_CALL_NOT_CHARGED",
    });
  };
}
