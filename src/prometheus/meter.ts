import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { TollkeeperError } from "../errors.js";

/** What a limiter tells of itself. */
interface Counting<Stats> {
  stats(): Stats;
}

/** How the gauges of several processes become one, by `AggregatorRegistry` of prom-client. */
export type Aggregator = "sum" | "max";

/** Makes the metrics of one limiter, which are read when they are scraped. */
export class Meter<Stats> {
  readonly #registers: Registry[];
  readonly #prefix: string;
  readonly #read: () => Stats | undefined;

  /** `prefix` comes before every name. */
  constructor(registry: Registry, limiter: Counting<Stats>, prefix: string) {
    this.#registers = [registry];
    this.#prefix = prefix;
    this.#read = oncePerScrape(limiter);
  }

  /** A counter; `count` adds up all of its values. They stay as they are once the limiter is closed. */
  counter<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    count: (stats: Stats, add: (labels: Record<Label, string>, value: number) => void) => void,
  ): void {
    const read = this.#read;
    new Counter({
      name: this.#prefix + name,
      help,
      labelNames,
      registers: this.#registers,
      collect() {
        const stats = read();
        if (stats === undefined) return;
        this.reset();
        count(stats, (labels, value) => this.inc(labels, value));
      },
    });
  }

  /** A gauge, which has no value any more once the limiter is closed. */
  gauge(name: string, help: string, aggregator: Aggregator, value: (stats: Stats) => number): void {
    const read = this.#read;
    new Gauge({
      name: this.#prefix + name,
      help,
      aggregator,
      registers: this.#registers,
      collect() {
        const stats = read();
        if (stats === undefined) this.remove();
        else this.set(value(stats));
      },
    });
  }

  /** A histogram of seconds; returns what takes them. */
  seconds(name: string, help: string, buckets: number[]): (seconds: number) => void {
    const histogram = new Histogram({ name: this.#prefix + name, help, buckets, registers: this.#registers });
    return (seconds) => histogram.observe(seconds);
  }
}

/**
 * All collectors of a scrape run in one turn, and see one reading: undefined once the limiter is closed, since one that
 * failed would take the metrics of everybody else with it.
 */
function oncePerScrape<Stats>(limiter: Counting<Stats>): () => Stats | undefined {
  let reading: { stats: Stats | undefined } | undefined;
  return () => {
    if (reading === undefined) {
      reading = { stats: unlessClosed(limiter) };
      queueMicrotask(() => {
        reading = undefined;
      });
    }
    return reading.stats;
  };
}

/** What a limiter and a ledger throw once they are closed. */
const CLOSED: readonly string[] = ["ERR_LIMITER_CLOSED", "ERR_LEDGER_CLOSED"];

function unlessClosed<Stats>(limiter: Counting<Stats>): Stats | undefined {
  try {
    return limiter.stats();
  } catch (error) {
    if (error instanceof TollkeeperError && CLOSED.includes(error.code)) return undefined;
    throw error;
  }
}
