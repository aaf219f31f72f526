import { defineConfig } from "vitest/config"

/** What measures how much memory something takes. */
const memory = ["S3.memory", "SftpMemory", "UploadMemory", "memory-use"].map(
  (name) => `test/deliver/destination/${name}.test.ts`
)

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // the machines that run these have few cores, and the end-to-end tests start processes of their own
    maxWorkers: 2,
    minWorkers: 1,
    // the file is what .ci/run counts; not an option of the reporter, which the command line could not replace
    reporters: ["default", "json"],
    outputFile: { json: "node_modules/.cache/filedispatch/tests.json" },
    projects: [
      {
        extends: true,
        test: {
          name: "main",
          include: ["test/**/*.test.ts"],
          exclude: ["test/faults/**", ...memory],
          // each worker loads what the tests have in common once
          isolate: false
        }
      },
      {
        // each in a process that has done nothing else
        extends: true,
        test: { name: "memory", include: memory }
      },
      {
        // the built program under kill, fault and attack; by `npm run test:faults`
        extends: true,
        test: { name: "faults", include: ["test/faults/**/*.test.ts"], testTimeout: 300_000, hookTimeout: 120_000 }
      }
    ]
  }
})
