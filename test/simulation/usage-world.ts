import { dayOf, monthOf } from "../../src/engine/usage-store.js";
import type { Cell, CellQuery } from "../../src/ledger/cells.js";
import { Random } from "./random.js";
import { total } from "./usage-model.js";
import { type Planted, UsageNetwork } from "./usage-network.js";
import { METERS, UsageProcess } from "./usage-process.js";

const HOUR_MS = 3_600_000;
/** For how long, in ms, they count: from half past eight in the evening of the 30th to half past five on the 1st. */
const LASTS_MS = 9 * HOUR_MS;
const BEGINS_MS = Date.UTC(2026, 10, 30, 20, 30);
/** For how long, in ms, an hour that is over is still told to a server that has forgotten it. */
const RETOLD_MS = 10 * 60_000 + 2 * HOUR_MS;

type Choice<T> = readonly [T, ...T[]];
const ACCOUNTS: Choice<string> = ["acme", "umbrella", "\u{1F4A7}", "zeta"];
const PLANS: Choice<string> = ["free", "pro"];
const STEPS: Choice<number> = [300, 300, 1500, 60_000, 20 * 60_000];
const CHANCES: Choice<number> = [0, 0, 0.05, 0.3];
const AHEAD: Choice<number> = [0, -HOUR_MS, HOUR_MS, -60_000];
const FAIR = { lostCommand: 0, lostAnswer: 0, twice: 0, late: 0 };

/** What one seed came to. */
export interface Outcome {
  readonly wrong: string[];
  /** Whether the server has ever forgotten something. */
  readonly forgets: boolean;
  readonly served: number;
  readonly ledger: number;
  readonly bound: number;
}

/** Some processes count, for nine hours about the turn of a month, while all kinds of things go wrong. */
export async function simulate(seed: number, planted: Planted = {}): Promise<Outcome> {
  const world = new World(new Random(seed), planted);
  await world.run();
  await world.settle();
  return world.audit();
}

class World {
  readonly #random: Random;
  readonly #network: UsageNetwork;
  readonly #processes: UsageProcess[] = [];
  readonly #flushing = new Set<UsageProcess>();
  readonly #wrong: string[] = [];
  /** Whether memory is too small for all cells, so that accounts are not told apart; and whether the server may forget. */
  readonly #isSmall: boolean;
  readonly #mayForget: boolean;
  #forgets = false;

  constructor(random: Random, planted: Planted) {
    this.#random = random;
    this.#network = new UsageNetwork(random, BEGINS_MS, planted);
    this.#isSmall = random.chance(0.2);
    this.#mayForget = !this.#isSmall && random.chance(0.5);
  }

