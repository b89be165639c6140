/** A calendar period in UTC: from `startMs`, up to and without `endMs`, in ms since the epoch. */
export interface Period {
  startMs: number;
  endMs: number;
}

const DAY_MS = 86_400_000;

/** The UTC day that holds `nowMs`. */
export function dayOf(nowMs: number): Period {
  const startMs = nowMs - (nowMs % DAY_MS);
  return { startMs, endMs: startMs + DAY_MS };
}

/**
 * The month that holds `nowMs`, where months begin on `anchorDay` (1 to 31), clamped to the month's last day. For one
 * that began before 1970, 0 stands for its start.
 */
export function monthOf(nowMs: number, anchorDay: number): Period {
  const now = new Date(nowMs);
  const year = now.getUTCFullYear();
  const month = now.getUTCMonth();
  const thisMonth = monthStart(year, month, anchorDay);
  return thisMonth > nowMs
    ? { startMs: Math.max(0, monthStart(year, month - 1, anchorDay)), endMs: thisMonth }
    : { startMs: thisMonth, endMs: monthStart(year, month + 1, anchorDay) };
}

function monthStart(year: number, month: number, anchorDay: number): number {
  // Day 0 of the next month is the last day of this one; Date.UTC carries months below 0 and above 11.
  const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  return Date.UTC(year, month, Math.min(anchorDay, lastDay));
}
