/**
 * System calls that fail or do only a part of their work, and limits that the system sets: watches, descriptors,
 * permissions.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import { tempNames } from "../../src/files/names.ts"
import * as Process from "../cli/process.ts"
import * as Machine from "./machine.ts"
import { list, project } from "./machine.ts"
import { tried } from "./report.ts"
import * as Strace from "./strace.ts"

vi.setConfig({ maxConcurrency: 3 })

const none = { lost: 0, partial: 0, duplicates: 0, temps: 0 }
const percent = (share: number) => `${Math.round(share * 100)} % of a processor meanwhile`

interface Injected {
  readonly what: string
  readonly inject: ReadonlyArray<string>
  /** On which files: the temp files of the first two attempts, the sources, or the target's directory. */
  readonly on: "temps" | "sources" | "directory"
  /** Undefined: it is no fault that anybody need know of. */
  readonly says?: RegExp
}

const transfer = "read,write,pread64,pwrite64,copy_file_range,sendfile"

const injected: ReadonlyArray<Injected> = [
  {
    what: "the quota at the target is used up (EDQUOT)",
    inject: [`${transfer}:error=EDQUOT:when=1`],
    on: "temps",
    says: /is down: .*the disk quota is used up: free some space or raise it/
  },
  {
    what: "writes at the target fail (EIO)",
    inject: [`${transfer}:error=EIO`],
    on: "temps",
    says: /RETRY_WAIT: .*input\/output error: check it/
  },
  {
    what: "the sync of a file fails (EIO)",
    inject: ["fsync,fdatasync:error=EIO"],
    on: "temps",
    says: /RETRY_WAIT: .*input\/output error: check it/
  },
  {
    what: "the sync of the target's directory fails (EIO)",
    inject: ["fsync,fdatasync:error=EIO:when=1"],
    on: "directory",
    says: /RETRY_WAIT: .*input\/output error: check it/
  },
  {
    what: "a disk that is full only when the file is closed (ENOSPC)",
    inject: ["close:error=ENOSPC:when=1"],
    on: "temps",
    says: /is down: .*the disk is full/
  },
  {
    what: "reads of the source fail (EIO)",
    inject: [`${transfer}:error=EIO:when=1`],
    on: "sources",
    says: /RETRY_WAIT: .*(could not be read \(EIO\)|input\/output error)/
  },
  { what: "calls are interrupted (EINTR)", inject: [`${transfer}:error=EINTR:when=1`], on: "temps" },
  {
    what: "files can't be made at the target (EACCES)",
    inject: ["openat,rename,renameat,renameat2:error=EACCES"],
    on: "temps",
    says: /RETRY_WAIT: .*permission denied: let this user write there/
  }
]

const withStrace = Strace.noStrace === undefined ? "" : ` (${Strace.noStrace})`

describe.skipIf(Strace.noStrace !== undefined).concurrent(`calls that fail${withStrace}`, () => {
  for (const { inject, on, says, what } of injected) {
    it.scopedLive(`${what}: tried again, and nothing is half there`, () =>
      Effect.gen(function* () {
        const at = yield* project(
          "sources: [{ path: ./in, settle: 20ms }]",
          "folders: [{ path: ./out, concurrency: 1, retry: { attempts: 20, base: 300ms, cap: 1s } }]",
          "db: ./journal.db"
        )
        const { directory, inbox } = at
        const out = join(directory, "out")
        fs.mkdirSync(out)
        expect((yield* at.once).code).toBe(0)
        // their names are known before, because they are made from the journal's
        const temps = tempNames(Machine.texts(join(directory, "journal.db"), "SELECT id FROM journal")[0] ?? "")
        const names = Array.from({ length: 6 }, (_, index) => `f${index}`)
        const paths =
          on === "directory"
            ? [out]
            : on === "sources"
              ? names.map((name) => join(inbox, name))
              : names.flatMap((_, index) => [0, 1].map((attempt) => join(out, temps(index + 1, attempt))))
        const contents = new Map<string, Uint8Array>()
        const running = yield* Machine.watching(at, { under: Strace.under({ inject, paths }) })
        Machine.putAll(inbox, contents, "f", names.length, (index) => (index === 5 ? 9_000_000 : 1000))
        if (says !== undefined) yield* Machine.says(running, says)
        yield* Machine.delivered(running, at, contents.size)
        yield* Machine.stop(running)
        Machine.holds(out, contents)
        Machine.loggedOnce(at, contents)
        tried({
          section: "fault",
          what,
          happened: `${says === undefined ? "" : "said, and tried again: "}${contents.size} files, each there once and whole`,
          counts: { files: contents.size, ...none }
        })
      })
    )
  }
})

