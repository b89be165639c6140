/** What the rows of the build of `Options.beside` are called. */
export const BESIDE = "leased, beside";

/** Names, in the environment of a child process, the root of the build that it is to measure. */
export const BUILD_VARIABLE = "TOLLKEEPER_BENCH_BUILD";
