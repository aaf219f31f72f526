/**
 * What all benchmarks share: options, folders, the daemon as a process, medians, tables and goals.
 */
import { spawn, spawnSync } from "node:child_process"
import fs from "node:fs"
import net from "node:net"
import os from "node:os"
import path from "node:path"
import { performance } from "node:perf_hooks"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import Database from "better-sqlite3"

export const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    reps: { type: "string", default: "3" },
    dir: { type: "string", default: os.tmpdir() },
    files: { type: "string", default: "10000" },
    waiting: { type: "string", default: "100000" },
    large: { type: "string", default: "1024" },
    small: { type: "string", default: "1000" },
    entries: { type: "string", default: "1000000" },
    inserts: { type: "string", default: "200000" },
    against: { type: "string" },
    home: { type: "string" },
    protocol: { type: "string", multiple: true }
  }
})
export const reps = Number(values.reps)
export const files = Number(values.files)
export const waiting = Number(values.waiting)
export const largeMiB = Number(values.large)
export const wants = (name) => values.only === undefined || values.only.includes(name)

const bin = fileURLToPath(new URL("../../dist/bin.js", import.meta.url))
export const root = fs.mkdtempSync(path.join(values.dir, "filedispatch-bench-"))
let last = 0
export const fresh = (name) => path.join(root, `${name}-${(last += 1)}`)

// Helpers

export const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]
export const quantile = (list, q) =>
  list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))]
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
export const has = (command) => spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0
export const freePort = () =>
  new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

export const table = (title, rows) => {
  console.log(`\n${title}`)
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)))
  for (const row of rows) console.log("  " + row.map((cell, column) => String(cell).padEnd(widths[column])).join("  "))
}

export const goals = []
export const goal = (what, value, holds) => goals.push([what, value, holds ? "reached" : "MISSED"])

export const waitFor = async (test, every, limit, what) => {
  const end = performance.now() + limit
  while (!(await test())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${limit / 1000} s`)
    await sleep(every)
  }
}

/** Starts the daemon; answers how to ask it and how to stop it. */
export const daemon = async ({
  source,
  target,
  settle = "0s",
  durability = "crash",
  extra = "",
  recursive = false,
  env = {},
  home = fresh("daemon"),
  rest = ""
}) => {
  fs.mkdirSync(home, { recursive: true })
  const config = path.join(home, "config.yml")
  fs.writeFileSync(
    config,
    `sources: [{ path: ${JSON.stringify(source)}, settle: ${settle}, recursive: ${recursive} }]\nfolders: [{ path: ${JSON.stringify(target)} ${extra} }]\n` +
      `db: ${JSON.stringify(path.join(home, "journal.db"))}\ndurability: ${durability}\n${rest}`
  )
  const entries = logCount(path.join(home, "journal.db"))
  const port = await freePort()
  const started = performance.now()
  const child = spawn(
    process.execPath,
    [bin, "-c", config, "-P", String(port), "--no-monitor", "--log-level", "ERROR"],
    {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, ...env }
    }
  )
  const ended = new Promise((resolve) => child.once("exit", resolve))
  const ask = async (where) => {
    try {
      return await fetch(`http://127.0.0.1:${port}${where}`)
    } catch {
      return undefined
    }
  }
  return {
    started,
    pid: child.pid,
    url: `http://127.0.0.1:${port}`,
    ask,
    ready: () => waitFor(async () => (await ask("/readyz"))?.status === 200, 5, 120_000, "the daemon's start"),
    // from the database: to ask the daemon would be work for it
    logged: entries.read,
    stop: async () => {
      entries.close()
      child.kill("SIGTERM")
      await ended
    }
  }
}

/** How many entries the log has, as far as is committed; `close` lets go of the database. */
const logCount = (file) => {
  let database
  let statement
  return {
    read: () => {
      try {
        database ??= new Database(file, { readonly: true, fileMustExist: true })
        statement ??= database.prepare("SELECT count(*) AS entries FROM logs")
        return statement.get().entries
      } catch (error) {
        // not there yet, or without its tables
        if (error.code === "SQLITE_CANTOPEN" || /no such table/.test(error.message)) return 0
        throw error
      }
    },
    close: () => database?.close()
  }
}

export const resident = (pid) => {
  const line = fs.readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/)
  return line === null ? 0 : Number(line[1]) / 1024
}

export const command = (name, args) => async () => {
  const start = performance.now()
  const { status } = spawnSync(name, args(), { stdio: "ignore" })
  if (status !== 0) throw new Error(`${name} failed`)
  return performance.now() - start
}

export const measure = async (contestants) => {
  const times = new Map(contestants.map(([name]) => [name, []]))
  for (let rep = 0; rep < reps; rep++) {
    for (const [name, run] of contestants) {
      // nobody pays for what the one before has left to be written
      spawnSync("sync")
      times.get(name).push(await run())
    }
  }
  return new Map(Array.from(times, ([name, list]) => [name, median(list)]))
}
