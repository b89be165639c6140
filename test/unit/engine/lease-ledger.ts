import { APPLIED } from "../../../src/engine/lease-frame.js";
import { type Answer, type Instant, LeaseCaller, type NumberedTier, type Told } from "./lease-caller.js";

/** Thousandths that came to a key or went at an instant, and for grants their end. */
interface Moved {
  readonly key: string;
  readonly milli: number;
  readonly mono: number;
  readonly expires: number;
}

/** Calls an engine of leases and keeps book, apart from it, of every thousandth that it was granted. */
export class LeaseLedger extends LeaseCaller {
  readonly granted: Moved[] = [];
  readonly spent: Moved[] = [];
  #returned = 0;
  #forgotten = 0;

  /** Thousandths held now, as the engine tells. */
  get held(): number {
    return this.engine.stats().held;
  }

  override consume(key: string, tier: NumberedTier, cost: number, at: Instant): Told {
    const told = super.consume(key, tier, cost, at);
    if (told.denied === 0 && tier.limits > 0) this.spent.push({ key, milli: cost, mono: at.mono, expires: 0 });
    return told;
  }

  override apply(answers: readonly Answer[], at: Instant): number[] {
    const codes = super.apply(answers, at);
    for (const [row, { key, granted, held, lasts }] of answers.entries()) {
      if (codes[row] !== APPLIED.KEPT || granted < 0) continue;
      this.granted.push({ key, milli: held, mono: at.mono, expires: at.mono + lasts });
    }
    return codes;
  }

  override returns(): Record<string, number> {
    const returns = super.returns();
    for (const milli of Object.values(returns)) this.#returned += milli;
    return returns;
  }

  override forget(key: string): void {
    const { held } = this;
    super.forget(key);
    this.#forgotten += held - this.held;
  }

  /** Thousandths that were granted and are nowhere, or are there twice if below 0. */
  get missing(): number {
    this.returns();
    return sum(this.granted) - sum(this.spent) - this.#returned - this.#forgotten - this.held;
  }

  /** Keys of which more was spent from some instant on than was granted to last until then, or more before than was there. */
  get overspent(): string[] {
    return [...new Set(this.spent.map(({ key }) => key))].filter((name) => {
      const [granted, spent] = [this.granted, this.spent].map((all) => all.filter(({ key }) => key === name));
      return (spent ?? []).some(
        ({ mono: t }) =>
          sum(spent, ({ mono }) => mono >= t) > sum(granted, ({ expires }) => expires > t) ||
          sum(spent, ({ mono }) => mono <= t) > sum(granted, ({ mono }) => mono <= t),
      );
    });
  }
}

function sum(moved: readonly Moved[] = [], counts: (moved: Moved) => boolean = () => true): number {
  return moved.reduce((total, each) => total + (counts(each) ? each.milli : 0), 0);
}
