/**
 * The kill loop: the built program, killed with SIGKILL at random moments and started again, while files arrive, to real
 * servers, under oracles that never look away.
 *
 * Which files, how large, and when it is killed comes from the seed; what the program had got to by then is its own.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { list, project, random } from "../e2e/project.ts"
import { readJournal, type Journal } from "./journalCopy.ts"
import { outcomeOf, type Outcome } from "./killOutcome.ts"
import { absent, names, present, startTargets, type Kind } from "./killTargets.ts"
import { refused, startOracles, type Oracles, type Place } from "./oracles.ts"
import { long, seed, tried } from "./report.ts"
import { makeWriter, type Writer } from "./writer.ts"

/** In all; more, for a longer look. */
const allKills = Number(process.env["FILEDISPATCH_KILLS"] ?? (long ? 1000 : 100))

vi.setConfig({ testTimeout: Math.max(1_200_000, allKills * 12_000) })

interface Variant {
  readonly what: string
  /** What becomes of the sources, as the config has it. */
  readonly after: string
  readonly kinds: ReadonlyArray<Kind>
  /** Keys that all targets have. */
  readonly keys: string
  /** Its share of the kills, in percent. */
  readonly share: number
  /** Whether files are replaced by newer versions: where a target overwrites. */
  readonly replaces: boolean
}

const deleted = "after: delete"
const archived = 'after: { archive: "$DIR/done/{relpath}" }'
const far: ReadonlyArray<Kind> = ["folder", "http", "ftp", "sftp"]
// so that large files take some time
const paced = "bandwidth: 20MiB/s"

const variants: ReadonlyArray<Variant> = [
  { what: "kept", after: "after: keep", kinds: far, keys: paced, share: 18, replaces: true },
  { what: "deleted", after: deleted, kinds: far, keys: paced, share: 20, replaces: true },
  {
    what: "archived, nothing overwritten",
    after: archived,
    kinds: ["folder", "ftp", "sftp"],
    keys: "conflict: rename",
    share: 16,
    replaces: false
  },
  { what: "moved", after: deleted, kinds: ["folder"], keys: "conflict: overwrite", share: 12, replaces: true },
  {
    what: "moved, nothing overwritten",
    after: deleted,
    kinds: ["folder"],
    keys: "conflict: rename",
    share: 8,
    replaces: false
  },
  {
    what: "deleted, compressed and encrypted on the way",
    after: deleted,
    kinds: ["gzip", "age"],
    keys: paced,
    share: 9,
    replaces: true
  },
  { what: "deleted", after: deleted, kinds: ["webdav", "s3"], keys: "", share: 9, replaces: true },
  {
    what: "deleted, or moved where one target refuses them",
    after: `${deleted}, onDead: { move: "$DIR/failed/{relpath}" }`,
    kinds: ["folder", "http"],
    keys: paced,
    share: 8,
    replaces: false
  }
]

/** The quiet times of the two sources, in milliseconds. */
const settles = [20, 400] as const

/** Two or three programs at once keep two cores busy; more would be a test of the machine. */
const places = Effect.unsafeMakeSemaphore(3)

describe.concurrent(`killed at any moment (seed ${seed})`, () => {
  for (const [index, variant] of variants.entries()) {
    const kinds = present(variant.kinds)
    const kills = Math.ceil((allKills * variant.share) / 100)
    const to = variant.kinds.map((kind) => names[kind]).join(", ")
    it.scopedLive.skipIf(kinds.length === 0)(`${variant.what}: to ${to}, ${kills} times${absent(variant.kinds)}`, () =>
      killed(variant, kinds, kills, seed + index).pipe(Effect.scoped, places.withPermits(1))
    )
  }
})

