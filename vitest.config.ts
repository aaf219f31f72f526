import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // the machines that run these have few cores, and the end-to-end tests start processes of their own
    maxWorkers: 2,
    minWorkers: 1,
    // the file is what .ci/run counts
    reporters: ["default", ["json", { outputFile: "node_modules/.cache/filedispatch/tests.json" }]]
  }
})
