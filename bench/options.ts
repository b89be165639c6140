/** How much is measured. */
export interface Options {
  /** A few seconds that show whether it runs; the figures mean little, and no file of `docs/` is touched. */
  quick: boolean;
  /** 10 M keys as well. */
  large: boolean;
  /** The root of another build of tollkeeper, built as this one, whose leased rows are to stand beside this one's. */
  beside?: string | undefined;
}
