/**
 * Disks that are full, read-only, or full in the middle of a file, and come right again while the program runs.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import { gunzipSync } from "node:zlib"
import * as Process from "../cli/process.ts"
import * as Machine from "./machine.ts"
import { list, noDisks, project } from "./machine.ts"
import { tried } from "./report.ts"

vi.setConfig({ maxConcurrency: 3 })

interface Case {
  readonly what: string
  readonly config: ReadonlyArray<string>
  /** The folder that has a disk of its own, and options of tmpfs(5) for that. */
  readonly on: string
  readonly size: string
  readonly fault: (disk: Machine.Disk) => void
  readonly heal: (disk: Machine.Disk) => void
  readonly says: RegExp
  /** There is a large file, too, of so many bytes. */
  readonly large?: number
  /** The fault comes after the files, and before these are taken. */
  readonly after?: boolean
  /** Deliveries go on meanwhile. */
  readonly harmless?: boolean
  /** Where the sources are in the end; undefined: nowhere. */
  readonly archive?: string
  readonly gzip?: boolean
}

const full = {
  fault: (disk: Machine.Disk) => disk.fill(),
  heal: (disk: Machine.Disk) => disk.free()
}
const readOnly = {
  fault: (disk: Machine.Disk) => disk.remount("ro"),
  heal: (disk: Machine.Disk) => disk.remount("rw")
}
const plain = ["sources: [{ path: ./in, settle: 20ms, after: delete }]", "folders: [{ path: ./out }]"]
const here = "db: ./journal.db"

const cases: ReadonlyArray<Case> = [
  {
    what: "the target is full",
    config: [...plain, here],
    on: "out",
    size: "24m",
    ...full,
    says: /WARN .*is down: Can't write \S+: the disk is full: free some space/
  },
  {
    what: "the target fills up in the middle of a large file",
    config: [...plain, here],
    on: "out",
    size: "32m",
    fault: ({ path }) => fs.writeFileSync(join(path, ".filler"), Buffer.alloc(20_000_000)),
    heal: (disk) => disk.free(),
    says: /WARN .*is down: Can't write \S+large0: the disk is full: free some space/,
    large: 20_000_000
  },
  {
    what: "the journal's disk is full",
    config: [...plain, "db: ./disk/journal.db"],
    on: "disk",
    size: "4m",
    ...full,
    says: /The disk that holds the journal is full: free some space/
  },
  {
    what: "the disk is full on which a file is compressed",
    config: [plain[0] ?? "", "folders: [{ path: ./out, compress: gzip }]", here],
    on: "journal.db.spool",
    size: "16m,mode=700",
    ...full,
    says: /disk is full|no space/i,
    large: 9_000_000,
    harmless: true,
    gzip: true
  },
  {
    what: "the archive is full",
    config: [
      'sources: [{ path: ./in, settle: 20ms, after: { archive: "./done/{relpath}" } }]',
      "folders: [{ path: ./out }]",
      here
    ],
    on: "done",
    size: "4m",
    ...full,
    says: /WARN .*in\/\S+ stays for now: Can't write \S+: the disk is full.*tried again/,
    harmless: true,
    archive: "done"
  },
  {
    what: "the disk of the log file is full",
    config: [...plain, here, "log: { file: ./log/it.log, level: DEBUG }"],
    on: "log",
    size: "1m",
    fault: (disk) => {
      disk.fill()
      // the room behind the end of the file, too
      Machine.pad(join(disk.path, "it.log"))
    },
    heal: (disk) => disk.free(),
    says: /the log file can't be written: .*ENOSPC/,
    harmless: true
  },
  {
    what: "the target becomes read-only",
    config: [...plain, here],
    on: "out",
    size: "24m",
    ...readOnly,
    says: /WARN .*is down: Can't write \S+: the file system is read-only: remount it writable/
  },
  {
    what: "a source becomes read-only from which files are deleted",
    config: ["sources: [{ path: ./in, settle: 1s, after: delete }]", "folders: [{ path: ./out }]", here],
    on: "in",
    size: "8m",
    ...readOnly,
    says: /WARN .*in\/\S+ stays for now: .*read-only: remount it writable.*tried again/,
    after: true,
    harmless: true
  }
]

describe.skipIf(noDisks !== undefined).concurrent(noDisks === undefined ? "disks" : `disks (${noDisks})`, () => {
  for (const one of cases) {
    it.scopedLive(`${one.what}: it says so, waits, and goes on`, () =>
      Effect.gen(function* () {
        const at = yield* project(...one.config)
        const { directory, inbox } = at
        const disk = yield* Machine.disk(join(directory, one.on), `size=${one.size}`)
        const database = join(directory, one.config.find((line) => line.startsWith("db:"))?.slice(4) ?? "")
        const log = { log: () => Machine.logOf(database) }
        const running = yield* Machine.starting(at)
        yield* Process.until(
          () => fs.existsSync(database),
          () => running.stderr()
        )
        const contents = new Map<string, Uint8Array>()
        Machine.putAll(inbox, contents, "before", 5)
        yield* Machine.delivered(running, log, 5)

        if (one.after !== true) one.fault(disk)
        Machine.putAll(inbox, contents, "meanwhile", 20)
        if (one.large !== undefined) Machine.putAll(inbox, contents, "large", 1, () => one.large ?? 0)
        if (one.after === true) one.fault(disk)
        yield* Machine.says(running, one.says)
        const share = yield* Machine.calm(running)
        // what is not where it belongs is where it was
        const arrived = list(join(directory, "out"))
        const left = list(inbox)
        for (const name of contents.keys()) {
          const there = arrived.includes(one.gzip === true ? `${name}.gz` : name)
          expect(there || left.includes(name), name).toBe(true)
        }
        one.heal(disk)
        yield* Machine.delivered(running, log, contents.size)
        yield* Process.until(
          () => list(inbox).length === 0,
          () => `${list(inbox).join(" ")}: ${running.stderr()}`
        )
        yield* Machine.stop(running)
        if (one.gzip === true) {
          for (const name of list(join(directory, "out"))) {
            const file = join(directory, "out", name)
            fs.writeFileSync(file.replace(/\.gz$/, ""), gunzipSync(fs.readFileSync(file)))
            fs.rmSync(file)
          }
        }
        Machine.holds(join(directory, "out"), contents)
        if (one.archive !== undefined) Machine.holds(join(directory, one.archive), contents)
        Machine.loggedOnce(log, contents)
        tried({
          section: "fault",
          what: `${one.what}, and comes right again`,
          happened: `${contents.size} files, each there once and whole, without a restart; ${Math.round(share * 100)} % of a processor meanwhile`,
          counts: { files: contents.size, lost: 0, partial: 0, duplicates: 0, temps: 0 }
        })
      })
    )
  }
})
