import type { Decision } from "../../src/index.js";
import { isByPolicy } from "./policy.js";
import type { Replica } from "./process.js";

/** A call that runs, by the replica that has let it in. */
interface Call {
  readonly replica: Replica;
  readonly decision: Decision;
  /** Whether its replica counted as gone meanwhile, and its place as free. */
  isDropped: boolean;
}

/** The calls of one key that run at the same time, under a limit of concurrency: no more than it has places. */
export class Running {
  readonly #limit: number;
  #calls: Call[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Has a call begin that was let in; what is wrong with it, if anything is. */
  begin(replica: Replica, decision: Decision): string[] {
    this.#calls.push({ replica, decision, isDropped: false });
    const alive = this.#calls.filter((call) => call.replica.isAlive);
    const shared = alive.filter((call) => !call.isDropped && !isByPolicy(call.decision));
    const violations: string[] = [];
    if (shared.length > this.#limit) violations.push(`${shared.length} of ${this.#limit} run`);
    // What ran when the store went away, and a part for each that is left; and what those run who came back from being gone.
    const mayRun = 2 * this.#limit + alive.filter((call) => call.isDropped).length;
    if (alive.length > mayRun) violations.push(`${alive.length} of ${this.#limit} run in an outage`);
    return violations;
  }

  /** Ends a call; what is wrong with what its release says. */
  end(replica: Replica, decision: Decision): string[] {
    this.#calls = this.#calls.filter((call) => call.decision !== decision);
    if (!replica.isOpen) return [];
    const isFreed = [decision.release(), decision.release()];
    return isFreed[0] && !isFreed[1] ? [] : [`released ${isFreed.join(" and ")}`];
  }

  /** A replica counts as gone, though its calls may run on. */
  drop(name: string): void {
    for (const call of this.#calls) if (call.replica.link.caller === name) call.isDropped = true;
  }
}
