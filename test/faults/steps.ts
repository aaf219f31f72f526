/**
 * The kill at every step: a run of the built program is recorded once, call by call, and then done again and again in a
 * fresh project, killed right before one of those calls each time. Before the n-th is after the n-1st; and one more is
 * killed when it has done everything and is about to end.
 *
 * After each kill the disk is looked at as it lies there, then the program is started once more, and what must hold in
 * the end is looked at.
 */
import { expect } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import Database from "better-sqlite3"
import fs from "node:fs"
import { basename, dirname, join } from "node:path"
import { stamp } from "../../src/domain/Generation.ts"
import { asidePath } from "../../src/files/dispose.ts"
import { isTempName, tempName } from "../../src/files/names.ts"
import { list, project, type Project } from "../e2e/project.ts"
import * as Strace from "./strace.ts"

/** One kind of delivery, as a project that can be made anew. */
export interface Scenario {
  /** For people: "a copy". */
  readonly what: string
  /** Options of the source, beside its path, as YAML: `after: delete`. */
  readonly source?: string
  /** The folders, as YAML. */
  readonly folders: ReadonlyArray<string>
  readonly files: ReadonlyMap<string, Uint8Array>
  /** Where a file's result is to be: absolute, or below the project, whose directory that is. */
  readonly result: (name: string, directory: string) => string
  /** What is to be in there; what went in, unless said otherwise. */
  readonly reads?: (result: Buffer) => Buffer
  /** What becomes of the source: it stays, goes, goes to its target by a rename, or to this place below the project. */
  readonly becomes: "kept" | "deleted" | "moved" | ((name: string) => string)
  /** Whether what was published before a kill is recognised after it, and not sent again. */
  readonly adopts: boolean
  /** More that is done before the program starts, such as a disk that is mounted. */
  readonly prepare?: (project: Project) => Effect.Effect<void, never, Scope.Scope>
  /** More environment for the program that is traced. */
  readonly env?: NodeJS.ProcessEnv
  /** The folder outside of the project in which its results are, such as that of a server. */
  readonly outside?: (directory: string) => string
  /** Which of the journal's own calls to be killed at, beside those of a longer run: some by default. */
  readonly journal?: "some" | "all" | "only"
  /** Steps of the same label are the same in all scenarios of a kind; a shorter run takes each of them once. */
  readonly kind?: string
  /** Steps that can't be told from what another thread does. */
  readonly unaimed?: ReadonlyArray<string>
  /** The journal is there already, with its tables, by default. */
  readonly withoutJournal?: boolean
}

/** A project of a scenario that is about to be run. */
export interface Prepared extends Project {
  readonly scenario: Scenario
  /** The names that its files have while they are disposed of, absolute. */
  readonly asides: ReadonlyMap<string, string>
  /** The names that they have while they are copied to an archive on another file system. */
  readonly archiving: ReadonlyMap<string, string>
}

/** What changes the disk, and what makes that last. */
const changing =
  "rename,renameat,renameat2,link,linkat,unlink,unlinkat,symlink,mkdir,rmdir,fsync,fdatasync,ftruncate,openat,pwrite64,write,copy_file_range,sendfile,writev,sendto,connect".split(
    ","
  )

/** A call before which the program can be killed. */
export interface Step {
  readonly call: Strace.Call
  /** The same in all runs: its name, and its paths below the project. */
  readonly label: string
  /** Whether it writes to the journal's database, or syncs that. */
  readonly journal: boolean
  /** It is one of many alike, so that another one of them may be hit. */
  readonly alike?: boolean
  /** As strace takes it. */
  readonly inject: string
  readonly paths: ReadonlyArray<string>
}

export const journalOf = (directory: string): string => join(directory, "journal.db")

/** A fresh project, with the files in its source. */
export const prepare = (scenario: Scenario, template: string): Effect.Effect<Prepared, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { files, folders, source = "" } = scenario
    const made = yield* project(
      "sources:",
      `  - { path: ./in, settle: 0s${source === "" ? "" : `, ${source}`} }`,
      "folders:",
      ...folders.map((folder) => `  - ${folder}`),
      "db: ./journal.db",
      "log: { level: WARNING }"
    )
    if (scenario.withoutJournal !== true) fs.copyFileSync(template, journalOf(made.directory))
    // what is made in here is not synced by the thread that makes the journal beside it
    fs.mkdirSync(join(made.directory, "to"))
    yield* scenario.prepare?.(made) ?? Effect.void
    const asides = new Map<string, string>()
    const archiving = new Map<string, string>()
    for (const [name, content] of files) {
      made.put(name, content)
      const at = stamp(fs.lstatSync(join(made.inbox, name), { bigint: true }))
      asides.set(name, join(made.inbox, asidePath(name, made.inbox, at)))
      if (typeof scenario.becomes !== "function") continue
      const final = join(made.directory, scenario.becomes(name))
      archiving.set(name, join(dirname(final), tempName(`archive ${final} ${at}`)))
    }
    return { ...made, scenario, asides, archiving }
  })

