/** A number without rounding: a quotient of two integers of any size, in lowest terms. */
export class Fraction {
  static readonly ZERO = new Fraction(0n, 1n);
  readonly #numerator: bigint;
  /** Above 0. */
  readonly #denominator: bigint;

  private constructor(numerator: bigint, denominator: bigint) {
    const divisor = greatestDivisor(numerator < 0n ? -numerator : numerator, denominator);
    this.#numerator = numerator / divisor;
    this.#denominator = denominator / divisor;
  }

  /** A number of at most three decimals, exactly. */
  static of(value: number): Fraction {
    const milli = Math.round(value * 1000);
    if (!Number.isSafeInteger(milli) || milli / 1000 !== value) throw new RangeError(`${value} has finer decimals`);
    return new Fraction(BigInt(milli), 1000n);
  }

  plus(other: Fraction): Fraction {
    return new Fraction(
      this.#numerator * other.#denominator + other.#numerator * this.#denominator,
      this.#denominator * other.#denominator,
    );
  }

  minus(other: Fraction): Fraction {
    return this.plus(other.negated());
  }

  negated(): Fraction {
    return new Fraction(-this.#numerator, this.#denominator);
  }

  times(other: Fraction): Fraction {
    return new Fraction(this.#numerator * other.#numerator, this.#denominator * other.#denominator);
  }

  /** @throws {RangeError} if `other` is 0. */
  over(other: Fraction): Fraction {
    const { isNegative } = other;
    const numerator = this.#numerator * other.#denominator;
    const denominator = this.#denominator * other.#numerator;
    if (denominator === 0n) throw new RangeError("divided by 0");
    return new Fraction(isNegative ? -numerator : numerator, isNegative ? -denominator : denominator);
  }

  get isZero(): boolean {
    return this.#numerator === 0n;
  }

  get isNegative(): boolean {
    return this.#numerator < 0n;
  }

  isAbove(other: Fraction): boolean {
    return other.minus(this).isNegative;
  }

  /** The whole number below. */
  floor(): number {
    const quotient = this.#numerator / this.#denominator;
    return Number(this.isNegative && this.#numerator % this.#denominator !== 0n ? quotient - 1n : quotient);
  }

  /** The whole number above. */
  ceil(): number {
    return 0 - this.negated().floor();
  }
}

/** The larger of two. */
export function larger(one: Fraction, other: Fraction): Fraction {
  return one.isAbove(other) ? one : other;
}

/** The smaller of two. */
export function smaller(one: Fraction, other: Fraction): Fraction {
  return one.isAbove(other) ? other : one;
}

function greatestDivisor(one: bigint, other: bigint): bigint {
  let [a, b] = [one, other];
  while (b > 0n) [a, b] = [b, a % b];
  return a;
}
