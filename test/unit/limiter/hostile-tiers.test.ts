import { describe, expect, it } from "vitest";
import { createLimiter, type Tiers, type TollkeeperError } from "../../../src/index.js";
import { ENGINES } from "./engines.js";

const MINUTE = { name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 };
const OPEN = { limits: [] };
class Plan {
  limits = [];
}

/** Tiers that can't be used, and where that is. */
const ROWS: [name: string, tiers: unknown, told: string | RegExp][] = [
  ["an array", [OPEN], "tiers is an array; it may be an object of tiers by name"],
  ["null", null, "tiers is null"],
  ["undefined", undefined, "tiers is undefined"],
  ["a function", () => OPEN, "tiers is a function"],
  ["a Map", new Map([["free", OPEN]]), /^tiers is an object that inherits/],
  [
    "a class's",
    new (class {
      free = OPEN;
    })(),
    /^tiers is an object that inherits/,
  ],
  ["of a prototype", { __proto__: { free: OPEN }, pro: OPEN }, /^tiers is an object that inherits/],
  ["nothing", {}, "tiers is {}; it may be at least one tier"],
  [
    "a tier named __proto__",
    JSON.parse('{"__proto__": {"limits": []}, "free": {"limits": []}}'),
    /^tiers.__proto__ is/,
  ],
  ...["constructor", "toString", "hasOwnProperty", "valueOf", "__defineGetter__"].map(
    (name): [string, unknown, RegExp] => [
      `a tier named ${name}`,
      { [name]: OPEN },
      new RegExp(`^tiers.${name} is ${name}; it may be`),
    ],
  ),
  ["a symbol", { [Symbol("free")]: OPEN, pro: OPEN }, "tiers is an object with a symbol"],
  [
    "10,001 tiers",
    Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`t${index}`, OPEN])),
    "tiers is 10001 tiers; it may be at most 10000",
  ],
  [
    "a getter for a tier",
    {
      get free() {
        return OPEN;
      },
    },
    "tiers.free is a getter; it may be a value",
  ],
  ["a long name", { ["x".repeat(100_000)]: OPEN }, /^tiers\.x{1,100}… is x{1,100}…; it may be/],
  ["a tier that is an array", { free: [] }, "tiers.free is an array; it may be an object with limits"],
  ["a tier that is a number", { free: 5 }, "tiers.free is 5"],
  ["a tier of a class", { free: new Plan() }, /^tiers.free is an object that inherits/],
  [
    "an unknown field of a tier",
    { free: { limits: [], burst: 3 } },
    "tiers.free.burst is an unknown field; it may be limits",
  ],
  ["a misspelt field of a tier", { free: { limit: [] } }, "tiers.free.limit is an unknown field"],
  [
    "a getter for limits",
    {
      free: {
        get limits() {
          return [];
        },
      },
    },
    "tiers.free.limits is a getter",
  ],
  ["no limits", { free: {} }, "tiers.free.limits is undefined"],
  ["limits like an array", { free: { limits: { length: 0 } } }, "tiers.free.limits is an object"],
  // biome-ignore lint/suspicious/noSparseArray: it is what may come.
  ["a gap among limits", { free: { limits: [, MINUTE] } }, "tiers.free.limits[0] is undefined"],
  [
    "1,000,000 limits",
    { free: { limits: new Array(1_000_000) } },
    "tiers.free.limits is 1000000 limits; it may be at most 64",
  ],
  ["a limit that is an array", { free: { limits: [[]] } }, "tiers.free.limits[0] is an array"],
  [
    "a limit of a class",
    { free: { limits: [Object.assign(new Plan(), MINUTE)] } },
    /^tiers.free.limits\[0\] is an object that inherits/,
  ],
  [
    "an unknown field of a limit",
    { free: { limits: [{ ...MINUTE, brust: 2 }] } },
    "tiers.free.limits[0].brust is an unknown field",
  ],
  [
    "a getter for a limit",
    {
      free: {
        limits: [
          {
            ...MINUTE,
            get limit() {
              return 5;
            },
          },
        ],
      },
    },
    "tiers.free.limits[0].limit is a getter",
  ],
  ...[
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -1,
    0,
    5n,
    "5",
    null,
    undefined,
    {},
    [],
    true,
    1.0001,
    1e300,
    Symbol("five"),
  ].flatMap((value) =>
    ["limit", "windowSeconds", "burst"]
      .filter((field) => field !== "limit" || value !== 0)
      .map((field): [string, unknown, RegExp] => [
        `${String(typeof value === "object" ? JSON.stringify(value) : String(value))} as ${field}`,
        { free: { limits: [{ ...MINUTE, [field]: value }] } },
        /^tiers\.free\.limits\[0\](\.\w+ is|: )/,
      ]),
  ),
  [
    "a limit named constructor",
    { free: { limits: [{ ...MINUTE, name: "constructor" }] } },
    "tiers.free.limits[0].name is constructor",
  ],
  [
    "a name that is an object",
    { free: { limits: [{ ...MINUTE, name: { toString: () => "minute" } }] } },
    "tiers.free.limits[0].name is an object",
  ],
  [
    "a type that is an array",
    { free: { limits: [{ ...MINUTE, type: ["bucket"] }] } },
    "tiers.free.limits[0].type is an array",
  ],
];

describe.each(ENGINES)("tiers of the %s engine", (engine) => {
  it.each(ROWS)("that are, or have, %s are refused by name, and a reload changes nothing", (_, tiers, told) => {
    const limiter = createLimiter({ tiers: { plain: { limits: [] } }, engine });
    for (const call of [() => createLimiter({ tiers: tiers as Tiers, engine }), () => limiter.reload(tiers as Tiers)]) {
      let error: TollkeeperError | undefined;
      try {
        call();
      } catch (caught) {
        error = caught as TollkeeperError;
      }
      expect(error?.code).toBe("ERR_TIERS_INVALID");
      if (typeof told === "string") expect(error?.message).toContain(told);
      else expect(error?.message).toMatch(told);
      expect(error?.message.length).toBeLessThan(600);
    }
    expect(Object.keys(limiter.tiers)).toEqual(["plain"]);
    return limiter.close();
  });

  it("are a copy: what becomes of the object does not matter", async () => {
    const tiers = { free: { limits: [{ ...MINUTE }] } };
    const limiter = createLimiter({ tiers: tiers as Tiers, engine });
    (tiers.free.limits[0] as { limit: number }).limit = 1_000_000;
    for (let call = 0; call < 10; call++) expect(limiter.consume("k", "free").allowed).toBe(true);
    expect(limiter.consume("k", "free").allowed).toBe(false);
    await limiter.close();
  });

  it("may have no prototype, or that of another realm", async () => {
    const own = Object.assign(Object.create(null), { free: Object.assign(Object.create(null), { limits: [] }) });
    for (const tiers of [own, structuredClone({ free: OPEN })]) await createLimiter({ tiers, engine }).close();
  });
});
