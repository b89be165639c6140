import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { platformPackages } from "../../scripts/build/pack.mjs";
import { ROOT } from "../../scripts/run.mjs";

const EXPECTED = {
  "@tollkeeper/native-darwin-arm64": { os: ["darwin"], cpu: ["arm64"], libc: undefined },
  "@tollkeeper/native-darwin-x64": { os: ["darwin"], cpu: ["x64"], libc: undefined },
  "@tollkeeper/native-linux-arm64-gnu": { os: ["linux"], cpu: ["arm64"], libc: ["glibc"] },
  "@tollkeeper/native-linux-arm64-musl": { os: ["linux"], cpu: ["arm64"], libc: ["musl"] },
  "@tollkeeper/native-linux-x64-gnu": { os: ["linux"], cpu: ["x64"], libc: ["glibc"] },
  "@tollkeeper/native-linux-x64-musl": { os: ["linux"], cpu: ["x64"], libc: ["musl"] },
  "@tollkeeper/native-win32-arm64-msvc": { os: ["win32"], cpu: ["arm64"], libc: undefined },
  "@tollkeeper/native-win32-x64-msvc": { os: ["win32"], cpu: ["x64"], libc: undefined },
};

describe("the platform packages", () => {
  const packages = platformPackages();
  const root = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    version: string;
    napi: { targets: string[] };
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };

  it("are all there, each for its own system, processor and libc", () => {
    const found = packages.map(({ name, os, cpu, libc }) => [name, { os, cpu, libc }]);
    expect(Object.fromEntries(found)).toEqual(EXPECTED);
    expect(root.napi.targets).toHaveLength(packages.length);
  });

  it("have the version of the root package", () => {
    expect(packages.map(({ version }) => version)).toEqual(packages.map(() => root.version));
  });

  it("leave the lockfile alone, which fits the manifest", () => {
    const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as { packages: { "": typeof root } };
    const { dependencies, devDependencies } = lock.packages[""];
    expect({ dependencies, devDependencies }).toEqual({
      dependencies: root.dependencies,
      devDependencies: root.devDependencies,
    });
  });

  it("are not in the lockfile of the repository, which would fail without them", () => {
    const lock = readFileSync(join(ROOT, "package-lock.json"), "utf8");
    expect(lock).not.toContain("@tollkeeper/");
    expect(lock).not.toContain("://registry");
  });
});
