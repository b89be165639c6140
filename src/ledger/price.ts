/** Each unit costs the same. */
export interface PerUnitPrice {
  /** A price for each unit. */
  readonly model: "per_unit";
  /** What a unit costs: a decimal from 0, below 10^15, at most 12 decimals. */
  readonly unitAmount: string;
}

/** Units beyond those of the tier before it. */
export interface PriceTier {
  /** The last unit of the tier, with it: above that of the tier before, at most three decimals. The last tier leaves it out. */
  readonly upTo?: number | undefined;
  /** What a unit costs: a decimal as in {@link PerUnitPrice}; 0 by default. */
  readonly unitAmount?: string | undefined;
  /** What the tier costs as soon as it is reached: a decimal as above; 0 by default. */
  readonly flatAmount?: string | undefined;
}

/**
 * `graduated`: each unit costs what the tier says that it lies in, and each tier that is reached its flat amount. `volume`: all
 * units cost what the tier says that the last of them lies in, and its flat amount. What is not used costs nothing, whatever
 * the first tier's flat amount.
 */
export interface TieredPrice {
  /** Whether each unit goes by its own tier, or all by the last one's. */
  readonly model: "graduated" | "volume";
  /** In rising order, 1 to 100; each with a unit amount, a flat amount or both. */
  readonly tiers: readonly PriceTier[];
}

/** Units are sold in packages, and one that is begun is paid. */
export interface PackagePrice {
  /** A price for each package. */
  readonly model: "package";
  /** Units of a package: above 0, at most three decimals. */
  readonly packageSize: number;
  /** What a package costs: a decimal as in {@link PerUnitPrice}. */
  readonly packageAmount: string;
}

/** What units cost. */
export type Price = PerUnitPrice | TieredPrice | PackagePrice;

/** What the units of a meter cost under a plan. */
export type MeterPrice = Price & {
  /**
   * Units of a month that cost nothing, before the others are priced; from 0, at most three decimals, 0 by default. Of a plan
   * that was held for a part of the month, as large a part.
   */
  readonly included?: number | undefined;
  /** What units beyond the quota's limit cost, apart from the others; left out, they are priced with the others. */
  readonly overage?: Price | undefined;
};

/** The prices of one plan. */
export interface PlanPrices {
  /** The code of its currency by ISO 4217, such as `EUR`. */
  readonly currency: string;
  /** What the plan costs a month whatever is used: a decimal as in {@link PerUnitPrice}; nothing by default. */
  readonly monthlyFee?: string | undefined;
  /** Prices by name of the meter; what has none is free, and a rating says so. */
  readonly meters?: Readonly<Record<string, MeterPrice>> | undefined;
}

/** The prices of plans by their name, which is that of the tier. */
export type Prices = Readonly<Record<string, PlanPrices>>;
