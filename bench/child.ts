import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { BUILD_VARIABLE } from "./beside.js";

/** How a child process is started. */
interface ChildOptions {
  args?: readonly string[];
  /** The only processor that it may run on; ignored where there is one only, or no `taskset`. */
  processor?: number;
  /** Files, connections among them, that it is to have open at once; ignored where there is no `prlimit`. */
  files?: number;
  /** The root of the build that it measures, if not this one. */
  build?: string | undefined;
}

const TASKSET = "/usr/bin/taskset";
const PRLIMIT = "/usr/bin/prlimit";

/** Whether children can be kept to one processor each. */
export const CAN_PIN = availableParallelism() > 1 && existsSync(TASKSET);

/** A process of `children/` that is asked and answers, one question at a time, so that contestants can take turns. */
export class Child<Question, Answer> {
  readonly #process: ChildProcess;
  /** The end of what it wrote to its standard error. */
  #errors = "";

  constructor(name: string, { args = [], processor, files, build }: ChildOptions = {}) {
    const node = ["--expose-gc"];
    const pin = processor === undefined || !CAN_PIN ? [] : [TASKSET, "-c", String(processor)];
    const raise = files === undefined || !existsSync(PRLIMIT) ? [] : [PRLIMIT, `--nofile=${files}`];
    const [program = "", ...before] = [...pin, ...raise, process.execPath];
    this.#process = fork(new URL(`children/${name}.js`, import.meta.url), args, {
      execPath: program,
      execArgv: [...before, ...node],
      env: { ...process.env, ...(build !== undefined && { [BUILD_VARIABLE]: build }) },
      serialization: "advanced",
      stdio: ["ignore", "inherit", "pipe", "ipc"],
    });
    this.#process.stderr?.setEncoding("utf8").on("data", (text) => {
      this.#errors = (this.#errors + text).slice(-20_000);
    });
  }

  /** Rejects if it ends before it has answered, with the reason as far as it can be told. */
  ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const child = this.#process;
      const finish = (): void => {
        child.off("message", answered);
        child.off("close", ended);
      };
      const answered = (answer: unknown): void => {
        finish();
        resolve(answer as Answer);
      };
      const ended = (code: number | null, signal: string | null): void => {
        finish();
        reject(new Error(reasonIn(this.#errors) ?? `ended with ${signal ?? `code ${code}`}: ${this.#errors}`));
      };
      child.once("message", answered).once("close", ended);
      child.send(question as object);
    });
  }

  /** Lets it end by itself, so that it can tidy up; resolves when it has ended. */
  async stop(): Promise<void> {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    await new Promise((resolve) => {
      child.once("exit", resolve).disconnect();
    });
  }
}

/** Answers the questions of {@link Child.ask}, in a child process. */
export function serve<Question, Answer>(answer: (question: Question) => Answer | Promise<Answer>): void {
  process.on("message", async (question) => process.send?.(await answer(question as Question)));
  process.on("disconnect", () => process.exit());
}

/** The two ways in which JavaScript runs out of room, in few words. */
function reasonIn(errors: string): string | undefined {
  if (errors.includes("heap out of memory")) return "died: V8 heap out of memory";
  if (errors.includes("Map maximum size exceeded")) return "died: Map is full";
  return undefined;
}
