import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { wrongImports } from "../../../../scripts/check/layers.mjs";
import { ROOT } from "../../../../scripts/run.mjs";

describe("the check of the layers", () => {
  let root: string;
  const plant = (file: string, text: string) => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "layers-"));
    plant(
      "package.json",
      '{ "name": "tollkeeper", "exports": { ".": "./dist/index.js", "./http": "./dist/http/index.js" } }',
    );
    plant("crates/limiter/Cargo.toml", '[dependencies]\ndashmap = "6"\n');
    plant("crates/node/Cargo.toml", '[dependencies]\nnapi = "3"\n');
    plant(
      "src/limiter/limiter.ts",
      'import type { Engine } from "../engine/engine.js";\nimport { x } from "./x.js";\n',
    );
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it("passes on this repository", () => {
    expect(wrongImports(ROOT)).toEqual([]);
  });

  it("passes imports that point down", () => {
    expect(wrongImports(root)).toEqual([]);
  });

  it.each([
    [
      "upwards",
      'import { plugin } from "../fastify/plugin.js";',
      "engine may not import fastify (../fastify/plugin.js)",
    ],
    ["of a type", 'import type { A } from "../limiter/a.js";', "engine may not import limiter (../limiter/a.js)"],
    ["made later", 'const a = await import("../limiter/a.js");', "engine may not import limiter (../limiter/a.js)"],
    ["over two lines", 'export {\n  a,\n} from "../limiter/a.js";', "engine may not import limiter (../limiter/a.js)"],
    ["for its effect", 'import "../api/app.js";', "engine may not import api (../api/app.js)"],
    [
      "after a comment",
      'const a = await import(/* webpackIgnore: true */ "../limiter/a.js");',
      "engine may not import limiter (../limiter/a.js)",
    ],
    ["in a template", "const a = await import(`../limiter/a.js`);", "engine may not import limiter (../limiter/a.js)"],
    ["by a product", '2\n * (await import("../limiter/a.js")).n', "engine may not import limiter (../limiter/a.js)"],
    ["resolved", 'require.resolve("../limiter/a.js");', "engine may not import limiter (../limiter/a.js)"],
    ["of a package for development", 'import type { A } from "express";', "engine may not import express"],
    ["of a package", 'import { z } from "zod";', "engine may not import zod"],
    ["of a part of a package", 'import { z } from "zod/mini";', "engine may not import zod"],
  ])("sees an import %s", (_, text, problem) => {
    plant("src/engine/wrong.ts", text);
    expect(wrongImports(root)).toEqual([`src/engine/wrong.ts: ${problem}`]);
  });

  it("passes a service that knows the library by its entries", () => {
    plant("src/service/app.ts", 'import { A } from "tollkeeper";\nimport type { B } from "tollkeeper/http";');
    plant("src/service/cli/main.ts", 'import { serve } from "../serve.js";\nimport { Command } from "commander";');
    expect(wrongImports(root)).toEqual([]);
  });

  it.each([
    ["app", 'import { A } from "../limiter/a.js";', "service may not import limiter (../limiter/a.js)"],
    ["app", 'import type { A } from "../http/index.js";', "service may not import http (../http/index.js)"],
    ["app", 'type A = import("../index.js").A;', "service may not import index (../index.js)"],
    ["app", 'import { A } from "tollkeeper/limiter";', "tollkeeper/limiter is no public entry of the library"],
    ["app", 'import type { A } from "tollkeeper/dist/a.js";', "tollkeeper/dist/a.js is no public entry of the library"],
    ["app", 'import { A } from "./cli/a.js";', "service may not import service/cli (./cli/a.js)"],
    ["management/a", 'import { A } from "../app.js";', "service/management may not import service (../app.js)"],
    ["management/a", 'import "../config/a.js";', "service/management may not import service/config (../config/a.js)"],
    [
      "config/a",
      'import "../management/a.js";',
      "service/config may not import service/management (../management/a.js)",
    ],
  ])("sees in the service, in %s, %s", (file, text, problem) => {
    plant(`src/service/${file}.ts`, text);
    expect(wrongImports(root)).toEqual([`src/service/${file}.ts: ${problem}`]);
  });

  it("sees a library that knows itself by name", () => {
    plant("src/engine/wrong.ts", 'import { A } from "tollkeeper";');
    expect(wrongImports(root)).toEqual([
      "src/engine/wrong.ts: engine is of the library, and may not import it by name",
    ]);
  });

  it("sees a folder that nobody has placed", () => {
    plant("src/utils/a.ts", 'import "node:fs";');
    expect(wrongImports(root)).toEqual(["src/utils/a.ts: utils is not one of the layers in scripts/check/layers.mjs"]);
  });

  it("sees a core crate that depends on Node", () => {
    plant("crates/limiter/Cargo.toml", '[dependencies]\nnapi-derive = "3"\n');
    expect(wrongImports(root)).toEqual(["crates/limiter: only crates/node may depend on napi"]);
  });

  describe("on modules of a crate", () => {
    it("passes those that import one way, and name a constant of the root", () => {
      plant("crates/limiter/src/lib.rs", "mod a;\nmod b;\npub use a::A;\npub const MOST: usize = 4;\n");
      plant("crates/limiter/src/a.rs", "use crate::{MOST, b::B};\n//! Of [`C`](crate::c::C).\n");
      plant("crates/limiter/src/b.rs", "use crate::MOST;\n");
      expect(wrongImports(root)).toEqual([]);
    });

    it.each([
      ["by use", "use crate::b::B;", "use crate::a::A;"],
      ["by a module and what is in it", "use crate::b::{self, B};", "use crate::a::{self, A};"],
      ["by a list", "use crate::{b::{B, C}, d};", "pub(crate) use crate::a::A as Other;"],
      ["by a path", "fn a() { crate::b::b() }", "type A = super::a::A;"],
      ["through what the root hands on", "use crate::b::B;", "use crate::A;"],
    ])("sees a circle %s", (_, a, b) => {
      plant("crates/limiter/fuzz/Cargo.toml", "");
      plant("crates/limiter/fuzz/src/lib.rs", "mod a;\nmod b;\npub use a::A;\n");
      plant("crates/limiter/fuzz/src/a.rs", a);
      plant("crates/limiter/fuzz/src/b.rs", b);
      expect(wrongImports(root)).toEqual(["crates/limiter/fuzz: modules in a circle: crate::a, crate::b"]);
    });

    it("sees a circle of three, one of them inside another", () => {
      plant("crates/limiter/src/lib.rs", "mod a;\nmod b;\n");
      plant("crates/limiter/src/a.rs", "mod inner;\nuse self::inner::Inner;\n");
      plant("crates/limiter/src/a/inner.rs", "use crate::b::B;\n");
      plant("crates/limiter/src/b.rs", "use crate::a::A;\n");
      expect(wrongImports(root)).toEqual(["crates/limiter: modules in a circle: crate::a, crate::a::inner, crate::b"]);
    });

    it("passes what their tests import", () => {
      plant("crates/limiter/src/lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod disk;\n");
      plant("crates/limiter/src/a.rs", "use crate::b::B;\n");
      plant("crates/limiter/src/b.rs", "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n    use crate::disk;\n}\n");
      plant("crates/limiter/src/disk.rs", "use crate::a::A;\nuse crate::b::B;\n");
      expect(wrongImports(root)).toEqual([]);
    });
  });
});
