import { type Problem, problem } from "tollkeeper/http";

/**
 * Every code of the service's own problem documents, with its status. Beside them there are the library's of calls that
 * are denied, and those of the fingerprints, `ERR_…`, with 400. `docs/http.md` explains each; a test holds the two together.
 */
export const PROBLEM_CODES = {
  json_malformed: 400,
  body_invalid: 400,
  parameter_invalid: 400,
  request_invalid: 400,
  length_contradicts: 400,
  body_in_pieces: 400,
  consumer_invalid: 400,
  address_malformed: 400,
  authentication_required: 401,
  api_key_invalid: 401,
  api_key_expired: 401,
  credentials_contradict: 401,
  scope_missing: 403,
  account_suspended: 403,
  account_archived: 403,
  consumer_unknown: 403,
  consumer_tier_unknown: 403,
  gateway_required: 403,
  not_found: 404,
  account_unknown: 404,
  subject_unknown: 404,
  key_unknown: 404,
  webhook_unknown: 404,
  delivery_unknown: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  key_limit_reached: 409,
  key_in_use: 409,
  tier_contradicts: 409,
  account_exists: 409,
  account_in_use: 409,
  account_state_contradicts: 409,
  external_id_taken: 409,
  webhook_limit_reached: 409,
  delivery_not_dead: 409,
  body_too_large: 413,
  media_type_unsupported: 415,
  content_coding_unsupported: 415,
  tier_unknown: 422,
  account_invalid: 422,
  expiry_invalid: 422,
  overrides_invalid: 422,
  cost_invalid: 422,
  grant_invalid: 422,
  subject_is_address: 422,
  webhook_invalid: 422,
  report_invalid: 422,
  header_too_large: 431,
  internal_error: 500,
  keys_unavailable: 503,
  store_unavailable: 503,
  records_lost: 503,
  table_full: 503,
  draining: 503,
  ERR_NATIVE_MISSING: 503,
} as const;

/** A code of the service's own problems. */
export type ProblemCode = keyof typeof PROBLEM_CODES;

/** What goes wrong with a call of the service. `detail` is for people. */
export function serviceProblem(code: ProblemCode, detail: string, members?: Record<string, unknown>): Problem {
  return problem(PROBLEM_CODES[code], code, detail, members);
}
