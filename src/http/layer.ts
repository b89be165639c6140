import { optionInvalid } from "../errors.js";
import type { FieldOptions } from "./headers.js";
import type { Identify } from "./identity.js";
import type { Limits } from "./limits.js";
import { checkMeter, checkMeterOf, type Meter, type UsageLedger } from "./usage.js";

/** The answer to a call, when its status is final. */
export interface FinalAnswer {
  /** As it was sent. */
  status: number;
  /** Whether the call was good enough to be handled; false where it was rejected before. */
  isHandled: boolean;
}

/**
 * What of its cost an answered call gets back.
 *
 * - `"failure"`: quotas get back what was spent by calls that failed through the server's fault (5xx), or were rejected
 *   before they were handled (4xx).
 * - `"success"`: what an answer below 400 has spent is given back whole, so that only failures count.
 * - A function says so of each answer: `"all"`, `"quotas"` (the call did take its place in the rate), or false.
 */
export type RefundOn<Request> =
  | "failure"
  | "success"
  | ((answer: FinalAnswer, request: Request) => "all" | "quotas" | false);

/** Limits that calls pass, as every adapter takes them. */
export interface LayerOptions<Request> {
  /** What `createLimiter` returned. */
  limiter: Limits;
  /** Says who calls. */
  identify: Identify<Request>;
  /** Which fields say how a caller stands; `false` for none. */
  fields?: FieldOptions | false | undefined;
  /** Shadow mode: decides and counts, and denies nobody; false by default. A function is asked at each denial. */
  shadow?: boolean | (() => boolean) | undefined;
  /** What of its cost an answered call gets back; `"failure"` by default. Nothing, where the caller has gone away. */
  refundOn?: RefundOn<Request> | undefined;
  /** Counts what was served: what `openLedger` of `tollkeeper/ledger` returned. */
  ledger?: UsageLedger | undefined;
  /** Under which meter calls are counted whose route names none; without it, those are not counted. */
  meter?: Meter | undefined;
}

/** Names of the options that a {@link Layer} checks. */
export const LAYER_OPTIONS = ["limiter", "identify", "fields", "shadow", "refundOn", "ledger", "meter"] as const;

const FIELDS = ["draft", "x", "tier"];

/** Limits that calls pass, ready to be asked. An app may have several. */
export class Layer<Request> {
  /** Who is asked. */
  readonly limiter: Limits;
  /** Says who calls. */
  readonly identify: Identify<Request>;
  /** Which fields say how a caller stands. */
  readonly fields: FieldOptions;
  /** What of its cost an answered call gets back. */
  readonly refundOn: RefundOn<Request>;
  /** Whether nobody is denied just now. */
  readonly isShadow: () => boolean;
  /** Counts what was served. */
  readonly ledger: UsageLedger | undefined;
  /** Under which meter, where a route names none. */
  readonly meter: Meter | undefined;

  /** @throws {TollkeeperError} `ERR_OPTION_INVALID` */
  constructor(options: LayerOptions<Request>) {
    const { limiter, identify, fields = {}, shadow = false, refundOn = "failure", ledger, meter } = options;
    if (typeof limiter?.consume !== "function") throw optionInvalid("limiter", limiter, "what createLimiter returned");
    if (typeof identify !== "function") throw optionInvalid("identify", identify, "a function");
    if (typeof shadow !== "boolean" && typeof shadow !== "function") {
      throw optionInvalid("shadow", shadow, "true, false or a function that returns one of them");
    }
    if (refundOn !== "failure" && refundOn !== "success" && typeof refundOn !== "function") {
      throw optionInvalid("refundOn", refundOn, '"failure", "success" or a function of the answer');
    }
    if (ledger !== undefined && (typeof ledger?.record !== "function" || !Array.isArray(ledger.meters))) {
      throw optionInvalid("ledger", ledger, "what openLedger returned");
    }
    checkMeter("meter", meter);
    if (meter !== undefined && ledger === undefined) throw optionInvalid("meter", meter, "left out without a ledger");
    this.limiter = limiter;
    this.ledger = ledger;
    this.meter = meter;
    this.checkMeter("meter", meter);
    this.identify = identify;
    this.fields = fields === false ? { draft: false } : checkedFields(fields);
    this.refundOn = refundOn;
    // A promise is no yes: a function that is async by mistake would let everybody in.
    this.isShadow = typeof shadow === "function" ? () => shadow() === true : () => shadow;
  }

  /**
   * Checks that the ledger, if there is one, has a meter that a route names.
   *
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`
   */
  checkMeter(path: string, meter: Meter | undefined): void {
    if (this.ledger !== undefined) checkMeterOf(path, meter, this.ledger, this.limiter);
  }
}

function checkedFields(fields: unknown): FieldOptions {
  if (typeof fields !== "object" || fields === null) {
    throw optionInvalid("fields", fields, "{ draft, x, tier } or false");
  }
  const unknown = Object.keys(fields).find((field) => !FIELDS.includes(field));
  if (unknown !== undefined) throw optionInvalid(`fields.${unknown}`, "unknown", `one of ${FIELDS.join(", ")}`);
  const { draft, x, tier } = fields as Record<string, unknown>;
  for (const [name, value] of Object.entries({ draft, tier })) {
    if (value !== undefined && typeof value !== "boolean")
      throw optionInvalid(`fields.${name}`, value, "true or false");
  }
  if (x !== undefined && x !== "epoch" && x !== "delta") {
    throw optionInvalid("fields.x", x, '"epoch", "delta" or left out for none');
  }
  return { ...(fields as FieldOptions) };
}
