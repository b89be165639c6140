import { expect, it } from "vitest";
import {
  cargoLockProblems,
  cargoVulnerabilities,
  npmLockProblems,
  npmVulnerabilities,
} from "../../../../scripts/check/audit.mjs";

it("the lockfiles of this repository are sound", () => {
  expect([...npmLockProblems(), ...cargoLockProblems()]).toEqual([]);
});

it("what npm would install unchecked, from elsewhere, or with a script of its own is named", () => {
  const packages = {
    "": {},
    "node_modules/good": { integrity: "sha512-x", resolved: "https://registry.npmjs.org/good.tgz" },
    "node_modules/loose": {},
    "node_modules/git": { integrity: "sha512-x", resolved: "git+ssh://example.com/x" },
    "node_modules/script": { integrity: "sha512-x", hasInstallScript: true },
  };
  expect(npmLockProblems(JSON.stringify({ packages }))).toEqual([
    "node_modules/loose has no SHA-512 checksum",
    "node_modules/git comes from git+ssh://example.com/x",
    "node_modules/script runs a script when it is installed",
  ]);
});

it("crates from elsewhere or without a checksum are named", () => {
  const crate = (name: string, ...lines: string[]) => `[[package]]\n${[`name = "${name}"`, ...lines].join("\n")}\n\n`;
  const source = 'source = "registry+https://github.com/rust-lang/crates.io-index"';
  const lock =
    crate("ours") +
    crate("good", source, `checksum = "${"0".repeat(64)}"`) +
    crate("loose", source) +
    crate("git", 'source = "git+https://example.com/x"');
  expect(cargoLockProblems(lock)).toEqual(["loose has no checksum", "git comes from git+https://example.com/x"]);
});

it("known vulnerabilities are named, and no answer is not a good one", () => {
  expect(npmVulnerabilities('{"vulnerabilities":{"x":{"severity":"high","range":"<1.2"}}}')).toEqual(["x <1.2: high"]);
  expect(npmVulnerabilities('{"vulnerabilities":{}}')).toEqual([]);
  expect(npmVulnerabilities('{"message":"405"}')).toBeUndefined();
  const found = { advisory: { id: "RUSTSEC-1", title: "bad" }, package: { name: "x", version: "1.0.0" } };
  expect(cargoVulnerabilities(JSON.stringify({ vulnerabilities: { list: [found] } }))).toEqual([
    "x 1.0.0: RUSTSEC-1, bad",
  ]);
});
