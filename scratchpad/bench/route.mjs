/**
 * The router alone, from src, without the daemon around it: what a file costs with 10 and with 1,000 folders, how many
 * files a second are matched by their names, and what stays in memory of a file that was routed.
 *
 * Each file belongs to one folder. The ratio is that of the same files, which belong to the first ten folders, with and
 * without 990 others; `spread` are files of all of them, where each folder is one that was not asked for long, and the
 * processor's caches count. Bytes come from memory, so that no reading hides what the rules cost.
 */
import path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { build } from "esbuild"
import { goal, median, reps, root, table } from "./kit.mjs"

const load = async () => {
  const out = path.join(root, "router.mjs")
  await build({
    stdin: {
      contents: `export * as Router from "./route/Router.ts"; export { Effect } from "effect"`,
      resolveDir: fileURLToPath(new URL("../../src", import.meta.url))
    },
    outfile: out,
    bundle: true,
    format: "esm",
    platform: "node",
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);'
    },
    logLevel: "error"
  })
  return import(pathToFileURL(out).href)
}

const now = Date.UTC(2026, 0, 1)
const day = 86_400_000

const target = (url) => ({
  target: {
    url,
    scheme: "file",
    lane: "file:/",
    host: "",
    port: null,
    username: null,
    path: url,
    options: { names: "strict", transform: null }
  },
  secrets: { headers: [] },
  bandwidth: { target: null, lane: null },
  rename: "{relpath}"
})

const folder = (index, more) => ({
  name: `f${index}`,
  extensions: undefined,
  rules: [],
  otherwise: false,
  priority: 0,
  order: "arrival",
  targets: [target(`/out/f${index}`)],
  ...more
})

const glob = (...globs) => ({ _tag: "Glob", globs })
const file = (name, more) => ({
  path: name,
  stamp: "1:1:1:1:1",
  size: 5000,
  mtime: now - 10 * day,
  born: now,
  mime: "text/plain",
  text: "",
  ...more
})

/** Kinds of folders, by names alone, each with the files that belong to it. `id` tells folders of a kind apart. */
const byName = [
  (id) => [{ extensions: [`e${id}`, `x${id}`] }, (n) => file(`some/place/file-${n}.e${id}`)],
  (id) => [{ extensions: ["pdf"], rules: [glob(`dept-${id}/**`)] }, (n) => file(`dept-${id}/2026/letter ${n}.pdf`)],
  (id) => [{ rules: [glob(`**/report-${id}-*.csv`)] }, (n) => file(`weekly/report-${id}-${n}.csv`)],
  (id) => [
    { rules: [{ _tag: "Regex", pattern: `^invoice-${id}-(?P<nr>\\d+)\\.pdf$` }] },
    (n) => file(`in/invoice-${id}-${n}.pdf`)
  ],
  (id) => [
    { rules: [glob(`**/*.{a${id},b${id}}`), { _tag: "Exclude", globs: ["**/draft-*"] }] },
    (n) => file(`x/final ${n}.a${id}`)
  ],
  (id) => [
    { rules: [{ _tag: "Any", rules: [{ _tag: "Extensions", extensions: [`o${id}`] }, glob(`other-${id}/*`)] }] },
    (n) => file(`other-${id}/thing ${n}.bin`)
  ],
  (id) => [
    { extensions: [`n${id}`], rules: [{ _tag: "Not", rule: { _tag: "Regex", pattern: "(?i)copy" } }] },
    (n) => file(`deep/er/and/deeper/original ${n}.n${id}`)
  ]
]

/** And by sizes, times and bytes. */
const byAll = [
  ...byName.slice(0, 5),
  (id) => [
    { extensions: ["iso", "img"], rules: [glob(`disk-${id}*`), { _tag: "Size", min: 1000, max: null }] },
    (n) => file(`disk-${id} ${n}.iso`)
  ],
  (id) => [{ extensions: [`t${id}`], rules: [{ _tag: "Age", min: day, max: null }] }, (n) => file(`old ${n}.t${id}`)],
  (id) => [
    { rules: [{ _tag: "Mime", types: [`image/x-${id}`] }] },
    (n) => file(`photo ${n}`, { mime: `image/x-${id}` })
  ],
  (id) => [
    { rules: [{ _tag: "Content", text: `order number ${id}.`, pattern: null, within: 65_536 }] },
    (n) => file(`letter ${n}.txt`, { text: `${prose} Order Number ${id}. ${prose}` })
  ],
  (id) => [
    { rules: [{ _tag: "Content", text: null, pattern: `client: (?P<client>c-${id}-\\w+)`, within: 65_536 }] },
    (n) => file(`scan ${n}.txt`, { text: `${prose} client: c-${id}-acme ${prose}` })
  ]
]