/** A journal with its tables, and nothing in it. */
export const emptyJournal: Effect.Effect<string, never, Scope.Scope> = Effect.gen(function* () {
  const made = yield* project("source: ./in", "folders: [{ path: ./out }]", "db: ./journal.db")
  const ended = yield* made.once
  expect(ended.code, ended.stderr).toBe(0)
  return journalOf(made.directory)
})

const argsOf = ({ config }: Project) => ["-c", config, "--no-webapp", "--no-monitor", "--once"]

// recording

export interface Recording {
  /** All that was seen, in the order in which it began. */
  readonly calls: ReadonlyArray<Strace.Call>
  /** The same, as labels. */
  readonly label: (call: Strace.Call) => string
  readonly steps: ReadonlyArray<Step>
  /** Labels of what would be a step, and can't be told from another thread's call. */
  readonly unaimed: ReadonlyArray<string>
  readonly project: Prepared
}

/** Runs it to its end, undisturbed. */
export const record = (scenario: Scenario, template: string): Effect.Effect<Recording, never, Scope.Scope> =>
  Effect.gen(function* () {
    const made = yield* prepare(scenario, template)
    const log = join(made.directory, "strace.log")
    const ended = yield* Strace.run(argsOf(made), { calls: changing, log }, { env: scenario.env })
    expect(ended.code, ended.stderr).toBe(0)
    const calls = Strace.read(log)
    fs.rmSync(log)
    finished(made)
    return { calls, label: labelsOf(made), project: made, ...stepsOf(made, calls) }
  })

/** What a call is, without what is different in each run. */
const labelsOf = (made: Prepared) => {
  const { asides, directory } = made
  const names = new Map(Array.from(asides, ([name, aside]) => [aside, join(made.inbox, `@${name}`)]))
  const shorten = (path: string): string => {
    const known = names.get(path) ?? path
    const short = known.startsWith(`${directory}/`)
      ? known.slice(directory.length + 1)
      : known === directory
        ? "."
        : known
    // made from the generation
    return short.replace(/(journal\.db\.spool\/)\d.*$/, "$1@").replace(/\.fd-.{20}\.part$/, "@temp")
  }
  return ({ name, paths }: Strace.Call): string =>
    [name, ...paths.filter((path) => isIn(directory, path)).map(shorten)].join(" ")
}

const sends: ReadonlySet<string> = new Set(["write", "writev", "sendto"])

const stepsOf = (made: Prepared, calls: ReadonlyArray<Strace.Call>): Pick<Recording, "steps" | "unaimed"> => {
  const label = labelsOf(made)
  const database = journalOf(made.directory)
  const steps: Array<Step> = []
  const unaimed = new Set<string>()
  const counts = new Map<string, number>()
  for (const call of calls) {
    const { args, name, paths, result, thread } = call
    const count = (counts.get(`${thread} ${name}`) ?? 0) + 1
    counts.set(`${thread} ${name}`, count)
    if (sends.has(name) && /^\d+<(?:socket|TCP)/.test(args)) {
      const inject = `${name}:signal=SIGKILL:when=${count}`
      steps.push({ call, label: `${name} to a server`, journal: false, alike: true, inject, paths: [] })
      continue
    }
    const path = paths.find((one) => isIn(made.directory, one))
    if (path === undefined || result.startsWith("-1") || path.endsWith("/strace.log")) continue
    if (name === "openat" && !args.includes("O_EXCL")) continue
    // a page of the index of the write-ahead log is memory that processes share
    if (path.endsWith("-shm") && name !== "unlink") continue
    // by threads that do much else, under names that nobody knows before
    if ((name === "write" || name === "openat") && path.startsWith(`${database}.spool`)) continue
    const journal = path.startsWith(database) && !path.startsWith(`${database}.spool`)
    const aim = aimAt(made.directory, call, calls)
    if (aim === undefined) unaimed.add(label(call))
    else steps.push({ call, label: label(call), journal, ...aim })
  }
  // where another thread comes first with the very same call, that one was hit
  for (const step of steps) unaimed.delete(step.label)
  return { steps, unaimed: Array.from(unaimed) }
}

