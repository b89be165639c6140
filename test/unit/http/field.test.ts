import { describe, expect, it } from "vitest";
import { FieldWriter } from "../../../src/http/field.js";

describe("a field", () => {
  const field = new FieldWriter();

  it.each([0, 9, 10, 99, 100, 999_999_999, 1e9, 1e9 + 1, 2 ** 31, 4e9 + 7, 1e18 / 1e3, 2 ** 53 - 1])(
    "has the number %d in all its digits",
    (value) => {
      expect(field.number(value).take()).toBe(String(value));
    },
  );

  it("begins anew once it is taken", () => {
    expect(field.text(Buffer.from("r=")).number(12).text(Buffer.from(";t=")).number(3).take()).toBe("r=12;t=3");
    expect(field.take()).toBe("");
  });
});
