/**
 * `npm run bench`: the whole daemon against a floor and its peers, in one run, on data it makes itself.
 *
 *   node scratchpad/bench.mjs [--only small|large|delay|memory|network|huge|route] [--reps 3] [--dir DIR] [--files 10000] [--small 1000] [--protocol SFTP]
 *
 * Compare the ratios, not the values: they are medians of repetitions that take turns, each in fresh folders. The
 * floor is what Node does with no daemon around it: read, write to a temp name, rename, 32 files at once; for
 * `durability: power` each file is synced and the folder after every 64. Nothing leaves this machine, and everything
 * that was made is removed at the end.
 */
import { randomBytes } from "node:crypto"
import fs from "node:fs"
import fsp from "node:fs/promises"
import os from "node:os"
import path from "node:path"
import { performance } from "node:perf_hooks"
import {
  command,
  daemon,
  files,
  fresh,
  freePort,
  goal,
  goals,
  has,
  largeMiB,
  measure,
  median,
  quantile,
  reps,
  resident,
  root,
  sleep,
  table,
  values,
  waitFor,
  waiting,
  wants
} from "./bench/kit.mjs"
import { huge, network } from "./bench/network.mjs"
import { route } from "./bench/route.mjs"

// The floor

const floorSmall = async (from, to, sync) => {
  fs.mkdirSync(to)
  const names = fs.readdirSync(from)
  let next = 0
  let unsynced = 0
  const syncFolder = async () => {
    const folder = await fsp.open(to)
    await folder.sync()
    await folder.close()
  }
  const work = async () => {
    while (next < names.length) {
      const name = names[next++]
      const data = await fsp.readFile(path.join(from, name))
      const temp = path.join(to, `.${name}.part`)
      const file = await fsp.open(temp, "wx")
      await file.writeFile(data)
      if (sync) await file.sync()
      await file.close()
      await fsp.rename(temp, path.join(to, name))
      if (sync && ++unsynced % 64 === 0) await syncFolder()
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: 32 }, work))
  if (sync) await syncFolder()
  return performance.now() - start
}

const floorLarge = async (from, to, sync) => {
  const start = performance.now()
  await fsp.copyFile(from, to)
  if (sync) {
    const file = await fsp.open(to, "r+")
    await file.sync()
    await file.close()
  }
  return performance.now() - start
}

/** Milliseconds from its start until all is delivered and committed, less what it takes to start with nothing to do. */
const through = async (options, count) => {
  const one = await daemon(options)
  await waitFor(async () => (await one.logged()) >= count, 20, 300_000, "the deliveries")
  const total = performance.now() - one.started
  await one.stop()
  return total
}

const startUp = async () => {
  const source = fresh("empty")
  fs.mkdirSync(source)
  const one = await daemon({ source, target: fresh("target") })
  await one.ready()
  const total = performance.now() - one.started
  await one.stop()
  return total
}

// The measurements

const small = async () => {
  const source = fresh("small")
  fs.mkdirSync(source)
  const block = randomBytes(4096)
  for (let index = 0; index < files; index++) {
    block.writeUInt32LE(index, 0)
    fs.writeFileSync(path.join(source, `file-${index}.dat`), block)
  }
  await floorSmall(source, fresh("warm"), false)
  const result = await measure([
    ["start-up, nothing to do", startUp],
    ["floor: Node, temp + rename, 32 at once", () => floorSmall(source, fresh("floor"), false)],
    ["filedispatch, durability: crash", () => through({ source, target: fresh("out") }, files)],
    ["floor, synced", () => floorSmall(source, fresh("floor"), true)],
    ["filedispatch, durability: power", () => through({ source, target: fresh("out"), durability: "power" }, files)],
    ...(has("cp") ? [["cp -r", command("cp", () => ["-r", source, fresh("cp")])]] : []),
    ...(has("rsync") ? [["rsync -a", command("rsync", () => ["-a", `${source}/`, fresh("rsync")])]] : []),
    ...(has("rclone") ? [["rclone copy", command("rclone", () => ["copy", source, fresh("rclone")])]] : [])
  ])
  const start = result.get("start-up, nothing to do")
  const net = (name) => Math.max(1, result.get(name) - (name.startsWith("filedispatch") ? start : 0))
  const rate = (name) => (files / net(name)) * 1000
  const rows = [["", "ms", "files/s", "of the floor"]]
  for (const name of result.keys()) {
    const synced = name.includes("power") || name.includes("synced")
    const floor = net(synced ? "floor, synced" : "floor: Node, temp + rename, 32 at once")
    rows.push(
      name === "start-up, nothing to do"
        ? [name, start.toFixed(0), "", ""]
        : [name, result.get(name).toFixed(0), rate(name).toFixed(0), (floor / net(name)).toFixed(2)]
    )
  }
  table(`${files} files of 4 KiB to a local target (filedispatch: rate and ratio without its start-up)`, rows)
  const crash = rate("filedispatch, durability: crash")
  const ratio = crash / rate("floor: Node, temp + rename, 32 at once")
  const power = rate("filedispatch, durability: power") / rate("floor, synced")
  goal("small files, crash: at least 0.6 of the floor", ratio.toFixed(2), ratio >= 0.6)
  goal("small files, power: at least 0.6 of the synced floor", power.toFixed(2), power >= 0.6)
  if (result.has("rclone copy")) {
    const times = crash / rate("rclone copy")
    goal("small files, crash: above rclone copy", `${times.toFixed(2)} times`, times > 1)
  }
}

