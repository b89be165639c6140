import { z } from "zod";

/** Bytes of a request's body, and items of a batch. */
export const BODY_LIMIT = { identify: 16 * 1024, compare: 32 * 1024, batch: 512 * 1024 } as const;
const MAX_BATCH_ITEMS = 100;

/** A list whose items are described, and not looked at. */
function listOf(max: number, item: z.ZodType) {
  const items = z.toJSONSchema(item, { io: "input" });
  delete items.$schema;
  return z.array(z.unknown()).max(max).meta({ items });
}

/** A list whose items are looked at only if there are not too many. */
function list<T extends z.ZodType>(max: number, item: T) {
  return listOf(max, item).pipe(z.array(item));
}

/** Numbers as they stand in a ClientHello. Their meaning is checked where it is used, in Rust. */
const numbers = list(256, z.int().min(0).max(0xffff));

const tls = z.strictObject({
  /** Base64. */
  client_hello: z.string().nullish(),
  ja3: z.string().nullish(),
  ja4: z.string().nullish(),
  ja4_r: z.string().nullish(),
  version: z.int().min(0).max(0xffff).nullish(),
  ciphers: numbers.nullish(),
  extensions: numbers.nullish(),
  groups: numbers.nullish(),
  point_formats: numbers.nullish(),
  signature_algorithms: numbers.nullish(),
  supported_versions: numbers.nullish(),
  alpn: list(128, z.string()).nullish(),
});

const http2 = z.strictObject({ akamai: z.string().nullish() });

const http = z.strictObject({ headers: list(128, z.tuple([z.string(), z.string()])).nullish() });

/** What is known of a client; at least one signal. What is null is not known, as in the answers. */
const fingerprint = z
  .strictObject({ tls: tls.nullish(), http2: http2.nullish(), http: http.nullish() })
  .meta({ examples: [{ tls: { ja4: "t13d1517h2_8daaf6152771_cb7bf5808d99" } }] });

export const identifyBody = z.strictObject({ fingerprint });

export const compareBody = z.strictObject({ a: fingerprint, b: fingerprint });

const batchItem = z.strictObject({
  id: z.string().max(256).nullish().meta({ description: "At most 256 bytes; comes back with the result." }),
  fingerprint,
});

export const batchBody = z.strictObject({
  // Items are checked one by one where they are computed: each becomes a result, or a problem of its own.
  items: listOf(MAX_BATCH_ITEMS, batchItem).min(1),
});

export type IdentifyBody = z.infer<typeof identifyBody>;
export type CompareBody = z.infer<typeof compareBody>;
export type BatchBody = z.infer<typeof batchBody>;

const confidence = z.number().min(0).max(1);
const candidate = z.looseObject({
  client: z.string(),
  versions: z.array(z.string()),
  confidence,
  evidence: z.array(z.string()),
});
const computed = z.string().nullable();
const identification = z.looseObject({
  fingerprint_id: z.string(),
  computed: z
    .looseObject({
      ja3: computed,
      ja3n: computed,
      ja4: computed,
      ja4_r: computed,
      akamai_h2: computed,
      header_order: computed,
    })
    .meta({ description: "What the signals come to; null where they don't suffice." }),
  candidates: z.array(candidate),
  ambiguous: z.boolean(),
  consistency: z.object({ score: confidence, flags: z.array(z.string()) }),
  dataset: z.string(),
});

/** What the service adds to every result. */
const envelope = {
  request_id: z.string(),
  cost: z.number().meta({ description: "Tokens that the call has cost." }),
};
export const identifyAnswer = identification.extend(envelope).meta({ id: "Identification" });

const component = confidence.nullable();
export const compareAnswer = z
  .looseObject({
    ...envelope,
    similarity: confidence,
    match: z.boolean(),
    resolution: z.enum(["raw", "hash"]),
    components: z
      .looseObject({
        ciphers: component,
        extensions: component,
        groups: component,
        signature_algorithms: component,
        http2: component,
        headers: component,
      })
      .meta({ description: "How alike by section; null where one side doesn't know it." }),
    differences: z.array(z.string()),
  })
  .meta({ id: "Comparison" });

/** One result for each item, in their order. */
export const batchAnswer = z
  .object({
    ...envelope,
    results: z.array(
      z.looseObject({
        id: z.string().nullable(),
        result: identification.optional(),
        problem: z.looseObject({ code: z.string(), path: z.string(), detail: z.string() }).optional(),
      }),
    ),
  })
  .meta({ id: "BatchResults" });
