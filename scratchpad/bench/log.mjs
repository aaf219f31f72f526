/**
 * What the log costs and how fast it answers: by hand, after `npm run build`.
 *
 *     node scratchpad/bench/log.mjs [--entries 1000000] [--inserts 200000] [--against OTHER/dist] [--reps 7] [--home DIR]
 *
 * `--inserts` entries are appended in batches of 50, one transaction each, as the dispatcher does it; with `--against` by
 * another build, too, in turns. Then a journal of `--entries` is made, and the daemon over it is asked what the dashboard
 * asks (with `--home` it stays in that folder for the next time): the first page of 100 with a bounded total, and the statistics.
 */
import fs from "node:fs"
import path from "node:path"
import { performance } from "node:perf_hooks"
import { fileURLToPath, pathToFileURL } from "node:url"
import { Effect, Layer } from "effect"
import { daemon, fresh, median, quantile, reps, resident, root, table, values } from "./kit.mjs"

const own = fileURLToPath(new URL("../../dist", import.meta.url))

/** The same every time. */
const generator = () => {
  let seed = 42
  const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
  const any = (list) => list[Math.floor(random() * list.length)]
  // the first ones more often
  const often = (list) => list[Math.floor(random() * random() * list.length)]
  const hex = (digits) => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join("")
  const words =
    "invoice report scan IMG holiday backup contract letter photo export statement order delivery draft final summary meeting notes plan budget".split(
      " "
    )
  const people = "acme müller smith tanaka novak garcia Ågren li petrov jones dubois rossi kim silva Öztürk".split(" ")
  const extensions = "pdf pdf pdf pdf jpg jpg jpg png txt csv xml xml docx xlsx zip mp4 log log json tif".split(" ")
  const targets = ["file:///srv/archive/documents/", "sftp://upload@files.example.org:22/in/"]
    .concat("https://dms.example.org/api/upload/", "ftp://user@ftp.example.org/home/user/")
    .flatMap((url) => ["a", "b", "c"].map((folder) => `${url}${folder}`))
  const first = Date.parse("2025-10-01T00:00:00Z")
  return (n, count) => {
    const time = first + Math.floor((n * 365 * 86_400_000) / count)
    const created = new Date(time).toISOString()
    const rare = random() < 0.0005
    const extension = rare ? "rare" : any(extensions)
    const destination = n < count / 10 && random() < 0.2 ? "file:///srv/old" : often(targets)
    const failed = random() < 0.01
    const protocol = destination.split(":")[0]
    return {
      id: `${time
        .toString(16)
        .padStart(12, "0")
        .replace(/^(.{8})/, "$1-")}-7${hex(3)}-8${hex(3)}-${hex(12)}`,
      filename: `${often(words)}-${created.slice(0, 10)}-${any(people)}-${hex(6)}.${extension}`,
      source: `/srv/inbox/${any(["scans", "mail", "office", "camera"])}`,
      destination,
      extension,
      worker: "File worker",
      protocol,
      status: failed ? "FAILED" : "SUCCEEDED",
      size: "12.00 KB",
      byte_size: Math.floor(Math.exp(random() * 18)),
      reason: failed ? "550 no such directory" : null,
      created,
      file_created: created,
      file_modified: created,
      sha256: hex(64),
      sent_size: null,
      sent_sha256: null,
      verified: "hash",
      route: `folder-${targets.indexOf(destination) % 8}`,
      attempts: 1,
      duration_ms: Math.exp(random() * 6),
      delivery: n + 1
    }
  }
}

/** Appends so many entries to a new database, by that build; milliseconds, and those of the processor. */
const append = async (dist, file, count, batch, { inOne = 1 } = {}) => {
  const load = (name) => import(pathToFileURL(path.join(dist, "store", `${name}.js`)).href)
  const [Database, LogRepoSql, { LogRepo }, ReadSql] = await Promise.all(
    ["Database", "LogRepoSql", "LogRepo", "ReadSql"].map(load)
  )
  const { SqlClient } = await import("@effect/sql")
  const layer = LogRepoSql.layer.pipe(
    Layer.provide(ReadSql.layerDirect),
    Layer.provideMerge(Database.layer({ file, durability: "crash" }))
  )
  const make = generator()
  const program = Effect.gen(function* () {
    const repo = yield* LogRepo
    const sql = yield* SqlClient.SqlClient
    let ms = 0
    let cpu = 0
    let worst = 0
    for (let n = 0; n < count; n += batch * inOne) {
      const batches = Array.from({ length: inOne }, (_, one) =>
        Array.from({ length: Math.max(0, Math.min(batch, count - n - one * batch)) }, (_, m) =>
          make(n + one * batch + m, count)
        )
      )
      const start = performance.now()
      const used = process.cpuUsage()
      yield* sql.withTransaction(Effect.forEach(batches, (entries) => repo.append(entries)))
      const { system, user } = process.cpuUsage(used)
      const took = performance.now() - start
      ms += took
      cpu += (system + user) / 1000
      worst = Math.max(worst, took)
    }
    return { ms, cpu, worst }
  })
  return Effect.runPromise(Effect.scoped(Effect.provide(program, layer)))
}

const bytes = (file) => fs.statSync(file).size

