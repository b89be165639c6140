/** Of the names that there are, the one that a misspelt one was meant to be. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  for (const candidate of known) {
    // One letter less or more is a distance of one, so that nothing is compared with a text without an end.
    if (Math.abs(candidate.length - name.length) <= 2 && distance(candidate, name) <= 2) return candidate;
  }
  return undefined;
}

/** Letters to insert, delete or replace to turn one text into the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