const large = async () => {
  const folder = fresh("large")
  fs.mkdirSync(folder)
  const source = path.join(folder, "large.bin")
  const file = fs.openSync(source, "w")
  const block = randomBytes(1024 * 1024)
  for (let index = 0; index < largeMiB; index++) fs.writeSync(file, block)
  fs.fsyncSync(file)
  fs.closeSync(file)

  /** A daemon that runs already gets the file by a rename; from then until its name appears at the target. */
  const delivered = (durability) => async () => {
    const inbox = fresh("inbox")
    const target = fresh("out")
    fs.mkdirSync(inbox)
    fs.mkdirSync(target)
    const staged = fresh("staged")
    fs.linkSync(source, staged)
    const one = await daemon({ source: inbox, target, durability })
    await one.ready()
    const seen = new Promise((resolve) => {
      const watcher = fs.watch(target, (_, name) => {
        if (name !== "large.bin") return
        watcher.close()
        resolve()
      })
    })
    const start = performance.now()
    fs.renameSync(staged, path.join(inbox, "large.bin"))
    await seen
    const total = performance.now() - start
    await waitFor(async () => (await one.logged()) === 1, 20, 60_000, "the log entry")
    await one.stop()
    fs.rmSync(target, { recursive: true })
    return total
  }
  const gone = async (to, run) => {
    const time = await run(to)
    fs.rmSync(to, { recursive: true })
    return time
  }
  const result = await measure([
    ["floor: fs.copyFile", () => gone(fresh("floor"), (to) => floorLarge(source, to, false))],
    ["filedispatch, durability: crash", delivered("crash")],
    ["floor: fs.copyFile and fsync", () => gone(fresh("floor"), (to) => floorLarge(source, to, true))],
    ["filedispatch, durability: power", delivered("power")],
    ...(has("cp") ? [["cp", () => gone(fresh("cp"), (to) => command("cp", () => [source, to])())]] : []),
    ...(has("rsync")
      ? [["rsync -a", () => gone(fresh("rsync"), (to) => command("rsync", () => ["-a", source, to])())]]
      : []),
    ...(has("rclone")
      ? [["rclone copyto", () => gone(fresh("rclone"), (to) => command("rclone", () => ["copyto", source, to])())]]
      : [])
  ])
  const rows = [["", "ms", "MB/s", "of the floor"]]
  for (const [name, time] of result) {
    const floor = result.get(
      name.includes("power") || name.includes("fsync") ? "floor: fs.copyFile and fsync" : "floor: fs.copyFile"
    )
    rows.push([name, time.toFixed(0), ((largeMiB * 1.048576 * 1000) / time).toFixed(0), (floor / time).toFixed(2)])
  }
  table(
    `One file of ${largeMiB} MiB to a local target (filedispatch: from its rename into the source to its name at the target)`,
    rows
  )
  for (const [durability, floor] of [
    ["crash", "floor: fs.copyFile"],
    ["power", "floor: fs.copyFile and fsync"]
  ]) {
    const ratio = result.get(floor) / result.get(`filedispatch, durability: ${durability}`)
    goal(`large file, ${durability}: at least 0.9 of fs.copyFile`, ratio.toFixed(2), ratio >= 0.9)
  }
}