const inserts = async () => {
  const count = Number(values.inserts)
  const builds = [
    ["this build", own],
    ...(values.against === undefined ? [] : [["against", path.resolve(values.against)]])
  ]
  const rows = [["append in batches of 50", "µs an entry", "µs of the processor", "slowest batch ms", "bytes an entry"]]
  const results = new Map(builds.map(([name]) => [name, []]))
  for (let rep = 0; rep < 3; rep++) {
    for (const [name, dist] of builds) {
      const home = fresh("inserts")
      fs.mkdirSync(home)
      const file = path.join(home, "journal.db")
      results.get(name).push({ ...(await append(dist, file, count, 50)), size: bytes(file) })
      fs.rmSync(home, { recursive: true })
    }
  }
  for (const [name, list] of results) {
    const of = (key) => median(list.map((one) => one[key]))
    rows.push([
      name,
      ((of("ms") * 1000) / count).toFixed(1),
      ((of("cpu") * 1000) / count).toFixed(1),
      of("worst").toFixed(0),
      Math.round(of("size") / count)
    ])
  }
  table(`${count} entries, medians of 3`, rows)
}

const questions = [
  "",
  "status=FAILED",
  "status=SUCCEEDED",
  "destination=file:///srv/archive/documents/a",
  "destination=file:///srv/old",
  "destination=file:///none",
  "route=folder-3",
  "route=",
  "extension=pdf",
  "extension=rare",
  "extension=none",
  "source=/srv/inbox/mail",
  "protocol=sftp",
  "created=2026-03-05",
  "created__gte=2026-09-01",
  "created__lte=2025-10-05",
  "byte_size__gte=1000000",
  "byte_size__gte=65000000",
  "ordering=created",
  "ordering=-byte_size",
  "ordering=-byte_size&extension=pdf",
  "ordering=byte_size&status=FAILED",
  "extension=pdf&status=FAILED",
  "extension=rare&status=FAILED",
  "extension=pdf&route=folder-3",
  "destination=file:///srv/old&extension=pdf",
  "destination=file:///srv/archive/documents/a&created=2026-03-05",
  "search=i",
  "search=in",
  "search=inv",
  "search=invoice",
  "search=budget",
  "search=2025-10-0",
  "search=rare",
  "search=Müller",
  "search=öztürk",
  "search=a1b2",
  "search=budget-2026-03",
  "search=nothing like it",
  "search=.pdf",
  "search=invoice&status=FAILED",
  "search=invoice&extension=pdf",
  "search=budget&route=folder-3&extension=csv",
  "search=qz",
  "filename=nothing.pdf"
]

const statistics = [
  "stats?interval=day",
  "stats?interval=month",
  "stats/folders?interval=day",
  "stats/extensions?interval=day",
  "stats/times?interval=day",
  "stats/times?interval=month&from=2026-03-01&to=2026-05-31"
]

const answers = async () => {
  const count = Number(values.entries)
  const home = values.home === undefined ? fresh("log") : path.resolve(values.home)
  for (const folder of ["in", "out"]) fs.mkdirSync(path.join(home, folder), { recursive: true })
  const file = path.join(home, "journal.db")
  if (!fs.existsSync(file)) {
    const made = await append(own, file, count, 50, { inOne: 200 })
    console.log(`\n${count} entries made in ${(made.ms / 1000).toFixed(0)} s, ${(bytes(file) / 1e6).toFixed(0)} MB`)
  }
  const one = await daemon({
    source: path.join(home, "in"),
    target: path.join(home, "out"),
    home,
    // none of it is to be forgotten meanwhile
    rest: "log: { retain: 3650d }\n"
  })
  try {
    await one.ready()
    const rows = [["question", "median ms", "95th", "first", "entries", "total"]]
    const ask = async (where, describe) => {
      const times = []
      let said = []
      for (let rep = 0; rep < Math.max(reps, 7); rep++) {
        const start = performance.now()
        const answer = await one.ask(`/api/v1/${where}`)
        const body = await answer.json()
        times.push(performance.now() - start)
        if (answer.status !== 200) throw new Error(`${where}: ${JSON.stringify(body)}`)
        said = [body.length, answer.headers.get("x-total-count") ?? ""]
      }
      rows.push([describe, median(times).toFixed(1), quantile(times, 0.95).toFixed(1), times[0].toFixed(1), ...said])
      return times
    }
    const medians = []
    const all = []
    for (const question of questions) {
      const params = question
        .split("&")
        .filter((one) => one !== "")
        .map((one) => one.replace(/=(.*)$/, (_, value) => `=${encodeURIComponent(value)}`))
      const times = await ask(`logs?${[...params, "limit=100", "total=bounded"].join("&")}`, question || "(no filter)")
      medians.push(median(times))
      all.push(...times)
    }
    for (const where of statistics) await ask(where, where)
    table(`Over HTTP, ${count} entries, first page of 100, bounded total`, rows)
    console.log(
      `\nfilters and searches: median ${median(medians).toFixed(1)} ms of their medians, 95th of all ${quantile(all, 0.95).toFixed(1)} ms; ` +
        `${medians.filter((ms) => ms <= 100).length} of ${medians.length} within 100 ms`
    )
    const before = resident(one.pid)
    const start = performance.now()
    let most = before
    let length = 0
    for await (const chunk of (await one.ask("/api/v1/logs/export?format=csv")).body) {
      length += chunk.length
      most = Math.max(most, resident(one.pid))
    }
    console.log(
      `export of all as CSV: ${(length / 1e6).toFixed(0)} MB in ${((performance.now() - start) / 1000).toFixed(1)} s; resident ${before.toFixed(0)} MiB before, ${most.toFixed(0)} at most`
    )
  } finally {
    await one.stop()
  }
}

try {
  if (Number(values.inserts) > 0) await inserts()
  if (Number(values.entries) > 0) await answers()
} finally {
  fs.rmSync(root, { recursive: true, force: true })
}
