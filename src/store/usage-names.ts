import {
  dayOf,
  monthOf,
  type Served,
  type StoredNames,
  type StoredSum,
  type ToldCell,
  type UsageRetention,
  type WantedSums,
} from "../engine/usage-store.js";

const HOUR_MS = 3_600_000;

/**
 * A text as it is written where the order of bytes has to be that of UTF-16 units: units of pairs, which UTF-8 would put behind all
 * others, and single ones, which it has not, stand behind U+E000, before which they come.
 */
export function encoded(text: string): string {
  if (!/[\ud800-\udfff\ue000]/.test(text)) return text;
  // Unit by unit, since pairs would be one character otherwise.
  return Array.from({ length: text.length }, (_, index) => {
    const unit = text.charCodeAt(index);
    if (unit === 0xe000) return "\ue000\ue000";
    return unit >= 0xd800 && unit <= 0xdfff ? `\ue000${String.fromCharCode(unit - 0xd700)}` : text[index];
  }).join("");
}

/** The text of what was encoded. */
export function decoded(text: string): string {
  return text.replaceAll(/\ue000(.)/gs, (_, after: string) =>
    after === "\ue000" ? after : String.fromCharCode(after.charCodeAt(0) + 0xd700),
  );
}

/** `20261130` or `202611`, of the day or the month that holds an hour. */
export function dayText(hour: number): string {
  return new Date(hour * HOUR_MS).toISOString().slice(0, 10).replaceAll("-", "");
}

export function monthText(hour: number): string {
  return dayText(hour).slice(0, 6);
}

/** The hour of such a text; undefined if it is none. */
export function hourOfText(text: string): number | undefined {
  const [, year, month, day = "01"] = /^(\d{4})(\d\d)(\d\d)?$/.exec(text) ?? [];
  const ms = Date.parse(`${year}-${month}-${day}T00:00Z`);
  return Number.isNaN(ms) ? undefined : ms / HOUR_MS;
}

/** What the names of all that an account has begin with: one slot of a Cluster. */
export function accountName(prefix: string, account: string): string {
  return `{${prefix}:usage:${encoded(account)}}`;
}

/** The name of the hash that holds the sums that are wanted. */
export function hashName(prefix: string, { account, of, hour }: WantedSums): string {
  const suffix = of === "months" ? of : of === "days" ? monthText(hour) : dayText(hour);
  return `${accountName(prefix, account)}:${suffix}`;
}

/** What the fields of a cell and those of its sums have in common at their end. The plan is last, since it may be any text. */
export function placeText({ meter, plan }: Pick<ToldCell, "meter" | "plan">): string {
  return ` ${meter} ${encoded(plan)}`;
}

/** The field of a cell in the hash of its day. */
export function cellField(hour: number, { meter, plan, process }: ToldCell): string {
  return `${String(hour % 24).padStart(2, "0")} ${process}${placeText({ meter, plan })}`;
}

/** The sums that a hash holds, those of processes added up; undefined if something in it is none. */
export function sumsIn(flat: readonly unknown[], { of, hour }: WantedSums): StoredSum[] | undefined {
  const sums = new Map<string, StoredSum>();
  for (let index = 0; index < flat.length; index += 2) {
    const field = String(flat[index]);
    const [, at = "", rest = ""] = (of === "hours" ? /^(\d\d) \S+ (.*)$/s : /^(\d+) (.*)$/s).exec(field) ?? [];
    const first = of === "months" ? hourOfText(at) : of === "days" ? hour + (Number(at) - 1) * 24 : hour + Number(at);
    const numbers = /^(\d+) (\d+) (\d+) (\d+) (\d+)$/
      .exec(String(flat[index + 1]))
      ?.slice(1)
      .map(Number);
    const space = rest.indexOf(" ");
    if (first === undefined || numbers === undefined || space < 0) return undefined;
    const [calls = 0, unitsMilli = 0, denied = 0, refundedMilli = 0, revision = 0] = numbers;
    const served: Served = [calls, unitsMilli, denied, refundedMilli];
    const name = `${first} ${rest}`;
    const before = sums.get(name);
    sums.set(name, {
      hour: first,
      meter: rest.slice(0, space),
      plan: decoded(rest.slice(space + 1)),
      served: before === undefined ? served : added(before.served, served),
      revision: revision + (before?.revision ?? 0),
    });
  }
  return [...sums.values()];
}

function added(a: Served, b: Served): Served {
  return [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]];
}

/** For how long sums are kept: what is coarser at least as long as what is finer. */
export function keptOf({ hourDays, dayDays, months }: UsageRetention): UsageRetention {
  const days = Math.max(dayDays, hourDays + 2);
  return { hourDays, dayDays: days, months: Math.max(months, Math.ceil(days / 28) + 1) };
}

/** When hashes of an hour go at the earliest, in ms since the epoch: its day's, its month's days', its months'. */
export function endsOf(hour: number, retention: UsageRetention): [hours: number, days: number, months: number] {
  const { hourDays, dayDays, months } = keptOf(retention);
  // An hour later than nobody writes to it any more, since clocks may differ.
  const dayEnd = dayOf(hour) + (1 + hourDays) * 24 + 1;
  return [dayEnd * HOUR_MS, (monthOf(hour, 1) + dayDays * 24) * HOUR_MS, monthOf(hour, 1 + months) * HOUR_MS];
}

/** Names as they are kept, told apart. */
export function namesIn(names: readonly string[]): StoredNames {
  const of = (kind: string) =>
    names.flatMap((name) => (name.startsWith(`${kind} `) ? [name.slice(kind.length + 1)] : []));
  const months = of("month").flatMap((text) => hourOfText(text) ?? []);
  return { meters: of("meter"), plans: of("plan").map(decoded), months };
}
