/**
 * `npm run soak`: the built program under a steady load with faults for an hour, and what becomes of its memory, its
 * descriptors, and its files.
 *
 *   node scratchpad/soak.mjs [--minutes 60] [--rate FILES_A_SECOND] [--seed N] [--kills] [--bin dist/bin.js] [--dir DIR]
 *
 * A writer puts files of all sizes into a source; each goes to a folder on a disk of its own, to an HTTP server, and to
 * vsftpd and sshd where these are installed and this is root. One fault follows another, at all of these: servers that
 * are down, answer 503 or cut connections, a disk that is full or read-only, a config that changes. `--kills` ends the
 * program with -9 every few minutes of the first half, too. A line a minute; at the end a table and a verdict, and exit
 * code 1 where something does not hold. Nothing leaves this machine, and what was made is removed at the end. SIGINT
 * ends it early, with what there is.
 */
import { execFileSync, spawn } from "node:child_process"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { ledger } from "./soak/ledger.mjs"
import { judge, sample } from "./soak/measure.mjs"
import { freePort, ftpServer, httpSink, sleep, sshServer } from "./soak/servers.mjs"

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    rate: { type: "string", default: "20" },
    seed: { type: "string", default: String((Date.now() % 999_999) + 1) },
    kills: { type: "boolean", default: false },
    bin: { type: "string", default: fileURLToPath(new URL("../dist/bin.js", import.meta.url)) },
    dir: { type: "string", default: os.tmpdir() }
  }
})
for (const name of ["minutes", "rate", "seed"]) {
  if (!(Number(values[name]) > 0)) {
    console.error(`--${name} takes a number above 0, not ${values[name]}`)
    process.exit(2)
  }
}
const [minutes, rate] = [Number(values.minutes), Number(values.rate)]
let state = Number(values.seed)
const random = () => {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

const warmUp = Math.min(600_000, minutes * 60_000 * 0.2)

const root = fs.mkdtempSync(path.join(values.dir, "filedispatch-soak-"))
fs.chmodSync(root, 0o755)
const [inbox, out, config, journal] = ["in", "out", "config.yml", "journal.db"].map((name) => path.join(root, name))
for (const folder of [inbox, out]) fs.mkdirSync(folder)
/** `ended`: how the program did, if nobody told it to. */
const run = { isStopping: false, isOver: false, isRestarting: false, ended: null }
process.once("SIGINT", () => {
  run.isStopping = true
})

// The world

let disk = null
try {
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=512m", "filedispatch-soak", out], { stdio: "ignore" })
  disk = {
    fill: () => {
      const file = fs.openSync(path.join(out, ".filler"), "w")
      try {
        for (;;) fs.writeSync(file, Buffer.alloc(2 ** 20))
      } catch {
        // full
      }
      fs.closeSync(file)
    },
    free: () => fs.rmSync(path.join(out, ".filler"), { force: true }),
    remount: (how) => execFileSync("mount", ["-o", `remount,${how}`, out])
  }
} catch {
  console.log("no disk of its own can be mounted here: it is never full nor read-only")
}
const http = await httpSink()
const ftp = await ftpServer(root)
const ssh = await sshServer(root)
for (const [name, server] of Object.entries({ vsftpd: ftp, sshd: ssh })) {
  if (server === undefined) console.log(`no ${name}: not installed, or this is not root`)
}

const apiPort = await freePort()
let edits = 0
const writeConfig = () => {
  const folders = [
    `path: "${out}", concurrency: ${2 + (edits % 3)}`,
    `path: "${http.url}", upload: raw, method: PUT, concurrency: ${4 + (edits % 3)}`,
    ...[ftp, ssh].flatMap((server) => (server === undefined ? [] : [`${server.line}, concurrency: 3`]))
  ]
  const lines = [
    `sources: [{ path: "${inbox}", settle: 100ms, recursive: true, after: delete, rescan: 30s }]`,
    "folders:",
    ...folders.map((folder) => `  - { ${folder}, retry: { attempts: 100, base: 500ms, cap: 5s } }`),
    "log: { level: WARNING, retain: 1m }",
    `db: "${journal}"`,
    "durability: crash"
  ]
  fs.writeFileSync(config, `${lines.join("\n")}\n`)
}
writeConfig()

// The program

const log = fs.openSync(path.join(root, "log"), "a")
const lives = []
let child
let ended
const start = () => {
  child = spawn(process.execPath, [values.bin, "-c", config, "-P", String(apiPort), "--no-monitor"], {
    stdio: ["ignore", "ignore", log],
    // a SIGINT from the terminal is for this script alone
    detached: true
  })
  const mine = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })))
  ended = mine
  void mine.then((end) => {
    if (!run.isOver && !run.isRestarting) run.ended = end
  })
  lives.push([])
}
const restart = async (signal) => {
  run.isRestarting = true
  child.kill(signal)
  const end = await ended
  if (signal === "SIGTERM" && end.code !== 0) complain(`it ended with ${end.code ?? end.signal} when it was told to`)
  run.isRestarting = false
  start()
}
const fetched = (where) => fetch(`http://127.0.0.1:${apiPort}${where}`, { signal: AbortSignal.timeout(10_000) })
const ask = async (where) => {
  try {
    return await (await fetched(where)).json()
  } catch {
    return undefined
  }
}
const open = ["PENDING", "SENDING", "STAGED", "PUBLISHING", "RETRY_WAIT", "BLOCKED"]
const deliveries = async () => {
  const lanes = await ask("/api/v1/destinations")
  if (lanes === undefined) return undefined
  const count = (states) =>
    lanes.reduce((sum, { waiting }) => sum + states.reduce((all, name) => all + (waiting[name] ?? 0), 0), 0)
  return { waiting: count(open), given: count(["DEAD", "AMBIGUOUS", "CANCELLED"]) }
}