describe.skipIf(Strace.noStrace !== undefined).concurrent(`limits of watches${withStrace}`, () => {
  for (const [what, inject, says] of [
    ["no more directories may be watched (ENOSPC)", "inotify_add_watch:error=ENOSPC", /fs\.inotify\.max_user_watches/],
    [
      "no more watchers may be had (EMFILE)",
      "inotify_init1,inotify_init:error=EMFILE",
      /fs\.inotify\.max_user_instances/
    ]
  ] as const) {
    it.scopedLive(`${what}: it polls, and says so`, () =>
      Effect.gen(function* () {
        const at = yield* project(
          "sources: [{ path: ./in, settle: 20ms, recursive: true, pollInterval: 200ms }]",
          "folders: [{ path: ./out }]",
          "db: ./journal.db"
        )
        const running = yield* Machine.watching(at, { under: Strace.under({ inject: [inject] }) })
        yield* Machine.says(running, /WARN .*is polled, because events can't be had: the system's limit/)
        yield* Machine.says(running, says)
        fs.mkdirSync(join(at.inbox, "deep"))
        const contents = new Map<string, Uint8Array>()
        Machine.putAll(at.inbox, contents, "f", 50)
        yield* Machine.delivered(running, at, contents.size)
        const share = yield* Machine.calm(running)
        yield* Machine.stop(running)
        Machine.holds(join(at.directory, "out"), contents)
        Machine.loggedOnce(at, contents)
        tried({
          section: "fault",
          what,
          happened: `it polls and says so; ${contents.size} files, each there once; ${percent(share)}`,
          counts: { files: contents.size, ...none }
        })
      })
    )
  }
})

it.scopedLive("20,000 files while it can't look, more than the system keeps events for: all arrive", () =>
  Effect.gen(function* () {
    const count = 20_000
    const at = yield* project(
      // no scan comes to help: what was lost must have been noticed
      "sources: [{ path: ./in, settle: 20ms, rescan: 1d }]",
      "folders: [{ path: ./out }]",
      "db: ./journal.db",
      "durability: crash",
      "log: { level: INFO }"
    )
    const running = yield* Machine.watching(at)
    yield* running.kill("SIGSTOP")
    const names: Array<string> = []
    for (let index = 0; index < count; index++) {
      names.push(`f${index}`)
      fs.writeFileSync(join(at.inbox, `f${index}`), String(index))
    }
    yield* running.kill("SIGCONT")
    const started = Date.now()
    yield* Process.until(
      () =>
        Machine.ask(join(at.directory, "journal.db"), "SELECT count(*) FROM logs WHERE status = 'SUCCEEDED'") === count,
      () => running.stderr(),
      270
    )
    const seconds = (Date.now() - started) / 1000
    yield* Machine.stop(running)
    expect(list(join(at.directory, "out"))).toEqual(names.sort())
    const wrong = names.filter((name) => fs.readFileSync(join(at.directory, "out", name), "utf8") !== name.slice(1))
    expect(wrong).toEqual([])
    tried({
      section: "fault",
      what: `${count} files made while the program is stopped; the system's queue takes 16,384 events`,
      happened: `all there once, ${seconds.toFixed(0)} s after it went on; no rescan helped`,
      counts: { files: count, ...none }
    })
  })
)

