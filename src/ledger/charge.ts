import { Fraction } from "./fraction.js";

/** What so many units cost, exactly: the arithmetic of a price. */
export type Charge = (units: Fraction) => Fraction;

/** A tier of a price, checked. */
export interface ChargeTier {
  /** Its last unit; undefined if it has none. */
  readonly upTo: Fraction | undefined;
  readonly unitAmount: Fraction;
  readonly flatAmount: Fraction;
}

/** Each unit costs the same. */
export function perUnit(unitAmount: Fraction): Charge {
  return (units) => units.times(unitAmount);
}

/** Each unit costs what its tier says, and each tier that is reached its flat amount. */
export function graduated(tiers: readonly ChargeTier[]): Charge {
  return (units) => {
    let amount = Fraction.ZERO;
    let from = Fraction.ZERO;
    for (const { upTo, unitAmount, flatAmount } of tiers) {
      if (!units.isAbove(from)) break;
      const to = upTo !== undefined && units.isAbove(upTo) ? upTo : units;
      amount = amount.plus(flatAmount).plus(to.without(from).times(unitAmount));
      from = to;
    }
    return amount;
  };
}

/** All units cost what the tier says that the last of them lies in. */
export function volume(tiers: readonly ChargeTier[]): Charge {
  return (units) => {
    const tier = tiers.find(({ upTo }) => upTo === undefined || !units.isAbove(upTo));
    if (tier === undefined || !units.isAbove(Fraction.ZERO)) return Fraction.ZERO;
    return tier.flatAmount.plus(units.times(tier.unitAmount));
  };
}

/** Each package that is begun costs the same. */
export function packaged(packageSize: Fraction, packageAmount: Fraction): Charge {
  const perUnit = Fraction.of(packageSize.denominator, packageSize.numerator);
  return (units) => Fraction.of(units.times(perUnit).ceiling).times(packageAmount);
}
