/**
 * Reads vitest's JSON reports. Names each test that failed or was skipped on stderr, and prints the one line
 * `N passed, N failed` (and `, N skipped`) on stdout. Fails where a report is missing, or holds a failure.
 */
import { existsSync, readFileSync } from "node:fs"
import { basename, relative } from "node:path"

const names = { failed: [], skipped: [] }
let passed = 0

for (const file of process.argv.slice(2)) {
  if (!existsSync(file)) {
    names.failed.push(`${basename(file)}: these tests did not get far enough to be counted`)
    continue
  }
  const report = JSON.parse(readFileSync(file, "utf8"))
  const before = names.failed.length
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
  if (!report.success && names.failed.length === before) names.failed.push("an error outside of the tests, see above")
}

for (const [what, list] of Object.entries(names)) {
  for (const name of list) process.stderr.write(`${what}: ${name}\n`)
}
const skipped = names.skipped.length > 0 ? `, ${names.skipped.length} skipped` : ""
process.stdout.write(`${passed} passed, ${names.failed.length} failed${skipped}\n`)
process.exitCode = names.failed.length > 0 || passed === 0 ? 1 : 0
