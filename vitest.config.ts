import { defineConfig } from "vitest/config";

// Two projects: units share threads and module state is not isolated (fast, and proves that we keep none);
// anything that spawns processes, binds ports or kills writers runs in forks.
const processTests = ["test/crash/**", "test/e2e/**", "test/contract/**", "test/adversarial/**"];

export default defineConfig({
  test: {
    // For a machine that does much else; a test that hangs fails all the same.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: processTests,
          pool: "threads",
          sequence: { groupOrder: 0 },
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: "process",
          include: processTests.map((dir) => `${dir}/*.test.ts`),
          pool: "forks",
          // Concurrent cases wait for each other's turns, in the order in which they stand.
          maxConcurrency: 1_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