/** An injection that hits that call first, as calls are counted by each thread, and by path where that can be known. */
const aimAt = (
  directory: string,
  call: Strace.Call,
  calls: ReadonlyArray<Strace.Call>
): Pick<Step, "inject" | "paths"> | undefined => {
  const same = calls.filter(({ name }) => name === call.name)
  const known = call.paths.filter((path) => isIn(directory, path) && !path.includes("journal.db.spool/"))
  // strace knows a rename by its old name only
  const renames = call.name === "rename"
  for (const path of [...(renames ? known.slice(0, 1) : known.reverse()), undefined]) {
    const seen =
      path === undefined ? same : same.filter(({ paths }) => (renames ? paths[0] === path : paths.includes(path)))
    const counts = new Map<number, number>()
    const numbered = seen.map((one) => {
      const count = (counts.get(one.thread) ?? 0) + 1
      counts.set(one.thread, count)
      return { one, count }
    })
    const when = numbered.find(({ one }) => one === call)?.count
    const hit = numbered.find(({ count }) => count === when)?.one
    if (hit === call) {
      return { inject: `${call.name}:signal=SIGKILL:when=${when}`, paths: path === undefined ? [] : [path] }
    }
  }
  return undefined
}

const isIn = (directory: string, path: string): boolean => path === directory || path.startsWith(`${directory}/`)

// killing

/** What was there at the moment of the kill. */
export interface Seen {
  /** Whether it was killed at the call that was meant. */
  readonly hit: boolean
  /** By name, the inode of each result that was there already. */
  readonly published: ReadonlyMap<string, bigint>
}

/** A fresh project, in which the program is killed before that call; undefined: when it has done everything. */
export const kill = (
  recording: Recording,
  step: Step | undefined,
  template: string
): Effect.Effect<Seen, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { scenario } = recording.project
    const made = yield* prepare(scenario, template)
    const log = join(made.directory, "strace.log")
    const paths = step?.paths.map((path) => translated(path, recording.project, made)) ?? []
    const inject = step?.inject ?? "exit_group:signal=SIGKILL"
    const ended = yield* Strace.run(argsOf(made), { inject: [inject], paths, log }, { env: scenario.env })
    const label = labelsOf(made)
    const calls = Strace.read(log)
    fs.rmSync(log)
    const hit =
      ended.signal === "SIGKILL" &&
      (step === undefined ||
        step.alike === true ||
        calls.some((call) => call.result === "?" && label(call) === step.label))
    const published = afterKill(made)
    const again = yield* made.once
    const where = step === undefined ? "before it ended" : `before ${step.label}`
    expect(again.code, `killed ${where}: ${again.stderr}`).toBe(0)
    recovered(made, published, where)
    return { hit, published }
  })

const recovered = (made: Prepared, published: Seen["published"], where: string): void => {
  try {
    finished(made)
    if (!made.scenario.adopts) return
    for (const [name, inode] of published) {
      expect(inodeOf(resultOf(made, name)), `${name} is the one that was there, and was not written again`).toBe(inode)
    }
  } catch (error) {
    throw new Error(`killed ${where}, and started again: ${String(error)}`, { cause: error })
  }
}

/** A path of one project as it is in another. */
const translated = (path: string, from: Prepared, to: Prepared): string => {
  for (const [name, aside] of from.asides) if (aside === path) return to.asides.get(name) ?? path
  for (const [name, temp] of from.archiving) if (temp === path) return to.archiving.get(name) ?? path
  return isIn(from.directory, path) ? `${to.directory}${path.slice(from.directory.length)}` : path
}

/** Where the result of a file is to be. */
export const resultOf = ({ directory, scenario }: Prepared, name: string): string => {
  const result = scenario.result(name, directory)
  return result.startsWith("/") ? result : join(directory, result)
}

const inodeOf = (path: string): bigint => fs.lstatSync(path, { bigint: true }).ino

const isWhole = ({ scenario }: Prepared, path: string, name: string, result: boolean): boolean => {
  if (!fs.existsSync(path)) return false
  const content = fs.readFileSync(path)
  return Buffer.from(scenario.files.get(name) ?? "").equals(result ? (scenario.reads?.(content) ?? content) : content)
}

