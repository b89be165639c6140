import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const src = fileURLToPath(new URL("src", import.meta.url));

export default defineConfig({
  // Tests run the sources, and so does the service in them, which knows the library by its names only.
  resolve: {
    alias: [
      { find: /^tollkeeper$/, replacement: `${src}/index.ts` },
      { find: /^tollkeeper\/(.+)$/, replacement: `${src}/$1/index.ts` },
    ],
  },
  test: {
    globalSetup: "test/link-native.ts",
    // Nothing is asserted on time: a busy machine is slow, and no fault of the code.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // All cores: files mostly wait for the servers they start.
    maxWorkers: availableParallelism(),
    projects: [
      {
        extends: true,
        test: {
          name: "source",
          include: ["test/**/*.test.ts"],
          exclude: ["test/packaging/**", "test/runtimes/**", "test/operations/**", "test/cluster/**"],
        },
      },
      {
        extends: true,
        test: {
          name: "packaging",
          include: ["test/packaging/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 1 }, // npm and tsc take both cores; others measure time
        },
      },
      // Half a gigabyte of Next, Deno and Bun: `npm run proof`.
      {
        extends: true,
        test: {
          name: "runtimes",
          include: ["test/runtimes/**/*.test.ts"],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 1 },
        },
      },
      // These two need tools that `npm test` does not: `npm run check:k8s` and `npm run test:cluster` install them.
      {
        extends: true,
        test: {
          name: "operations",
          include: ["test/operations/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "cluster",
          include: ["test/cluster/**/*.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 1_800_000,
          sequence: { groupOrder: 3 },
        },
      },
    ],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      reporter: ["text"],
      reportOnFailure: true,
      thresholds: { lines: 95 },
    },
  },
});
