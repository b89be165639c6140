import { afterEach, describe, expect, it, vi } from "vitest";
import { runSteps } from "../../../scripts/steps.mjs";

describe("runSteps", () => {
  const log = vi.spyOn(console, "log").mockReturnValue();
  afterEach(() => log.mockClear());

  it("runs every step after one has failed, lists them, and says that not all passed", async () => {
    const ran: string[] = [];
    const passed = await runSteps([
      { name: "first", run: () => void ran.push("first") },
      { name: "second", run: () => Promise.reject(new Error("no such luck")) },
      { name: "third", run: () => void ran.push("third") },
    ]);
    expect(passed).toBe(false);
    expect(ran).toEqual(["first", "third"]);
    const printed = log.mock.calls.flat().join("\n");
    expect(printed).toContain("no such luck");
    expect(printed).toMatch(/pass +\d+\.\d s {2}first\nFAIL +\d+\.\d s {2}second\npass +\d+\.\d s {2}third$/);
  });

  it("says when all passed", async () => {
    expect(await runSteps([{ name: "only", run: () => undefined }])).toBe(true);
  });
});
