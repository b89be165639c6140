import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { retiredWords, unknownTerms } from "../../../../scripts/check/words.mjs";
import { ROOT } from "../../../../scripts/run.mjs";

describe("the check of the words", () => {
  let root: string;
  const plant = (file: string, text: string) => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "words-"));
    plant("src/shared/lease.ts", "export class Lease {}\n");
    plant("docs/glossary.md", "| **lease** | tokens held ahead | `Lease` | Doorman's |\n");
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it("passes on this repository", () => {
    expect([...retiredWords(ROOT), ...unknownTerms(ROOT)]).toEqual([]);
  });

  it.each([
    ["src/shared/outbox.ts", "export class Debts {}", "Debts is retired; it is called Outbox now"],
    ["test/unit/lease.test.ts", "const { parcels } = lease;", "parcels is retired"],
    ["src/store/lua/keys.ts", "export const SCRIPT = `\nlocal function heal(state) end\n`;", "heal is retired"],
    ["crates/limiter/src/book.rs", "pub struct TierBook;", "TierBook is retired"],
    ["src/shared/gate.ts", "export class WaiterGate {}", "Waiter is retired"],
    ["src/limiter/limiter.ts", "const tier = judgeOf(name);", "judge is retired"],
    ["crates/limiter/src/table.rs", "fn next_waiter() {}", "waiter is retired"],
    ["src/shared/waiters.ts", "export class ReadyGate {}", "waiters is retired"],
    ["bench/redis.ts", "const twin = 1;", "twin is retired"],
  ])("finds a retired name in %s", (file, text, says) => {
    plant(file, text);
    expect(retiredWords(root)).toEqual([expect.stringContaining(`${file}: ${says}`)]);
  });

  it("lets words of the language be", () => {
    plant(
      "src/engine/bucket.ts",
      '// What is owed heals.\n/** A debt, of debts. */\nexport const text = "the judge";\n',
    );
    expect(retiredWords(root)).toEqual([]);
  });

  it("finds a term of the glossary whose name is gone, or that has none", () => {
    plant("docs/glossary.md", "| **grant** | tokens got | `Grant` | ours |\n| **toll** | a price | nowhere | ours |\n");
    expect(unknownTerms(root)).toEqual([expect.stringContaining("grant names Grant"), expect.stringContaining("toll")]);
  });
});
