/** What is there at once, or later. */
export type MaybePromise<T> = T | PromiseLike<T>;

/** Whether it comes later. Promises of other realms and libraries count too. */
export function isThenable<T>(value: MaybePromise<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null)?.then === "function";
}

/** Goes on with a value: at once where it is there. A module that exported a `then` would be taken for a promise. */
export function andThen<T, U>(value: MaybePromise<T>, next: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return isThenable(value) ? Promise.resolve(value).then(next) : next(value);
}

/** All of some values: at once where all are there. */
export function allOf<T>(values: readonly MaybePromise<T>[]): MaybePromise<T[]> {
  return values.some(isThenable) ? Promise.all(values) : (values as T[]);
}

/** Where no promise may be given, the error says so; that it is rejected as well need not end the process. */
export function mute(value: unknown): void {
  if (isThenable(value)) value.then(undefined, () => undefined);
}
