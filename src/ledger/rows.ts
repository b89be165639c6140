import type { Cell } from "./cells.js";
import { type Division, type Hours, hoursOf } from "./hours.js";

/** What the rows of a report tell apart, beside the period. */
export type Group = "account" | "meter" | "plan";

/** How cells become rows. */
export interface Shape extends Hours {
  readonly by: Division;
  readonly anchorDay: number;
  readonly group: ReadonlySet<Group>;
}

/** Where a row stands; texts are empty where the report does not tell them apart. */
export interface Place {
  readonly account: string;
  /** The first hour that it is of. */
  readonly from: number;
  readonly meter: string;
  readonly plan: string;
}

/** One row, in whole numbers. */
export interface Row extends Place {
  /** The first hour that it is not of any more. */
  to: number;
  calls: number;
  unitsMilli: number;
  denied: number;
  refundedMilli: number;
  revision: number;
}

/** Adds up cells to the rows of a report. */
export class Rows {
  readonly #shape: Shape;
  readonly #rows = new Map<string, Row>();
  /** The period of the last cell: those of a period come together as a rule. */
  #period: Hours = { from: 0, to: 0 };

  constructor(shape: Shape) {
    this.#shape = shape;
  }

  get size(): number {
    return this.#rows.size;
  }

  add(cell: Cell): void {
    const row = this.#rowOf(cell);
    row.calls += cell.calls;
    row.unitsMilli += cell.unitsMilli;
    row.denied += cell.denied;
    row.refundedMilli += cell.refundedMilli;
    row.revision += cell.revision;
  }

  /** In the order of accounts, of these by time, and of that by meter and plan. */
  read(): Row[] {
    return [...this.#rows.values()].sort(comparePlaces);
  }

  #rowOf({ account, meter, plan, hour, hours }: Cell): Row {
    const { group, from: first, to: last, by, anchorDay } = this.#shape;
    if (hour < this.#period.from || hour >= this.#period.to) this.#period = hoursOf(hour, by, anchorDay);
    const from = Math.max(first, this.#period.from);
    const place: Place = {
      account: group.has("account") ? account : "",
      from,
      meter: group.has("meter") ? meter : "",
      plan: group.has("plan") ? plan : "",
    };
    // What comes last may have any character in it.
    const name = `${from} ${place.meter} ${place.plan.length} ${place.plan}${place.account}`;
    let row = this.#rows.get(name);
    if (row === undefined) {
      const to = Math.min(last, this.#period.to);
      row = { ...place, to, calls: 0, unitsMilli: 0, denied: 0, refundedMilli: 0, revision: 0 };
      this.#rows.set(name, row);
    }
    // Old hours are merged: the row is then of as many as the cell is.
    if (hour + hours > this.#period.to) row.to = Math.max(row.to, hour + hours);
    return row;
  }
}

/** The order of rows. */
export function comparePlaces(a: Place, b: Place): number {
  if (a.account !== b.account) return a.account < b.account ? -1 : 1;
  if (a.from !== b.from) return a.from - b.from;
  if (a.meter !== b.meter) return a.meter < b.meter ? -1 : 1;
  return a.plan === b.plan ? 0 : a.plan < b.plan ? -1 : 1;
}