const killed = Effect.fn("killed")(function* (
  variant: Variant,
  kinds: ReadonlyArray<Kind>,
  kills: number,
  seed: number
) {
  const next = random(seed)
  const base = yield* project()
  const oracles = yield* startOracles
  const { config, directory } = base
  const { identity, targets } = yield* startTargets(kinds, oracles, directory)
  const beside = (name: string) => join(directory, name)
  const sources = [beside("in0"), beside("in1")] as const
  const kept = variant.after === "after: keep"
  const refuses = variant.after.includes("onDead")
  const plain = { suffix: "", decode: "none" } as const
  const done: Place = { ...plain, name: "the archive", at: { folder: beside("done") }, holds: "all" }
  const failed: Place = { ...plain, name: "the folder of failures", at: { folder: beside("failed") }, holds: "refused" }
  const places = [
    ...targets.map(({ place }) => place),
    ...(variant.after === archived ? [done] : []),
    ...(refuses ? [failed] : [])
  ]
  fs.rmdirSync(base.inbox)
  for (const folder of [...sources, beside("desk")]) fs.mkdirSync(folder)
  fs.writeFileSync(beside("manifest"), "")
  const lines = [
    "sources:",
    ...sources.map((path, at) => `  - { path: ${path}, recursive: true, settle: ${settles[at]}ms, ${variant.after} }`),
    "folders:",
    ...targets.map(({ keys }) => `  - { ${[keys, variant.keys].filter((part) => part !== "").join(", ")} }`),
    "db: ./journal.db"
  ]
  fs.writeFileSync(config, lines.join("\n").replaceAll("$DIR", directory))
  yield* oracles.watch({
    manifest: beside("manifest"),
    identity,
    sources: sources.map((folder) => ({ folder, kept })),
    places
  })
  const writer = makeWriter({
    scope: yield* Effect.scope,
    seed,
    random: next,
    manifest: beside("manifest"),
    desk: beside("desk"),
    sources,
    settle: settles[1],
    replaces: variant.replaces,
    mark: refuses ? { text: refused, share: 0.3 } : null
  })

  const counts = yield* killAgain({
    config,
    directory,
    kills,
    next,
    oracles,
    writer,
    moves: kinds.every((kind) => kind === "folder")
  })
  yield* writer.rest

  const rest = yield* base.once
  const facts = { writer, journal: readJournal(directory), directory, sources, kept, places, targets: targets.length }
  const report = yield* oracles.report
  const { deliveries, entries } = facts.journal
  const outcome = outcomeOf({ ...facts, report })
  expect(outcome).toEqual(nothing)
  expect(refuses ? [0, 1] : [0], rest.stderr).toContain(rest.code)

  // that was all: nothing is touched once more
  const folders = places.flatMap(({ at }) => (typeof at === "string" ? [] : [at.folder]))
  const before = statsOf(folders)
  const again = yield* base.once
  expect(again.code, again.stderr).toBe(0)
  expect(statsOf(folders)).toEqual(before)
  expect(readJournal(directory).entries).toBe(entries)
  const end = yield* oracles.report
  expect([end.puts, end.violations]).toEqual([report.puts, []])

  // or it has shown nothing
  expect(counts.inDelivery + counts.inRecovery).toBeGreaterThanOrEqual(Math.floor(kills / 5))
  const replaced = Array.from(writer.files.values()).filter(({ version }) => version > 1).length
  const happened =
    `${writer.files.size} files, ${replaced} of them replaced, each at each target once and whole; ` +
    `${counts.inDelivery} kills in the middle of a delivery, ${counts.inRecovery} in that of a recovery; ` +
    `${deliveries.length} deliveries, each logged once; ${end.sightings} files judged as they appeared, ` +
    `${end.gone} sources as they went; seed ${seed}`
  const what = `killed ${counts.kills} times: files that are ${variant.what}, to ${kinds.map((kind) => names[kind]).join(", ")}`
  tried({
    section: "kill",
    what,
    happened,
    counts: { kills: counts.kills, files: writer.files.size, lost: 0, partial: 0, duplicates: 0, temps: 0 }
  })
})

