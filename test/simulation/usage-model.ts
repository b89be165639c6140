import {
  dayOf,
  monthOf,
  type OtherProcess,
  type ProcessReport,
  type ReportAnswer,
  type StoredSum,
  type ToldCell,
  type ToldHour,
  type UsageRetention,
  type WantedSums,
} from "../../src/engine/usage-store.js";

const HOUR_MS = 3_600_000;
const CLOSING_MS = 10 * 60_000;
const SILENT_MS = 24 * HOUR_MS;

/** Four numbers and a revision. */
export type Numbers = [calls: number, unitsMilli: number, denied: number, refundedMilli: number, revision: number];

/** What can be wrong with a script. */
export type Fault = "adds" | "forgetsMonth" | "forgetsDay" | "keepsLast";

type Place = Pick<ToldCell, "meter" | "plan">;
const placeOf = ({ meter, plan }: Place) => JSON.stringify([meter, plan]);

/** What an account has: by hour, place and process; the sums of days and of months, by their first hour and place. */
interface AccountUsage {
  readonly hours: Map<number, Map<string, Map<string, Numbers>>>;
  readonly days: Map<number, Map<string, Numbers>>;
  readonly months: Map<number, Map<string, Numbers>>;
}

/** What the scripts do, in plain words; nothing expires. */
export class UsageModel {
  run: string;
  accounts = new Map<string, AccountUsage>();
  index = new Map<number, Set<string>>();
  processes = new Map<string, OtherProcess>();
  names = { meters: new Set<string>(), plans: new Set<string>(), months: new Set<number>() };
  readonly #fault: Fault | undefined;

  constructor(run: string, fault?: Fault) {
    this.run = run;
    this.#fault = fault;
  }

