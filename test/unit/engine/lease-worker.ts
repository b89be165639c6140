import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { onTestFinished } from "vitest";
import type { LeaseEngine, LeaseEngineOptions } from "../../../src/engine/lease-engine.js";
import { LEASE_FRAME } from "../../../src/engine/lease-frame.js";

type FieldName = Exclude<keyof typeof LEASE_FRAME, "ROW" | "ROWS">;

type Row = Readonly<Partial<Record<FieldName, number>>>;

/** What a thread does with its engine. */
export interface Work {
  readonly method: keyof LeaseEngine;
  readonly args?: readonly unknown[];
  /** What is written into the first row before each call. */
  readonly row?: Row;
  readonly times?: number;
}

/** What has come of it. */
export interface Done {
  /** Of the last call. */
  readonly result: unknown;
  /** How many of the calls ended with which code. */
  readonly codes: Readonly<Record<number, number>>;
}

/** Loads the engine as it was built. Each may be another thread's first: nobody else needs to have loaded the binary. */
export const PROGRAM = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { openNativeLeases } = require(workerData.module);
  const { engine, reason } = openNativeLeases(workerData.options);
  if (reason !== undefined) throw new Error(reason);
  parentPort.on("message", (work) => {
    if (work === "exit") process.exit();
    if (work === "end") return parentPort.close();
    const { method, args, fields, times, gate } = work;
    if (gate !== undefined) {
      const both = new Int32Array(gate);
      Atomics.add(both, 0, 1);
      while (Atomics.load(both, 0) < both[1]);
    }
    const codes = {};
    let result = engine[method];
    for (let call = 0; call < times && typeof engine[method] === "function"; call++) {
      for (const [field, value] of fields) engine.frame[field] = value;
      result = engine[method](...args);
      codes[engine.frame[${LEASE_FRAME.CODE}]] = (codes[engine.frame[${LEASE_FRAME.CODE}]] ?? 0) + 1;
    }
    parentPort.postMessage({ result, codes });
  });
  parentPort.postMessage("open");
`;

/** Where the engine is, as it was built. */
export const MODULE = join(process.cwd(), "dist/cjs/engine/native-leases.js");

/** A thread with an engine of leases. */
export class LeaseWorker {
  readonly #worker: Worker;
  readonly #exited: Promise<unknown>;

  private constructor(worker: Worker) {
    this.#worker = worker;
    this.#exited = once(worker, "exit");
  }

  static async start(options: LeaseEngineOptions): Promise<LeaseWorker> {
    const worker = new Worker(PROGRAM, { eval: true, workerData: { module: MODULE, options } });
    onTestFinished(async () => {
      await worker.terminate();
    });
    await once(worker, "message");
    return new LeaseWorker(worker);
  }

  /** Has calls made; with a gate, as soon as everybody else who is given it makes theirs. */
  async do({ method, args = [], row = {}, times = 1 }: Work, gate?: SharedArrayBuffer): Promise<Done> {
    this.#worker.postMessage({ method, args, fields: fieldsOf(row), times, gate });
    const [done] = (await once(this.#worker, "message")) as [Done];
    return done;
  }

  /** Ends the thread without closing its engine: from outside, by `process.exit`, or since it has nothing more to do. */
  async end(how: "terminate" | "exit" | "end"): Promise<void> {
    if (how === "terminate") await this.#worker.terminate();
    else this.#worker.postMessage(how);
    await this.#exited;
  }
}

/** Where in a row is what, and its value. */
export function fieldsOf(row: Row): [index: number, value: number][] {
  return Object.entries(row).map(([name, value]) => [LEASE_FRAME[name as FieldName], value]);
}

/** Lets so many threads go on at once. */
export function gateFor(threads: number): SharedArrayBuffer {
  const gate = new SharedArrayBuffer(8);
  new Int32Array(gate)[1] = threads;
  return gate;
}
