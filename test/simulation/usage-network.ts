import { setImmediate as turn } from "node:timers/promises";
import type { ToldHour, UsageStore } from "../../src/engine/usage-store.js";
import { TollkeeperError } from "../../src/errors.js";
import type { Random } from "./random.js";
import { type Fault, UsageModel } from "./usage-model.js";

/** After how long, in ms, an answer that does not come is given up. */
const TIMEOUT_MS = 2000;

/** What may go wrong between a process and the server, each a probability of one command. */
export interface Weather {
  readonly lostCommand: number;
  readonly lostAnswer: number;
  /** It is carried out once more, up to three hours later. */
  readonly twice: number;
  /** It takes seconds, and whoever asked has given up. */
  readonly late: number;
}

/** What is done wrong on purpose. */
export interface Planted {
  /** By the script. */
  readonly script?: Fault;
  /** By a process: a cell that was let go of begins again under its name. */
  readonly oneName?: boolean;
  /** By a process: another server than before is taken for the same. */
  readonly noRetelling?: boolean;
  /** By a process: accounts are not put into the index. */
  readonly noIndex?: boolean;
  /** By a process: what an earlier hour has counted goes into the next. */
  readonly wrongHour?: boolean;
}

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** One server that all reach, and what becomes of it; with a clock that all steps go by. */
export class UsageNetwork {
  nowMs: number;
  weather: Weather = { lostCommand: 0, lostAnswer: 0, twice: 0, late: 0 };
  server: UsageModel;
  isAway = false;
  readonly #random: Random;
  readonly #planted: Planted;
  /** What the server held a while ago, as a replica that lags would have it. */
  #replicas: { readonly atMs: number; readonly model: UsageModel }[] = [];
  readonly #events: Event[] = [];
  #order = 0;
  #runs = 0;

  constructor(random: Random, nowMs: number, planted: Planted) {
    this.#random = random;
    this.nowMs = nowMs;
    this.#planted = planted;
    this.server = new UsageModel(this.#newRun(), planted.script);
  }

  /** Goes on in time, doing what is due. */
  async until(endMs: number): Promise<void> {
    for (;;) {
      const next = this.#next();
      if (next === undefined || next.atMs > endMs) break;
      this.#events.splice(this.#events.indexOf(next), 1);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
      await settle();
    }
    this.nowMs = Math.max(this.nowMs, endMs);
  }

  #next(): Event | undefined {
    let next: Event | undefined;
    for (const event of this.#events) {
      const isSooner = next === undefined || event.atMs < next.atMs;
      if (isSooner || (event.atMs === next?.atMs && event.order < next.order)) next = event;
    }
    return next;
  }

  /** Runs until something has come about. */
  async outcome<T>(promise: Promise<T>): Promise<T | Error> {
    let outcome: { value: T | Error } | undefined;
    promise.then(
      (value) => {
        outcome = { value };
      },
      (error: Error) => {
        outcome = { value: error };
      },
    );
    await settle();
    for (let step = 0; outcome === undefined; step++) {
      if (step > 100_000) throw new Error("nothing comes of it");
      await this.until(this.nowMs + 5);
    }
    return (outcome as { value: T | Error }).value;
  }

  /** Has a replica keep what there is now. */
  replicate(): void {
    this.#replicas.push({ atMs: this.nowMs, model: this.server.copy("replica") });
    if (this.#replicas.length > 4) this.#replicas.shift();
  }

  /** A replica takes over, which lacks what was written since it was brought up to date. */
  failOver(): void {
    const [replica] = this.#replicas;
    this.server = (replica?.model ?? new UsageModel("", this.#planted.script)).copy(this.#newRun());
    this.#replicas = [];
  }

  restartEmpty(): void {
    this.server = new UsageModel(this.#newRun(), this.#planted.script);
    this.#replicas = [];
  }

  restart(): void {
    this.server.run = this.#newRun();
  }

  flushAll(): void {
    this.server.clear();
    this.#replicas = [];
  }

  /** The connection of one process, until it is killed. */
  link(isAlive: () => boolean): UsageStore {
    const { oneName, noRetelling, noIndex, wrongHour } = this.#planted;
    const ask = <T>(run: (server: UsageModel) => T): Promise<T> => this.#ask(run, isAlive);
    const spoilt = (told: readonly ToldHour[]): ToldHour[] =>
      told.map((hour) => ({
        ...hour,
        hour: wrongHour === true && hour.hour % 24 === 23 ? hour.hour + 1 : hour.hour,
        cells: hour.cells.map((cell) => (oneName ? { ...cell, process: cell.process.split(".")[0] ?? "" } : cell)),
      }));
    let first = "";
    return {
      open: () => undefined,
      write: (told, nowMs) =>
        ask((server) => {
          const answers = server.write(spoilt(told), nowMs);
          return noRetelling ? answers.map(() => 0) : answers;
        }),
      index: (month, accounts) => ask((server) => (noIndex ? undefined : server.addToIndex(month, accounts))),
      report: (report) =>
        ask((server) => {
          const answer = server.report(
            {
              ...report,
              joins: report.joins || noRetelling === true,
              server: noRetelling && report.server !== "" ? server.run : report.server,
            },
            this.nowMs,
          );
          first ||= answer.server;
          return noRetelling ? { ...answer, server: first } : answer;
        }),
      others: (process) => ask((server) => server.others(process, this.nowMs)),
      leave: (process) => ask((server) => void server.processes.delete(process)),
      read: (wanted) => ask((server) => server.read(wanted)),
      accounts: (months, after, max) => ask((server) => server.accountsIn(months, after, max)),
      translated: (error) =>
        error instanceof TollkeeperError ? error : new TollkeeperError("ERR_STORE_UNAVAILABLE", String(error)),
      close: () => undefined,
    };
  }

  #ask<T>(run: (server: UsageModel) => T, isAlive: () => boolean): Promise<T> {
    const random = this.#random;
    const { lostCommand, lostAnswer, twice, late } = this.weather;
    const isLate = random.chance(late);
    const delayMs = () => (isLate ? random.between(1000, 8000) : random.between(0.2, 20));
    return new Promise((resolve, reject) => {
      // Of two connections the one is not told in the order of the other, nor are commands that were given up.
      this.#after(TIMEOUT_MS, () => reject(new Error("no answer")));
      if (random.chance(lostCommand)) return;
      const carryOut = (): T | undefined => (this.isAway ? undefined : structuredClone(run(this.server)));
      if (random.chance(twice))
        this.#after(random.pick([50, 5000, 3 * 3_600_000] as [number, ...number[]]) * random.next(), carryOut);
      this.#after(delayMs(), () => {
        if (this.isAway) return;
        const answer = carryOut() as T;
        if (random.chance(lostAnswer)) return;
        this.#after(delayMs(), () => {
          if (isAlive()) resolve(answer);
        });
      });
    });
  }

  /** Does something after so many milliseconds. */
  later(delayMs: number, run: () => void): void {
    this.#after(delayMs, run);
  }

  #after(delayMs: number, run: () => void): void {
    this.#events.push({ atMs: this.nowMs + delayMs, order: this.#order++, run });
  }

  #newRun(): string {
    return `run${this.#runs++}`;
  }
}

/** Until all that follows from the last step has been done. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 4; turns++) await turn();
}
