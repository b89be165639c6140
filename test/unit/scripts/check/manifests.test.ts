import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { wrongManifests } from "../../../../scripts/check/manifests.mjs";
import { ROOT } from "../../../../scripts/run.mjs";

describe("the check of the manifests", () => {
  let root: string;
  const plant = (file: string, text: string) => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };
  const library = (changes: object = {}) => {
    const peers = { peerDependencies: { ioredis: "^6.0.0" }, peerDependenciesMeta: { ioredis: { optional: true } } };
    const dependencies = { "ipaddr.js": "^2.0.0" };
    const devDependencies = { ioredis: "^6.1.0", zod: "^4.0.0" };
    plant("package.json", JSON.stringify({ version: "1.2.3", dependencies, devDependencies, ...peers, ...changes }));
  };
  const service = (dependencies: object, version = "1.2.3") => {
    const all = { ioredis: "^6.1.0", tollkeeper: "1.2.3", zod: "^4.0.0", ...dependencies };
    plant("npm/service/package.json", JSON.stringify({ version, dependencies: all }));
  };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "manifests-"));
    library();
    service({});
    plant("src/http/address.ts", 'import ipaddr from "ipaddr.js";\nimport { join } from "node:path";\n');
    plant("src/store/link.ts", 'const ioredis = await import("ioredis");\n/** from "left-pad" */\n');
    plant("src/service/app.ts", 'import { z } from "zod";\nimport { createLimiter } from "tollkeeper";\n');
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it("passes on this repository", () => {
    expect(wrongManifests(ROOT)).toEqual([]);
  });

  it("passes manifests that agree", () => {
    expect(wrongManifests(root)).toEqual([]);
  });

  it.each<[string, () => void, string]>([
    [
      "a third dependency",
      () => library({ dependencies: { "ipaddr.js": "^2.0.0", "left-pad": "^1.0.0" } }),
      "left-pad is not one of the dependencies that the library may have",
    ],
    [
      "an import that users don't get",
      () => plant("src/http/x.ts", 'import { z } from "zod/v4";'),
      "src imports zod, which package.json has neither among dependencies nor among peerDependencies",
    ],
    [
      "a peer that npm would install",
      () => library({ peerDependenciesMeta: {} }),
      "package.json: the peer ioredis is not optional",
    ],
    [
      "an import that the service does not ask for",
      () => plant("src/service/x.ts", 'import type { A } from "@fastify/cors/types.js";'),
      "src/service imports @fastify/cors, which npm/service/package.json has not among dependencies",
    ],
    [
      "what the service does not use",
      () => {
        library({ devDependencies: { commander: "^14.0.0", ioredis: "^6.1.0", zod: "^4.0.0" } });
        service({ commander: "^14.0.0" });
      },
      "npm/service/package.json: nothing imports commander",
    ],
    [
      "another version than is developed with",
      () => service({ zod: "^4.1.0" }),
      "npm/service/package.json asks for zod ^4.1.0, and package.json, for development, for ^4.0.0",
    ],
    ["a service of another release", () => service({}, "1.2.4"), "npm/service/package.json is of version 1.2.4"],
    ["a library of another release", () => service({ tollkeeper: "1.2.2" }), "asks for tollkeeper 1.2.2"],
  ])("finds %s", (_, spoil, problem) => {
    spoil();
    expect(wrongManifests(root)).toEqual([expect.stringContaining(problem)]);
  });
});
