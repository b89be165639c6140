import { z } from "zod";
import { ACCOUNT_NAME, ACCOUNT_STATES, type Account } from "./account.js";
import { MOST_METADATA } from "./account-profile.js";
import { accountName, overrides, pageQuery, tierName } from "./contract.js";
import { instant } from "./instant.js";

/** Signs that no line may have, and such as none may begin with; written out, since not every tool that reads the document knows classes of Unicode. */
const CONTROLS = String.raw`\u0000-\u001f\u007f-\u009f\ud800-\udfff`;
const LINE = new RegExp(String.raw`^[^\s\ufeff${CONTROLS}][^\u2028\u2029${CONTROLS}]*$`, "u");
// biome-ignore lint/suspicious/noControlCharactersInRegex: no record can have it
const ENTRY = /^[^\u0000\ud800-\udfff]*$/u;

/** Text for people: of any language, on one line. */
export function lineOf(most: number) {
  return z
    .string()
    .min(1)
    .max(most)
    .regex(LINE, "it may be text on one line, which begins with a sign that can be seen");
}

const displayName = lineOf(128).meta({ description: "For people.", examples: ["ACME Ltd"] });
const externalId = z
  .string()
  .regex(ACCOUNT_NAME, "an external id has 1 to 128 visible ASCII characters, no spaces")
  .meta({ description: "Under which another system knows it; no two accounts have the same.", examples: ["crm-1042"] });
const entryName = z
  .string()
  .regex(/^[A-Za-z][\w.-]{0,39}$/, "an entry is a letter, then up to 39 letters, digits, _, - or .");
const entry = z.string().max(500).regex(ENTRY, "it may be text without halves of pairs");
const metadata = z
  .record(entryName, entry)
  .refine((entries) => Object.keys(entries).length <= MOST_METADATA, `there may be ${MOST_METADATA} entries at most`)
  .meta({ description: `At most ${MOST_METADATA} entries of text, for you.`, examples: [{ region: "eu" }] });
const anchorDay = z.int().min(1).max(31).meta({
  description: "The day on which its billing period begins; in a shorter month the last.",
});
const scheduled = z
  .strictObject({ plan: tierName, at: instant.meta({ description: "From when on; ahead." }) })
  .meta({ description: "A change of plan that is scheduled, such as the end of a trial." });

export const accountParams = z.object({ account: accountName });

export const accountQuery = pageQuery.extend({
  after: z
    .string()
    .max(1024)
    .default("")
    .meta({ description: "`next` of the part before; the first part if left out." }),
  plan: tierName.optional().meta({ description: "Those on this plan now." }),
  state: z
    .enum(ACCOUNT_STATES)
    .optional()
    .meta({ description: "Those in this state; all but archived ones if left out." }),
  search: z
    .string()
    .max(128)
    .transform((text) => (text === "" ? undefined : text))
    .optional()
    .meta({ description: "How a name, a display name or an external id begins, in letters of either case." }),
  externalId: externalId.optional(),
});

export const newAccount = z.strictObject({
  // No address ends in these: whoever writes or reads one takes them for folders.
  account: accountName.refine((name) => !/^\.\.?$/.test(name), "an account may not be . or .."),
  plan: tierName,
  then: scheduled.nullable().default(null),
  displayName: displayName.nullable().default(null),
  externalId: externalId.nullable().default(null),
  metadata: metadata.default({}),
  anchorDay: anchorDay.default(1),
});

export const accountChange = z
  .strictObject({
    plan: tierName.optional().meta({ description: "From now on; what was scheduled goes, unless `then` is here." }),
    then: scheduled.nullable().optional(),
    displayName: displayName.nullable().optional(),
    externalId: externalId.nullable().optional(),
    metadata: z
      .record(entryName, entry.nullable())
      .nullable()
      .optional()
      .meta({ description: "By entry; null takes one away." }),
    anchorDay: anchorDay.nullable().optional().meta({ description: "null for 1." }),
  })
  .meta({ description: "A merge patch (RFC 7396): what is left out stays, null takes away." });

const isoDate = z.string().meta({ format: "date-time" });
export const accountInfo = z
  .object({
    account: z.string(),
    plan: z.string().meta({ description: "The tier that it is on now." }),
    from: isoDate.meta({ description: "Since when it is on that." }),
    then: z.object({ plan: z.string(), at: isoDate }).nullable().meta({ description: "What is scheduled." }),
    tier: z.string().meta({ description: "The same as `plan`." }),
    overrides: overrides.nullable(),
    overridesUntil: isoDate.nullable().meta({ description: "When they end; null if they don't, or there are none." }),
    state: z.enum(ACCOUNT_STATES),
    since: isoDate.meta({ description: "Since when it is in that state." }),
    displayName: z.string().nullable(),
    externalId: z.string().nullable(),
    metadata: z.record(z.string(), z.string()),
    anchorDay: z.int(),
    source: z.enum(["management", "gateway"]).meta({ description: "Whether somebody made it, or a gateway's call." }),
    created: isoDate,
  })
  .meta({ id: "Account" });

export type AccountInfo = z.infer<typeof accountInfo>;

/** An account as it is told. */
export function infoOf(account: Account): AccountInfo {
  const { name, tier, from, scheduled, overrides, overridesUntil, state, since, displayName, externalId } = account;
  const { metadata, anchorDay, source, created } = account;
  return {
    account: name,
    plan: tier,
    from,
    then: scheduled,
    tier,
    overrides,
    overridesUntil,
    state,
    since,
    displayName,
    externalId,
    metadata,
    anchorDay,
    source,
    created,
  };
}

export const deletedAccount = z
  .object({
    account: z.string(),
    keys: z.int().meta({ description: "Keys that are gone with it." }),
    quota: z.literal("reset").meta({ description: "What its limits had counted is forgotten." }),
    usage: z.literal("kept").meta({
      description: "What was served stays under its name until its retention ends, also if the name is used again.",
    }),
  })
  .meta({ id: "DeletedAccount" });
