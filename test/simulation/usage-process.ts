import { RedisCells } from "../../src/ledger/redis-cells.js";
import { FOR_EVER, total } from "./usage-model.js";
import type { UsageNetwork } from "./usage-network.js";

const HOUR_MS = 3_600_000;
export const METERS = ["identify", "compare"];

/** One process that counts, until it is killed. */
export class UsageProcess {
  readonly cells: RedisCells;
  /** What it has counted, and what of it may be missing, by place. */
  readonly counted = new Map<string, number[]>();
  readonly missing = new Map<string, number[]>();
  /** By how much its clock is ahead, in ms. */
  aheadMs = 0;
  isAlive = true;
  /** The name that it has given itself; empty if it has never reported. */
  told = "";
  readonly #network: UsageNetwork;

  constructor(network: UsageNetwork, maxCells: number) {
    this.#network = network;
    const store = network.link(() => this.isAlive);
    const heard: typeof store = {
      ...store,
      report: (report) => {
        this.told = report.process;
        return store.report(report);
      },
    };
    const options = { meters: METERS, maxCells, retention: FOR_EVER };
    this.cells = RedisCells.open(
      () => heard,
      options,
      () => network.nowMs + this.aheadMs,
    );
  }

  /** Counts; says in which hour that was. */
  count(account: string, meter: number, plan: string, numbers: readonly number[]): number {
    const hour = Math.floor((this.#network.nowMs + this.aheadMs) / HOUR_MS);
    const [calls = 0, milli = 0, denied = 0, refunded = 0] = numbers;
    this.cells.count(account, meter, this.cells.planId(plan), hour, calls, milli, denied, refunded);
    return hour;
  }

  /** Notes what was counted. */
  note(place: string, numbers: readonly number[]): void {
    this.counted.set(place, total([this.counted.get(place) ?? [], numbers]));
  }

  /** Lets so much be missing, if no more was already. */
  allow(place: string, numbers: readonly number[]): void {
    const before = this.missing.get(place) ?? [];
    this.missing.set(
      place,
      numbers.map((number, index) => Math.max(number, before[index] ?? 0)),
    );
  }
}