const delay = async () => {
  const settle = 300
  const inbox = fresh("inbox")
  const target = fresh("out")
  fs.mkdirSync(inbox)
  fs.mkdirSync(target)
  const rows = [["", "median ms", "99th ms"]]
  for (const durability of ["crash", "power"]) {
    const one = await daemon({ source: inbox, target, settle: `${settle}ms`, durability })
    await one.ready()
    const delays = []
    const waits = new Map()
    const watcher = fs.watch(target, (_, name) => waits.get(name)?.(performance.now()))
    for (let index = 0; index < 60; index++) {
      const name = `${durability}-${index}.txt`
      const seen = new Promise((resolve) => waits.set(name, resolve))
      const temp = fs.openSync(path.join(inbox, name), "w")
      fs.writeSync(temp, "hello")
      fs.closeSync(temp)
      const closed = performance.now()
      delays.push((await seen) - closed - settle)
      await sleep(10 + Math.random() * 40)
    }
    watcher.close()
    await one.stop()
    rows.push([`durability: ${durability}`, median(delays).toFixed(1), quantile(delays, 0.99).toFixed(1)])
    goal(
      `from close to delivered beyond settle, ${durability}: within 50 ms`,
      `${median(delays).toFixed(1)} ms`,
      median(delays) <= 50
    )
  }
  table("From the close of a file to its name at the target, beyond settle (60 files, one after the other)", rows)
}

const memory = async () => {
  const source = fresh("waiting")
  fs.mkdirSync(source)
  for (let index = 0; index < waiting; index++)
    fs.writeFileSync(path.join(source, `a-file-that-waits-${index}.dat`), "x")
  const rows = [["", "resident MiB", "peak MiB", "first attempt or all seen, s"]]
  const watch = async (name, options, done) => {
    const one = await daemon({ source, ...options })
    let peak = 0
    const state = { settling: 0, accepted: 0, attempted: false }
    let first
    await waitFor(
      async () => {
        peak = Math.max(peak, resident(one.pid))
        const sources = await (await one.ask("/api/v1/sources"))?.json()
        const lanes = await (await one.ask("/api/v1/destinations"))?.json()
        state.settling = sources?.[0]?.settling ?? 0
        state.accepted = sources?.[0]?.accepted ?? 0
        state.attempted ||= lanes?.some((lane) => lane.health === "down") ?? false
        if (first === undefined && (state.attempted || state.settling >= waiting))
          first = performance.now() - one.started
        return done(state)
      },
      50,
      300_000,
      name
    )
    await sleep(3000)
    const now = resident(one.pid)
    peak = Math.max(peak, now)
    await one.stop()
    rows.push([name, now.toFixed(0), peak.toFixed(0), (first / 1000).toFixed(1)])
    goal(`${waiting} waiting, ${name}: under 250 MiB`, `${now.toFixed(0)} MiB (peak ${peak.toFixed(0)})`, now < 250)
    goal(`${waiting} present, ${name}: ready to deliver within 5 s`, `${(first / 1000).toFixed(1)} s`, first < 5000)
  }
  const port = await freePort()
  await watch(
    "in the journal, target down",
    { target: `http://127.0.0.1:${port}/`, settle: "1s" },
    ({ accepted }) => accepted >= waiting
  )
  await watch("in settle", { target: fresh("out"), settle: "1h" }, ({ settling }) => settling >= waiting)
  table(`${waiting} files present at start, waiting`, rows)
}

console.log(
  `filedispatch bench: Node ${process.version}, ${os.cpus().length} processors, medians of ${reps}, in ${values.dir}`
)
try {
  if (wants("small")) await small()
  if (wants("large")) await large()
  if (wants("delay")) await delay()
  if (wants("memory")) await memory()
  if (wants("network")) await network()
  if (wants("huge")) await huge()
  if (wants("route")) await route()
  table("Goals", [["goal", "measured", ""], ...goals])
} finally {
  fs.rmSync(root, { recursive: true, force: true })
}