  /** The same in another process, as a replica that takes over has it. */
  copy(run: string): UsageModel {
    const copy = new UsageModel(run, this.#fault);
    copy.accounts = structuredClone(this.accounts);
    copy.index = structuredClone(this.index);
    copy.processes = structuredClone(this.processes);
    copy.names = structuredClone(this.names);
    return copy;
  }

  clear(): void {
    for (const all of [this.accounts, this.index, this.processes, ...Object.values(this.names)]) all.clear();
  }

  write(told: readonly ToldHour[], nowMs: number): number[] {
    return told.map((hour) => this.#tell(hour, nowMs));
  }

  addToIndex(month: number, accounts: readonly string[]): void {
    this.names.months.add(month);
    const index = this.index.get(month) ?? new Set();
    this.index.set(month, index);
    for (const account of accounts) index.add(account);
  }

  report(report: ProcessReport, nowMs: number): ReportAnswer {
    const { process, server, joins, pastHour, unwrittenCalls, unwrittenMilli } = report;
    const isKnown = server === this.run && (joins || this.processes.has(process));
    if (!isKnown) return { server: this.run, isKnown, names: undefined };
    for (const name of report.meters) this.names.meters.add(name);
    for (const name of report.plans) this.names.plans.add(name);
    this.processes.set(process, { process, writtenMs: nowMs, pastHour, unwrittenCalls, unwrittenMilli });
    const { meters, plans, months } = this.names;
    const isSame = meters.size + plans.size + months.size === report.knownNames;
    const names = isSame ? undefined : { meters: [...meters], plans: [...plans], months: [...months] };
    return { server: this.run, isKnown, names };
  }

  others(process: string, nowMs: number): OtherProcess[] {
    for (const [name, { writtenMs }] of this.processes) if (nowMs - writtenMs > SILENT_MS) this.processes.delete(name);
    return [...this.processes.values()].filter((other) => other.process !== process);
  }

  read(wanted: readonly WantedSums[]): StoredSum[][] {
    return wanted.map(({ account, of, hour }) => {
      const usage = this.accounts.get(account);
      if (usage === undefined) return [];
      if (of === "months") return sumsOf(usage.months);
      const isWanted = (first: number) => (of === "days" ? monthOf(first) : dayOf(first)) === hour;
      if (of === "days") return sumsOf(new Map([...usage.days].filter(([first]) => isWanted(first))));
      const added = [...usage.hours]
        .filter(([first]) => isWanted(first))
        .map(([first, places]) => {
          const sums = [...places].map(([place, processes]) => [place, total([...processes.values()])] as const);
          return [first, new Map(sums)] as const;
        });
      return sumsOf(new Map(added));
    });
  }

  accountsIn(months: readonly number[], after: string | undefined, max: number): string[] {
    const found = new Set(months.flatMap((month) => [...(this.index.get(month) ?? [])]));
    return [...found]
      .sort()
      .filter((name) => after === undefined || name > after)
      .slice(0, max);
  }

  /** What a process has told of an account and hour, whichever of its beginnings. */
  toldBy(process: string, account: string, hour: number): Numbers {
    const places = [...(this.accounts.get(account)?.hours.get(hour)?.values() ?? [])];
    return total(
      places.flatMap((processes) =>
        [...processes].filter(([name]) => name.split(".")[0] === process).map(([, numbers]) => numbers),
      ),
    );
  }

  /** What is wrong with the sums; empty if hours, days and months agree. */
  disagreements(): string[] {
    const wrong: string[] = [];
    for (const [account, { hours, days, months }] of this.accounts) {
      const [ofDays, ofMonths] = [new Map<string, Numbers[]>(), new Map<string, Numbers[]>()];
      const note = (sums: Map<string, Numbers[]>, name: string, numbers: Numbers) =>
        sums.set(name, [...(sums.get(name) ?? []), numbers]);
      for (const [hour, places] of hours) {
        for (const [place, processes] of places) {
          const sum = total([...processes.values()]);
          note(ofDays, `${dayOf(hour)} ${place}`, sum);
          note(ofMonths, `${monthOf(hour)} ${place}`, sum);
        }
      }
      for (const [kind, sums, kept] of [
        ["day", ofDays, days],
        ["month", ofMonths, months],
      ] as const) {
        const told = [...kept].flatMap(([first, places]) =>
          [...places].map(([place, sum]) => `${first} ${place} ${sum}`),
        );
        const meant = [...sums].map(([name, each]) => `${name} ${total(each)}`);
        if (told.sort().join() !== meant.sort().join()) wrong.push(`${account}, ${kind}: ${told} is not ${meant}`);
      }
    }
    return wrong;
  }

  #tell({ account, hour, cells }: ToldHour, nowMs: number): number {
    const usage = this.accounts.get(account) ?? { hours: new Map(), days: new Map(), months: new Map() };
    this.accounts.set(account, usage);
    const late = nowMs >= (dayOf(hour) + 24) * HOUR_MS + CLOSING_MS ? 1 : 0;
    let missing = 0;
    for (const cell of cells) {
      const place = placeOf(cell);
      const processes = at(
        at(usage.hours, hour, () => new Map()),
        place,
        () => new Map<string, Numbers>(),
      );
      const old = processes.get(cell.process);
      if (old === undefined && cell.isKnown) missing++;
      const before = old ?? [0, 0, 0, 0, 0];
      const kept = cell.served.map((told, index) => this.#kept(before[index] ?? 0, told));
      const more = kept.map((number, index) => number - (before[index] ?? 0));
      if (more.every((each) => each === 0)) {
        if (processes.size === 0) forget(usage, hour, place);
        continue;
      }
      const difference = [...more, late] as Numbers;
      processes.set(cell.process, total([before, difference]));
      const [days, months] = [
        at(usage.days, dayOf(hour), () => new Map()),
        at(usage.months, monthOf(hour), () => new Map()),
      ];
      if (this.#fault !== "forgetsDay") days.set(place, total([days.get(place) ?? [0, 0, 0, 0, 0], difference]));
      if (this.#fault !== "forgetsMonth" || hour % 24 !== 23) {
        months.set(place, total([months.get(place) ?? [0, 0, 0, 0, 0], difference]));
      }
    }
    return missing;
  }

  #kept(old: number, told: number): number {
    if (this.#fault === "adds") return old + told;
    return this.#fault === "keepsLast" ? told : Math.max(old, told);
  }
}

/** For how long the model keeps sums, which is for ever. */
export const FOR_EVER: UsageRetention = { hourDays: 400, dayDays: 4000, months: 1200 };

function forget({ hours }: AccountUsage, hour: number, place: string): void {
  const places = hours.get(hour);
  places?.delete(place);
  if (places?.size === 0) hours.delete(hour);
}

function at<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}

export function total(all: readonly (readonly number[])[]): Numbers {
  const sum: Numbers = [0, 0, 0, 0, 0];
  for (const numbers of all) for (const index of sum.keys()) sum[index] = (sum[index] ?? 0) + (numbers[index] ?? 0);
  return sum;
}

function sumsOf(sums: ReadonlyMap<number, ReadonlyMap<string, Numbers>>): StoredSum[] {
  return [...sums].flatMap(([hour, places]) =>
    [...places].map(([place, [calls, unitsMilli, denied, refundedMilli, revision]]) => {
      const [meter = "", plan = ""] = JSON.parse(place) as string[];
      return { hour, meter, plan, served: [calls, unitsMilli, denied, refundedMilli] as const, revision };
    }),
  );
}
