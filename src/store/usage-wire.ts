import { dayOf, monthOf, type OtherProcess, type ToldHour, type UsageRetention } from "../engine/usage-store.js";
import { cellField, dayText, endsOf, hashName, keptOf, monthText, placeText } from "./usage-names.js";

const HOUR_MS = 3_600_000;
/** How long after its end, in ms, a day is closed. */
const CLOSING_MS = 10 * 60_000;

/** The keys and arguments of the script that tells of cells. */
export function tellLine(
  hours: readonly ToldHour[],
  nowMs: number,
  prefix: string,
  retention: UsageRetention,
): (string | number)[] {
  const line: (string | number)[] = [];
  for (const { account, hour } of hours) {
    for (const of of ["hours", "days", "months"] as const) line.push(hashName(prefix, { account, of, hour }));
  }
  const first = monthText(monthOf(Math.floor(nowMs / HOUR_MS), -keptOf(retention).months));
  for (const { hour, cells } of hours) {
    const isClosed = nowMs >= (dayOf(hour) + 24) * HOUR_MS + CLOSING_MS;
    const lives = endsOf(hour, retention).map((endMs) => Math.max(1, Math.floor(endMs - nowMs)));
    line.push(...lives, first, isClosed ? 1 : 0, dayText(hour).slice(6), monthText(hour), cells.length);
    for (const cell of cells)
      line.push(cellField(hour, cell), placeText(cell), cell.served.join(" "), cell.isKnown ? 1 : 0);
  }
  return line;
}

/** What processes have reported: `<written, in ms> <past which hour> <calls> <thousandths>`; what is none is passed over. */
export function reportOf(reply: unknown): OtherProcess[] {
  const flat = Array.isArray(reply) ? reply.map(String) : [];
  const found: OtherProcess[] = [];
  for (let index = 0; index < flat.length; index += 2) {
    const told = /^(\d+) (\d+) (\d+) (\d+)$/
      .exec(flat[index + 1] ?? "")
      ?.slice(1)
      .map(Number);
    if (told === undefined) continue;
    const [writtenMs = 0, pastHour = 0, unwrittenCalls = 0, unwrittenMilli = 0] = told;
    found.push({ process: flat[index] ?? "", writtenMs, pastHour, unwrittenCalls, unwrittenMilli });
  }
  return found;
}