const nothing: Outcome = { partial: [], unknown: [], early: [], lost: [], duplicates: [], temps: [], journal: [] }

interface Loop {
  readonly config: string
  readonly directory: string
  readonly kills: number
  readonly next: () => number
  readonly oracles: Oracles
  readonly writer: Writer
  /** Whether files are moved to where they belong, and none is copied. */
  readonly moves: boolean
}

/** Starts the program, has files arrive, and kills it, so many times. */
const killAgain = Effect.fn("killAgain")(function* ({ config, directory, kills, moves, next, oracles, writer }: Loop) {
  const counts = { kills: 0, inDelivery: 0, inRecovery: 0, atRest: 0, slow: 0 }
  /** How long it takes to get to its work, as last measured. */
  let startUp = 700
  let wasAtWork = false
  // a move takes no time, so there are more of them, and less time to let pass
  const crowd = moves ? 4 : 1
  while (counts.kills < kills) {
    // all that chance decides is decided first, so that it is the same whatever the program gets to
    const early = next() < 0.3
    const moment = early ? "start" : next() < 0.4 ? "large" : next() < 0.7 ? "burst" : "late"
    const pace = moves ? 0.2 : 1
    const delay = {
      start: next() * 1.3 * startUp,
      burst: next() * 150 * pace,
      large: next() * 120 * pace,
      late: next() * 700 * pace
    }
    const slow = !early && next() < 0.5
    const awaitsEnd = next() < 0.5
    if (next() < 0.8) writer.burst(crowd * Math.floor(next() * 14))
    const life = Effect.gen(function* () {
      const began = Date.now()
      const running = yield* Process.filedispatch(["-c", config, "--no-webapp", "--no-monitor"])
      if (!early) {
        const ready = yield* within(() => running.stderr().includes("is watched"), 240)
        expect(ready, running.stderr()).toBe(true)
        startUp = Date.now() - began
        const { gone, sightings } = oracles.status()
        writer.burst(crowd * (1 + Math.floor(next() * 14)))
        if (slow) yield* writer.slow
        if (moment === "large") yield* writer.large
        yield* within(() => {
          const now = oracles.status()
          // what is moved is nowhere under way
          if (moment === "large" && !moves) return now.underWay > 1_000_000
          return moment === "late" && awaitsEnd ? now.gone > gone : now.sightings > sightings
        }, 3)
      }
      yield* Effect.sleep(delay[moment])
      yield* running.kill("SIGKILL")
      const ended = yield* running.ended
      expect(ended.signal, ended.stderr).toBe("SIGKILL")
    })
    yield* Effect.scoped(life)
    counts.kills += 1
    if (slow) counts.slow += 1
    const journal = readJournal(directory)
    expect(journal.check).toBe("ok")
    const atWork = isAtWork(journal)
    counts[!atWork ? "atRest" : early && wasAtWork ? "inRecovery" : "inDelivery"] += 1
    wasAtWork = atWork
  }
  return counts
})

/** Whether something was being sent, or a source being disposed of. */
const isAtWork = ({ deliveries, disposing }: Journal): boolean =>
  disposing > 0 || deliveries.some(({ state }) => state === "SENDING" || state === "PUBLISHING")

/** Whether that came to be in time. */
const within = (condition: () => boolean, seconds: number): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    const deadline = Date.now() + seconds * 1000
    while (!condition()) {
      if (Date.now() > deadline) return false
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return true
  })

/** Which files there are, by inode and times: a file that is written or renamed once more is another one. */
const statsOf = (folders: ReadonlyArray<string>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    folders.flatMap((folder) =>
      list(folder).map((name) => {
        const { ctimeNs, ino, mtimeNs } = fs.lstatSync(join(folder, name), { bigint: true })
        return [join(folder, name), `${ino} ${mtimeNs} ${ctimeNs}`]
      })
    )
  )
