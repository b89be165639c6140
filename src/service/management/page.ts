/** A part of a list. */
export interface Page<T> {
  items: T[];
  /** What to ask for to get the part after this one; null if there is none. */
  next: string | null;
}

/** At most `size` items in the order of their names, which are all different, after the one named `after`. */
export function pageOf<T>(items: readonly T[], nameOf: (item: T) => string, size: number, after: string): Page<T> {
  const rest = items.filter((item) => nameOf(item) > after).sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const part = rest.slice(0, size);
  const last = part.at(-1);
  return { items: part, next: last !== undefined && rest.length > size ? nameOf(last) : null };
}
