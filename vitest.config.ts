import { defineConfig } from "vitest/config";

export default defineConfig({
  // Vite leaves .cts files alone by default; src/engine/binding.cts is one.
  oxc: { include: /\.[cm]?ts$/ },
  test: {
    projects: [
      { extends: true, test: { name: "source", include: ["test/**/*.test.ts"], exclude: ["test/packaging/**"] } },
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
    ],
    coverage: {
      provider: "v8",
      include: ["src/**/*.{ts,cts}"],
      reporter: ["text"],
      reportOnFailure: true,
      thresholds: { lines: 95 },
    },
  },
});
