/**
 * The fault suite: the built program under kill, fault and attack, with a report of what was tried and what happened.
 *
 *   npm run test:faults [-- [--long | --quick] [--seed N] [--kills N] [--markdown] [TEST FILE...]]
 *
 * A run is made again by its seed. Ends with 1 where anything that was promised did not hold.
 */
import { spawnSync } from "node:child_process"
import fs from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const root = fileURLToPath(new URL("..", import.meta.url))
const cache = join(root, "node_modules", ".cache", "filedispatch")
const report = join(cache, "faults.jsonl")

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    long: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    seed: { type: "string" },
    kills: { type: "string" },
    markdown: { type: "boolean", default: false }
  }
})
for (const name of ["seed", "kills"]) {
  if (values[name] !== undefined && !/^[1-9]\d{0,8}$/.test(values[name])) {
    console.error(`--${name} takes a number from 1 to 999999999, not ${values[name]}`)
    process.exit(2)
  }
}
const seed = values.seed ?? String((Date.now() % 999_999) + 1)
const env = { ...process.env, FILEDISPATCH_SEED: seed, FILEDISPATCH_FAULTS_REPORT: report }
if (values.long) env.FILEDISPATCH_LONG = "1"
if (values.quick) env.FILEDISPATCH_KILLS = "24"
if (values.kills !== undefined) env.FILEDISPATCH_KILLS = values.kills

/** What is over in three minutes. */
const quick = [
  "attackPackages",
  "attackWho",
  "diskMounts",
  "filesBack",
  "filesKinds",
  "kill",
  "oracles",
  "secrets",
  "stepsInProcess",
  "system",
  "systemServers"
]
const chosen = values.quick ? quick.map((name) => `test/faults/${name}.test.ts`) : positionals

fs.rmSync(report, { force: true })
const started = Date.now()
const run = spawnSync(
  process.execPath,
  [
    join(root, "node_modules", "vitest", "vitest.mjs"),
    "run",
    "--project",
    "faults",
    `--outputFile.json=${join(cache, "faults.json")}`,
    // much of it is waiting
    "--maxWorkers=3",
    ...chosen
  ],
  { cwd: root, env, stdio: "inherit" }
)

const tried = fs.existsSync(report)
  ? fs
      .readFileSync(report, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line))
  : []
const sections = {
  kill: "Killed at any moment",
  step: "Killed at every step",
  fault: "Faults of the machine and the servers",
  files: "Files as they are",
  attack: "Attacks, and the search for secrets",
  watch: "Watchers that fall silent"
}
for (const [section, title] of Object.entries(sections)) {
  const ones = tried.filter((one) => one.section === section)
  if (ones.length === 0) continue
  console.log(values.markdown ? `\n**${title}**\n\n| tried | what happened |\n| --- | --- |` : `\n${title}`)
  for (const { happened, what } of ones) {
    console.log(values.markdown ? `| ${what} | ${happened} |` : `  ${what}\n      ${happened}`)
  }
}
const totals = { files: 0, kills: 0, lost: 0, partial: 0, duplicates: 0, temps: 0, secrets: 0 }
for (const { counts } of tried) for (const [name, count] of Object.entries(counts ?? {})) totals[name] += count
const { files, kills, ...mustBeNone } = totals
const minutes = ((Date.now() - started) / 60_000).toFixed(1)
console.log(
  `\n${kills} kills, ${files} files in, ${totals.lost} lost, ${totals.partial} partial files seen, ` +
    `${totals.duplicates} duplicates, ${totals.temps} temp files left, ${totals.secrets} secrets found; ` +
    `${minutes} minutes, seed ${seed}`
)
const broken = Object.values(mustBeNone).some((count) => count > 0)
process.exitCode = run.status !== 0 || broken ? 1 : 0