/** What must hold of a disk that a killed process has left; answers the results that are there. */
const afterKill = (made: Prepared): ReadonlyMap<string, bigint> => {
  const { asides, directory, inbox, scenario } = made
  const published = new Map<string, bigint>()
  const deliveries = stateOf(made)
  for (const name of scenario.files.keys()) {
    const result = resultOf(made, name)
    const state = deliveries.get(name)
    if (fs.existsSync(result)) {
      expect(isWhole(made, result, name, true), `${name} is whole under its final name`).toBe(true)
      expect(state?.delivery, `${name} was claimed before it was published`).toMatch(/^(SENDING|PUBLISHING|DELIVERED)$/)
      published.set(name, inodeOf(result))
    }
    const [source, aside] = [join(inbox, name), asides.get(name) ?? ""]
    if (fs.existsSync(source)) {
      expect(isWhole(made, source, name, false), `the source ${name} is untouched`).toBe(true)
      continue
    }
    expect(scenario.becomes).not.toBe("kept")
    if (scenario.becomes === "moved") {
      // the source itself, under its temp name, or under its final one
      const folder = dirname(result)
      const found = [
        result,
        ...fs
          .readdirSync(folder)
          .filter(isTempName)
          .map((temp) => join(folder, temp))
      ]
      expect(found.some((path) => isWhole(made, path, name, false))).toBe(true)
      continue
    }
    expect(published.has(name), `${name} is at its target before its source is touched`).toBe(true)
    expect(state?.delivery, "that it was delivered is recorded before its source is touched").toBe("DELIVERED")
    expect(state?.generation).toMatch(/^DISPOS/)
    if (typeof scenario.becomes === "function") {
      const archived = join(directory, scenario.becomes(name))
      expect([aside, archived].some((path) => isWhole(made, path, name, false))).toBe(true)
    }
  }
  return published
}

/** What the journal has of each file: read from a copy, because to open it is to change it. */
const stateOf = ({
  directory
}: Project): ReadonlyMap<string, { readonly delivery: string; readonly generation: string }> => {
  const copy = fs.mkdtempSync(join(directory, "..", "filedispatch-copy-"))
  try {
    for (const suffix of ["", "-wal", "-journal"]) {
      const from = `${journalOf(directory)}${suffix}`
      if (fs.existsSync(from)) fs.copyFileSync(from, join(copy, `journal.db${suffix}`))
    }
    if (!fs.existsSync(journalOf(copy))) return new Map()
    const database = new Database(journalOf(copy))
    try {
      if (database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'deliveries'").get() === undefined)
        return new Map()
      const rows = database
        .prepare<[], { name: string; delivery: string; generation: string }>(
          "SELECT g.path AS name, d.state AS delivery, g.state AS generation FROM deliveries d JOIN generations g ON g.id = d.generation"
        )
        .all()
      return new Map(rows.map((row) => [row.name, row]))
    } finally {
      database.close()
    }
  } finally {
    fs.rmSync(copy, { recursive: true })
  }
}

/** What must hold in the end: each file has one whole result and one entry in the log, and nothing else is there. */
const finished = (made: Prepared): void => {
  const { directory, scenario } = made
  const names = Array.from(scenario.files.keys())
  for (const name of names) expect(isWhole(made, resultOf(made, name), name, true), `${name} is whole`).toBe(true)
  const outside = scenario.outside?.(directory)
  const expected = [
    "config.yml",
    "journal.db",
    "journal.db.lock",
    ...names.flatMap((name) => (scenario.becomes === "kept" ? [join("in", name)] : [])),
    ...names.map((name) => resultOf(made, name)).flatMap((path) => below(directory, path)),
    ...names.flatMap((name) => (typeof scenario.becomes === "function" ? [scenario.becomes(name)] : []))
  ]
  expect(list(directory)).toEqual(expected.sort())
  if (outside !== undefined) {
    expect(list(outside)).toEqual(names.flatMap((name) => below(outside, resultOf(made, name))).sort())
  }
  if (typeof scenario.becomes === "function") {
    for (const name of names) expect(isWhole(made, join(directory, scenario.becomes(name)), name, false)).toBe(true)
  }
  const entries = made.log()
  expect(entries.map((entry) => entry.split(" ").slice(0, 2).join(" ")).sort()).toEqual(
    names.map((name) => `SUCCEEDED ${basename(name)}`).sort()
  )
}

const below = (folder: string, path: string): ReadonlyArray<string> =>
  path.startsWith(`${folder}/`) ? [path.slice(folder.length + 1)] : []