  async run(): Promise<void> {
    const [random, network] = [this.#random, this.#network];
    this.#begin();
    this.#begin();
    for (let step = 0; network.nowMs < BEGINS_MS + LASTS_MS; step++) {
      for (const process of this.#living) this.#serve(process);
      await network.until(network.nowMs + random.pick(STEPS) * random.next());
      this.#disturbNetwork();
      this.#disturbProcess();
      if (step % 16 === 0) this.#wrong.push(...network.server.disagreements());
    }
  }

  /** Lets all end well: the weather is fair, all that was sent has come, everybody has flushed. */
  async settle(): Promise<void> {
    const network = this.#network;
    network.weather = FAIR;
    network.isAway = false;
    await network.until(network.nowMs + 10_000);
    for (const process of this.#living) {
      process.aheadMs = 0;
      const outcome = await network.outcome(process.cells.flush(network.nowMs));
      if (outcome instanceof Error) this.#wrong.push(`a flush in fair weather failed: ${outcome.message}`);
      const { unwrittenCalls } = process.cells.stats();
      if (unwrittenCalls !== 0) this.#wrong.push(`${unwrittenCalls} calls are unwritten after it`);
    }
    await network.until(network.nowMs + 12 * HOUR_MS);
  }

  /** Compares what a report reads with what was served. */
  async audit(): Promise<Outcome> {
    const wrong = [...this.#wrong, ...this.#network.server.disagreements()];
    const auditor = new UsageProcess(this.#network, 1000);
    const hours = await this.#read(auditor, "hour");
    const others = [await this.#read(auditor, "day"), await this.#read(auditor, "range")];
    const sums = [hours, ...others].map((cells) => total(cells.map(numbersOf)).join());
    if (new Set(sums).size !== 1) wrong.push(`hours, days and months are ${sums.join(" and ")}`);

    const [ledger, served, bound] = [new Sums(), new Sums(), new Sums()];
    for (const cell of hours) ledger.add(this.#placeOf(cell.account, cell.hour), numbersOf(cell));
    for (const { counted, missing } of this.#processes) {
      for (const [place, numbers] of counted) served.add(place, numbers);
      for (const [place, numbers] of missing) bound.add(place, numbers);
    }
    for (const place of new Set([...served.keys(), ...ledger.keys()])) {
      const may = total([bound.get(place), bound.get("all")]);
      for (let index = 0; index < 4; index++) {
        const [told = 0, was = 0, less = 0] = [ledger, served, { get: () => may }].map((of) => of.get(place)[index]);
        if (told <= was && told >= was - less) continue;
        wrong.push(`${place}: number ${index} is ${told}, ${was} were served, ${less} may be missing`);
      }
    }
    const [callsServed, callsTold, callsBound] = [served, ledger, bound].map((sums) => total([...sums.values()])[0]);
    return { wrong, forgets: this.#forgets, served: callsServed ?? 0, ledger: callsTold ?? 0, bound: callsBound ?? 0 };
  }

  get #living(): UsageProcess[] {
    return this.#processes.filter(({ isAlive }) => isAlive);
  }

  #placeOf(account: string, hour: number): string {
    return JSON.stringify([this.#isSmall ? "any" : account, hour]);
  }

  #begin(): void {
    if (this.#living.length < 4) this.#processes.push(new UsageProcess(this.#network, this.#isSmall ? 12 : 1000));
  }

  #serve(process: UsageProcess): void {
    const random = this.#random;
    for (let calls = random.whole(0, 3); calls > 0; calls--) {
      const [account, plan] = [random.pick(ACCOUNTS), random.pick(PLANS)];
      const refunded = random.chance(0.2) ? random.whole(1, 900) : 0;
      const numbers = random.chance(0.2) ? [0, 0, 1, 0] : [1, random.whole(1, 5000), 0, refunded];
      const hour = process.count(account, random.whole(0, METERS.length - 1), plan, numbers);
      process.note(this.#placeOf(account, hour), numbers);
    }
    if (this.#flushing.has(process) || !random.chance(0.7)) return;
    this.#flushing.add(process);
    process.cells
      .flush(this.#network.nowMs + process.aheadMs)
      .catch(() => undefined)
      .finally(() => this.#flushing.delete(process));
  }

  #disturbNetwork(): void {
    const [random, network] = [this.#random, this.#network];
    if (random.chance(0.3)) network.replicate();
    if (random.chance(0.1)) {
      const [lostCommand, lostAnswer] = [random.pick(CHANCES), random.pick(CHANCES)];
      network.weather = { lostCommand, lostAnswer, twice: random.pick(CHANCES), late: random.pick(CHANCES) };
    }
    if (random.chance(network.isAway ? 0.2 : 0.03)) network.isAway = !network.isAway;
    if (random.chance(0.01)) network.restart();
    if (!this.#mayForget || !random.chance(0.01)) return;
    random.pick([
      () => network.failOver(),
      () => network.failOver(),
      () => network.restartEmpty(),
      () => network.flushAll(),
    ])();
    this.#forgets = true;
    this.#allow();
    // Once more, while it is being told again.
    const again = () => {
      network.flushAll();
      this.#allow();
    };
    if (random.chance(0.5)) network.later(random.between(0, 1000), again);
  }

  #disturbProcess(): void {
    const random = this.#random;
    if (random.chance(0.05)) this.#begin();
    const living = this.#living;
    const process = living[random.whole(0, living.length - 1)];
    if (process === undefined) return;
    if (random.chance(0.03)) process.aheadMs = random.pick(AHEAD);
    if (living.length > 1 && random.chance(0.02)) this.#kill(process);
  }

  #kill(process: UsageProcess): void {
    process.isAlive = false;
    if (!this.#isSmall) {
      this.#allow();
      return;
    }
    // Whose usage is missing cannot be told then, how much can.
    const { unwrittenCalls, unwrittenMilli } = process.cells.stats();
    process.allow("all", [unwrittenCalls, unwrittenMilli, unwrittenCalls, Number.MAX_SAFE_INTEGER]);
  }

  /** Allows for what nobody can tell any more: of those that are dead, and of hours that may have been let go of. */
  #allow(): void {
    const { nowMs, server } = this.#network;
    for (const process of this.#processes) {
      for (const [place, numbers] of process.counted) {
        const [account, hour] = JSON.parse(place) as [string, number];
        // A clock that was ahead has had more let go of.
        if (process.isAlive && (hour + 1) * HOUR_MS + RETOLD_MS > nowMs + HOUR_MS) continue;
        const stored = server.toldBy(process.told, account, hour);
        process.allow(
          place,
          numbers.map((number, index) => Math.max(0, number - (stored[index] ?? 0))),
        );
      }
    }
  }

  async #read(auditor: UsageProcess, by: CellQuery["by"]): Promise<Cell[]> {
    const fromHour = dayOf(Date.UTC(2026, 10, 29) / HOUR_MS);
    const range = { fromHour, toHour: monthOf(fromHour, 2) };
    const cells: Cell[] = [];
    let after: string | undefined;
    do {
      const query = { ...range, by, after, max: this.#random.whole(1, 5) };
      const page = await this.#network.outcome(auditor.cells.read(query));
      if (page instanceof Error) throw page;
      cells.push(...page.cells);
      after = page.next;
    } while (after !== undefined);
    return cells;
  }
}

/** Sums by place. */
class Sums extends Map<string, number[]> {
  override get(place: string): number[] {
    return super.get(place) ?? [0, 0, 0, 0];
  }

  add(place: string, numbers: readonly number[]): void {
    this.set(place, total([this.get(place), numbers]));
  }
}

function numbersOf({ calls, unitsMilli, denied, refundedMilli }: Cell): number[] {
  return [calls, unitsMilli, denied, refundedMilli];
}
