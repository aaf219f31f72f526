/**
 * Reads vitest's JSON report. Names each test that failed or was skipped on stderr, and prints the one line
 * `N passed, N failed` (and `, N skipped`) on stdout. Fails where there is no report, or where it holds a failure.
 */
import { existsSync, readFileSync } from "node:fs"
import { relative } from "node:path"

const [, , file = ""] = process.argv
if (!existsSync(file)) {
  process.stderr.write("The tests did not get far enough to be counted.\n")
  process.stdout.write("0 passed, 1 failed\n")
  process.exit(1)
}

const report = JSON.parse(readFileSync(file, "utf8"))
const names = { failed: [], skipped: [] }
let passed = 0
for (const suite of report.testResults) {
  const path = relative(process.cwd(), suite.name)
  // a file that could not even be loaded has no tests in it
  if (suite.assertionResults.length === 0 && suite.status === "failed") names.failed.push(path)
  for (const test of suite.assertionResults) {
    const name = `${path}: ${test.fullName}`
    if (test.status === "passed") passed += 1
    else if (test.status === "failed") names.failed.push(name)
    else names.skipped.push(name)
  }
}
// an error outside of any test
if (!report.success && names.failed.length === 0) names.failed.push("an error outside of the tests, see above")

for (const [what, list] of Object.entries(names)) {
  for (const name of list) process.stderr.write(`${what}: ${name}\n`)
}
const skipped = names.skipped.length > 0 ? `, ${names.skipped.length} skipped` : ""
process.stdout.write(`${passed} passed, ${names.failed.length} failed${skipped}\n`)
process.exitCode = names.failed.length > 0 ? 1 : 0
