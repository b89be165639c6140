/**
 * One call of any framework: who calls, what it costs, what the answer says. What adapters are made of.
 *
 * @module tollkeeper/http
 */

export type { Cost } from "../engine/cost.js";
export { addressOf, type HeaderFields } from "./address.js";
export { type Answer, type Denial, type Fault, faultOf, type Pass } from "./answer.js";
export { Call, decisionsOf, tightestOf } from "./call.js";
export { exceededOf } from "./costs.js";
export type { OnFault } from "./fault.js";
export { type FieldOptions, type Fields, fieldsOf, LIMIT_FIELDS } from "./headers.js";
export {
  AddressIdentity,
  type AddressIdentityOptions,
  type Caller,
  type Identified,
  type Identify,
  type Identity,
  NO_ACCOUNT,
  type PayingSubject,
  type Refusal,
} from "./identity.js";
export { type FinalAnswer, Layer, type LayerOptions, type RefundOn } from "./layer.js";
export type { Limits } from "./limits.js";
export { isThenable, type MaybePromise } from "./maybe-promise.js";
export { holdEverything, type Ip, type Network, parseNetwork } from "./network.js";
export type { AdapterOptions } from "./options.js";
export { hasBody, isPreflight, type PreflightCall } from "./preflight.js";
export { costExceedsCapacity, type Problem, type ProblemOptions, problem, problemOf } from "./problem.js";
export { checkedToll, type FixedToll, type RouteToll, type Toll } from "./toll.js";
export {
  type CallUsage,
  type CountedCall,
  type CountingLayer,
  countUsage,
  type LimitMeter,
  type Meter,
  type UsageLedger,
} from "./usage.js";