// What goes in, and what comes out

const targets = [["folder", out], ...(ftp ? [["FTP", ftp.data]] : []), ...(ssh ? [["SFTP", ssh.data]] : [])]
const places = targets.length + 1
const { check, complain, complaints, put, totals } = ledger({ root, inbox, targets, http, random })

// Faults, one after the other

const during = async (ms, begin, end) => {
  await begin()
  const until = Date.now() + ms
  while (Date.now() < until && !run.isOver && !run.isStopping) await sleep(200)
  await end()
}
const down = (server, ms) => () => during(ms, server.stop, server.start)
const mode = (name, ms) => () =>
  during(
    ms,
    () => (http.mode = name),
    () => (http.mode = "fine")
  )
const faults = {
  "HTTP is down": down(http, 20_000),
  "HTTP answers 503": mode("503", 15_000),
  "HTTP cuts connections": mode("cut", 10_000),
  ...(ftp && { "FTP is down": down(ftp, 20_000), "FTP sessions are cut": async () => ftp.cut() }),
  ...(ssh && { "SFTP is down": down(ssh, 20_000), "SFTP sessions are cut": async () => ssh.cut() }),
  ...(disk && {
    "the disk is full": () => during(15_000, disk.fill, disk.free),
    "the disk is read-only": () =>
      during(
        15_000,
        () => disk.remount("ro"),
        () => disk.remount("rw")
      )
  }),
  "the config changes": async () => {
    edits += 1
    writeConfig()
    child.kill("SIGHUP")
  }
}
const counts = {}
const shake = async () => {
  const names = Object.keys(faults)
  let turn = []
  while (!run.isOver && !run.isStopping) {
    if (turn.length === 0) turn = names.toSorted(() => random() - 0.5)
    const name = turn.pop()
    counts[name] = (counts[name] ?? 0) + 1
    try {
      await faults[name]()
    } catch (error) {
      complain(`the fault "${name}" could not be made: ${error.message}`)
    }
    for (let wait = 5000 + random() * 10_000; wait > 0 && !run.isOver && !run.isStopping; wait -= 200) await sleep(200)
  }
}

// The run

