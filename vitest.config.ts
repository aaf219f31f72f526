import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // the machines that run these have few cores, and the end-to-end tests start processes of their own
    maxWorkers: 2,
    minWorkers: 1,
    // the file is what .ci/run counts
    reporters: ["default", ["json", { outputFile: "node_modules/.cache/filedispatch/tests.json" }]],
    projects: [
      {
        extends: true,
        test: { name: "main", include: ["test/**/*.test.ts"], exclude: ["test/faults/**"] }
      },
      {
        // the built program under kill, fault and attack; by `npm run test:faults`
        extends: true,
        test: { name: "faults", include: ["test/faults/**/*.test.ts"], testTimeout: 300_000, hookTimeout: 120_000 }
      }
    ]
  }
})