const prose = "The quick brown fox jumps over the lazy dog, and invoices are paid within thirty days. ".repeat(20)

/** Microseconds of the processor: what else runs on this machine hardly counts. */
const processor = () => {
  const { system, user } = process.cpuUsage()
  return system + user
}

/** Always the same numbers. */
const random = () => {
  let state = 42
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state / 2_147_483_648
  }
}

const source = { name: "inbox", path: "/in", after: { _tag: "Keep" }, onDead: { _tag: "Keep" } }

const folders = (kinds, count) => Array.from({ length: count }, (_, index) => kinds[index % kinds.length](index + 1000))

const settingsOf = (made) => ({
  routes: made.map(([more], index) => folder(index, more)),
  dispatch: "all",
  sources: [source]
})

/** Files of these folders in any order, each with a name of its own. */
const filesOf = (made, count) => {
  const next = random()
  return Array.from({ length: count }, (_, index) => made[Math.floor(next() * made.length)][1](index))
}

export const route = async () => {
  const { Effect, Router } = await load()
  const bytesOf = ({ mime, text }) => {
    const read = Effect.succeed({ _tag: "Text", text, cut: false })
    return { mime: Effect.succeed(mime), text: () => read, sha256: Effect.succeed("") }
  }
  /** Microseconds a file; each must find its folder. */
  const run = (router, files) => {
    let placed = 0
    const start = processor()
    for (const one of files) {
      const decision = router.route(source, one, now)
      placed += (decision === "read" ? Effect.runSync(router.read(source, one, now, bytesOf(one))) : decision).placed
        .length
    }
    const time = processor() - start
    if (placed !== files.length) throw new Error(`${placed} places for ${files.length} files`)
    return time / files.length
  }
  const compare = (name, kinds, count) => {
    const thousand = folders(kinds, 1000)
    const ten = thousand.slice(0, 10)
    const few = Router.compile(settingsOf(ten))
    const many = Router.compile(settingsOf(thousand))
    const files = filesOf(ten, count)
    const spread = filesOf(thousand, count)
    const runs = [() => run(few, files), () => run(many, files), () => run(many, spread)]
    const times = runs.map(() => [])
    for (let rep = -3; rep < reps * 5; rep++) {
      for (const [index, one] of runs.entries()) {
        const time = one()
        if (rep >= 0) times[index].push(time)
      }
    }
    const [small, large, apart] = times.map(median)
    const rate = Math.round(1e6 / large)
    rows.push([name, small, large, large / small, apart].map((one) => (typeof one === "number" ? one.toFixed(2) : one)))
    rows.at(-1).push(rate.toLocaleString("en"))
    return { ratio: large / small, rate, again: () => run(many, spread), count }
  }

  const rows = [["µs a file", "10 folders", "1,000", "ratio", "1,000, spread", "files/s with 1,000"]]
  const names = compare("by name alone", byName, 50_000)
  const mixed = compare("by name, size, age, type and text", byAll, 5000)
  const bytes = compare("by type and text alone", byAll.slice(-3), 2000)

  setFlagsFromString("--expose-gc")
  const gc = runInNewContext("gc")
  const used = () => {
    gc()
    return process.memoryUsage().heapUsed
  }
  names.again()
  const before = used()
  for (let rep = 0; rep < 20; rep++) names.again()
  const kept = (used() - before) / (20 * names.count)

  table("The router alone, in processor time: each file goes to one folder; bytes come from memory", rows)
  goal("1,000 folders against 10, by name: at most 1.5 times", names.ratio.toFixed(2), names.ratio <= 1.5)
  goal("1,000 folders against 10, mixed matchers: at most 1.5 times", mixed.ratio.toFixed(2), mixed.ratio <= 1.5)
  goal("1,000 folders against 10, by type and text: at most 1.5 times", bytes.ratio.toFixed(2), bytes.ratio <= 1.5)
  goal(
    "by name alone, 1,000 folders: at least 200,000 files/s",
    `${names.rate.toLocaleString("en")} files/s`,
    names.rate >= 200_000
  )
  goal("memory kept of a routed file: none", `${kept.toFixed(2)} bytes`, kept < 1)
}