process.once("exit", () => {
  child.kill("SIGKILL")
  ftp?.kill()
  ssh?.kill()
  if (disk !== null) execFileSync("umount", ["-l", out])
  if (process.exitCode === 0) fs.rmSync(root, { recursive: true, force: true })
})
start()
const began = Date.now()
const until = began + minutes * 60_000
const shaking = sleep(5000).then(shake)
let [nextSample, nextLine, nextKill, kills] = [0, began + 60_000, began + 150_000, 0]
let nextRestart = began + Math.min(10, minutes * 0.2) * 60_000
const line = async () => {
  const last = lives.at(-1).at(-1)
  const queue = await deliveries()
  console.log(
    `${String(Math.round((Date.now() - began) / 60_000)).padStart(3)} min: ${totals.files} files in, ${totals.results} ` +
      `results, ${queue?.waiting ?? "?"} waiting; ${last?.rss.toFixed(0)} MiB, ${last?.descriptors} descriptors, ` +
      `${last?.threads} threads, journal ${last?.journal.toFixed(1)} MiB, WAL ${last?.wal.toFixed(1)} MiB`
  )
}
while (Date.now() < until && !run.isStopping && run.ended === null) {
  const due = Math.min(10, Math.floor(((Date.now() - began) / 1000) * rate) - totals.files)
  for (let count = 0; count < due; count++) put()
  if (Date.now() >= nextSample) {
    nextSample = Date.now() + 10_000
    const one = sample(child.pid, journal)
    if (one !== undefined) lives.at(-1).push(one)
    check(false)
  }
  if (Date.now() >= nextLine) {
    nextLine += 60_000
    await line()
  }
  if (values.kills && Date.now() >= nextKill && Date.now() < began + minutes * 30_000) {
    nextKill = Date.now() + 60_000 + random() * 180_000
    await restart("SIGKILL")
    kills += 1
  }
  // old entries are removed a minute after a start, and then hourly: so once under load
  if (nextRestart !== null && Date.now() >= nextRestart) {
    nextRestart = null
    await restart("SIGTERM")
  }
  await sleep(50)
}

// The end: all is well again, and everything is to arrive

run.isStopping = true
await shaking
const last = Date.now() + 300_000
let queue
do {
  await sleep(1000)
  check(false)
  queue = await deliveries()
} while (run.ended === null && Date.now() < last && (queue?.waiting !== 0 || totals.results < totals.files * places))
await sleep(2000)
const temps = check(true)
await line()
const kept = Number((await fetched("/api/v1/logs?limit=1").catch(() => undefined))?.headers.get("x-total-count") ?? NaN)
run.isOver = true
child.kill("SIGTERM")
const end = run.ended ?? (await ended)
const left = fs.readdirSync(inbox, { recursive: true, withFileTypes: true }).filter((one) => one.isFile()).length
const { minutes: measured, rows } = judge(lives, warmUp)

const number = (value) => (value === undefined ? "" : Number.isInteger(value) ? String(value) : value.toFixed(1))
const table = [
  [`over ${measured.toFixed(0)} min`, "least", "median", "most", "trend", "allowed", ""],
  ...rows.map((row) => [
    `${row.name}${row.unit === "" ? "" : `, ${row.unit}`}`,
    ...[row.least, row.median, row.most, row.rises, row.allowed].map(number),
    row.holds ? "" : "RISES"
  ])
]
const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)))
console.log(`\n${table.map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join("  ")).join("\n")}`)
console.log(
  `\nfaults: ${Object.entries(counts)
    .map(([name, count]) => `${name} ${count}×`)
    .join(", ")}; ${kills} kills`
)
const missing = totals.files * places - totals.results
const verdicts = [
  [
    missing === 0,
    `${totals.files} files (${(totals.bytes / 2 ** 20).toFixed(0)} MiB) to ${places} targets each, ${missing} results missing`
  ],
  [
    totals.wrong === 0 && totals.unknown === 0,
    `${totals.wrong} results not whole, ${totals.unknown} that nobody asked for`
  ],
  [left === 0 && temps === 0, `${left} files left in the source, ${temps} temp files left at targets`],
  [
    queue?.waiting === 0 && queue.given === 0,
    `${queue?.waiting ?? "?"} deliveries waiting, ${queue?.given ?? "?"} given up`
  ],
  [kept < totals.results || minutes < 5, `${kept} log entries of ${totals.results} kept: older ones were removed`],
  [end.code === 0, `the program ended with ${end.code ?? end.signal}`],
  [
    rows.every(({ holds }) => holds),
    rows.length === 0 ? "too short for a trend" : "memory, descriptors and threads are flat"
  ]
]
for (const [holds, text] of verdicts) console.log(`${holds ? "holds " : "BROKEN"}  ${text}`)
for (const text of complaints) console.log(`        ${text}`)
const holds = verdicts.every(([holds]) => holds)
console.log(
  `\n${holds ? "All of it holds" : "NOT ALL HOLDS"}: ${((Date.now() - began) / 60_000).toFixed(1)} minutes, seed ${values.seed}`
)
process.exitCode = holds ? 0 : 1

await http.stop()
await ftp?.stop()
await ssh?.stop()
if (!holds) console.log(`what is left to look at is in ${root}`)