describe.skipIf(!Machine.has("prlimit"))(
  `descriptors${Machine.has("prlimit") ? "" : " (prlimit is not installed)"}`,
  () => {
    it.scopedLive("a limit of 64 open files, many files, several lanes", () =>
      Effect.gen(function* () {
        const lanes = Machine.noDisks === undefined ? 3 : 1
        const folders = Array.from({ length: lanes }, (_, index) => `{ path: ./out${index} }`)
        const at = yield* project(
          "sources: [{ path: ./in, settle: 20ms, recursive: true }]",
          `folders: [${folders.join(", ")}]`,
          "db: ./journal.db"
        )
        if (lanes > 1) {
          for (let index = 0; index < lanes; index++) yield* Machine.disk(join(at.directory, `out${index}`), "size=64m")
        }
        const contents = new Map<string, Uint8Array>()
        Machine.putAll(at.inbox, contents, "f", 500, (index) => (index % 100 === 0 ? 9_000_000 : 500))
        const running = yield* Machine.watching(at, { under: ["prlimit", "--nofile=64:64"] })
        Machine.putAll(at.inbox, contents, "g", 100)
        yield* Machine.delivered(running, at, contents.size * lanes)
        yield* Machine.stop(running)
        for (let index = 0; index < lanes; index++) Machine.holds(join(at.directory, `out${index}`), contents)
        Machine.loggedOnce(at, contents, lanes)
        tried({
          section: "fault",
          what: `a limit of 64 open files, with ${lanes} lanes`,
          happened: `${contents.size} files, each there once at each target`,
          counts: { files: contents.size, ...none }
        })
      })
    )
  }
)

const mayDrop = Machine.has("setpriv") && process.getuid?.() === 0

describe.skipIf(!mayDrop)(mayDrop ? "permissions" : "permissions (only root with setpriv can give rights up)", () => {
  it.scopedLive(
    "a target that may not be written, a source that may not be read, a directory that may not be emptied",
    () =>
      Effect.gen(function* () {
        const at = yield* project(
          "sources: [{ path: ./in, settle: 20ms, after: delete }]",
          "folders: [{ path: ./out, retry: { attempts: 50, base: 300ms, cap: 1s } }]",
          "db: ./state/journal.db"
        )
        const { directory, inbox } = at
        const log = { log: () => Machine.logOf(join(directory, "state", "journal.db")) }
        const out = join(directory, "out")
        fs.mkdirSync(out)
        fs.mkdirSync(join(directory, "state"))
        for (const path of [directory, inbox, out, join(directory, "state")]) fs.chownSync(path, 65534, 65534)
        fs.chmodSync(out, 0o555)
        const as = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        const running = yield* Machine.watching(at, { under: as })
        const contents = new Map<string, Uint8Array>()
        Machine.putAll(inbox, contents, "f", 5)
        yield* Machine.says(running, /RETRY_WAIT: .*out\/f0: permission denied: let this user write there/)
        yield* Machine.calm(running)
        expect(list(inbox).length).toBe(5)
        fs.chmodSync(out, 0o755)
        yield* Machine.delivered(running, log, 5)

        const secret = join(inbox, "secret0")
        contents.set("secret0", Buffer.from("not yet"))
        fs.writeFileSync(join(inbox, ".secret"), "not yet", { mode: 0o000 })
        fs.chmodSync(inbox, 0o555)
        fs.renameSync(join(inbox, ".secret"), secret)
        yield* Machine.says(running, /RETRY_WAIT: .*secret0 can't be read: let this user read it/)
        fs.chmodSync(secret, 0o644)
        yield* Machine.delivered(running, log, 6)
        yield* Machine.says(running, /WARN .*secret0 stays for now: .*permission denied.*tried again/)
        fs.chmodSync(inbox, 0o755)
        yield* Process.until(
          () => list(inbox).length === 0,
          () => running.stderr()
        )
        yield* Machine.stop(running)
        Machine.holds(out, contents)
        Machine.loggedOnce(log, contents)
        tried({
          section: "fault",
          what: "no permission to write at the target, to read a file, to empty the source; then it is given",
          happened: `said each time; ${contents.size} files, each there once and gone from the source, without a restart`,
          counts: { files: contents.size, ...none }
        })
      })
  )
})
