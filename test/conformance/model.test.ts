import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Call, Model } from "./model/model.js";
import { PROFILES } from "./model/profile.js";
import { fileOf, vectorsOf } from "./model/vectors.js";
import { compare, type Operation, type Vector } from "./vector.js";

const { cases } = JSON.parse(readFileSync(new URL("limit-vectors.json", import.meta.url), "utf8")) as {
  cases: Vector[];
};

describe("the model, on vectors that another model made", () => {
  it.each(cases)("$name", ({ tiers, ops }) => {
    const model = new Model(tiers);
    const calls: (Call | undefined)[] = [];
    ops.forEach((operation, index) => void calls.push(perform(model, operation, calls, `operation ${index}`)));
  });
});

function perform(model: Model, operation: Operation, calls: readonly (Call | undefined)[], at: string) {
  const { op, t } = operation;
  if (op === "consume" || op === "peek") {
    const call = model.decide(operation, t, op === "consume");
    if (operation.expect && !("error" in operation.expect)) compare(call.said, operation.expect, at);
    return call;
  }
  if (op === "reset") model.reset(operation.key);
  else if (op === "refund") model.refund(calls[operation.of] as Call, t);
  else throw new Error(`${at} is ${op}`);
  return undefined;
}

describe("vectors of each kind", () => {
  it.each(PROFILES)("$name: the file says what the model does", async (profile) => {
    const text = `{"cases":[\n${vectorsOf(profile)
      .map((vector) => JSON.stringify(vector))
      .join(",\n")}\n]}\n`;
    await expect(text).toMatchFileSnapshot(fileOf(profile));
  });
});
