/** An exact number from 0: a whole one over a whole one, in lowest terms. */
export class Fraction {
  static readonly ZERO = new Fraction(0n, 1n);
  readonly numerator: bigint;
  readonly denominator: bigint;

  private constructor(numerator: bigint, denominator: bigint) {
    this.numerator = numerator;
    this.denominator = denominator;
  }

  /** @param numerator From 0. @param denominator Above 0. */
  static of(numerator: bigint, denominator = 1n): Fraction {
    const divisor = greatestCommonDivisor(numerator, denominator);
    return new Fraction(numerator / divisor, denominator / divisor);
  }

  plus(other: Fraction): Fraction {
    const { numerator, denominator } = other;
    return Fraction.of(this.numerator * denominator + numerator * this.denominator, this.denominator * denominator);
  }

  /** What is left without another; 0 if that is more. */
  without(other: Fraction): Fraction {
    if (other.isAbove(this)) return Fraction.ZERO;
    const { numerator, denominator } = other;
    return Fraction.of(this.numerator * denominator - numerator * this.denominator, this.denominator * denominator);
  }

  times(other: Fraction): Fraction {
    return Fraction.of(this.numerator * other.numerator, this.denominator * other.denominator);
  }

  isAbove(other: Fraction): boolean {
    return this.numerator * other.denominator > other.numerator * this.denominator;
  }

  /** The whole number that it is rounded up to. */
  get ceiling(): bigint {
    return (this.numerator + this.denominator - 1n) / this.denominator;
  }

  /** The whole number nearest to it; of two that are equally near, the even one. */
  get nearest(): bigint {
    const below = this.numerator / this.denominator;
    const twice = 2n * (this.numerator - below * this.denominator);
    const isUp = twice > this.denominator || (twice === this.denominator && below % 2n === 1n);
    return isUp ? below + 1n : below;
  }

  /** A decimal such as `0.0125` where it ends, and otherwise a fraction in lowest terms such as `10/3`. */
  toString(): string {
    const { numerator, denominator } = this;
    const decimals = decimalsOf(denominator);
    if (decimals === undefined) return `${numerator}/${denominator}`;
    return decimalText((numerator * 10n ** BigInt(decimals)) / denominator, decimals);
  }
}

/** A whole number of the last of so many decimals, as a decimal with all of them. */
export function decimalText(value: bigint, decimals: number): string {
  const digits = String(value).padStart(decimals + 1, "0");
  return decimals === 0 ? digits : `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}

/** The decimals that a part of such a denominator has; undefined if they never end. */
function decimalsOf(denominator: bigint): number | undefined {
  let rest = denominator;
  const dividedBy = (factor: bigint) => {
    let times = 0;
    for (; rest % factor === 0n; times++) rest /= factor;
    return times;
  };
  const decimals = Math.max(dividedBy(2n), dividedBy(5n));
  return rest === 1n ? decimals : undefined;
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : greatestCommonDivisor(b, a % b);
}
