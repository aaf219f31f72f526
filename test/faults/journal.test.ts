/**
 * Journals that are damaged, taken, or not journals at all: the program says what is wrong and what to do, changes
 * nothing, and loses nothing once that is done.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import Database from "better-sqlite3"
import { createHash, randomBytes } from "node:crypto"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { random } from "../e2e/project.ts"
import * as Machine from "./machine.ts"
import { list, project, type Project } from "./machine.ts"
import { seed, tried } from "./report.ts"
import * as Strace from "./strace.ts"

vi.setConfig({ maxConcurrency: 3 })

const config = [
  "sources: [{ path: ./in, settle: 20ms, after: delete }, { path: ./kept, settle: 20ms }]",
  "folders: [{ path: './out/{source}' }]",
  "db: ./journal.db"
]

/** With files that were delivered, and others that a killed program had accepted. */
const used = Effect.gen(function* () {
  const at = yield* project(...config)
  fs.mkdirSync(join(at.directory, "kept"))
  const contents = new Map<string, Uint8Array>()
  Machine.putAll(join(at.directory, "kept"), contents, "k", 40)
  const ended = yield* at.once
  expect(ended.code, ended.stderr).toBe(0)
  Machine.putAll(at.inbox, contents, "new", 10)
  return { at, contents, database: join(at.directory, "journal.db") }
})

const snapshot = (directory: string): ReadonlyArray<string> =>
  list(directory)
    .filter((name) => !name.endsWith(".lock") && !name.endsWith("-shm"))
    .map(
      (name) =>
        `${name} ${createHash("sha256")
          .update(fs.readFileSync(join(directory, name)))
          .digest("hex")}`
    )

/** It says this, ends with that code, and has changed nothing. */
const refuses = ({ directory, once }: Project, says: RegExp, code = 1) =>
  Effect.gen(function* () {
    const before = snapshot(directory)
    const ended = yield* once
    expect(ended.code, ended.stderr).toBe(code)
    expect(ended.stderr).toMatch(says)
    expect(ended.stderr.trim().split("\n").length, ended.stderr).toBe(1)
    Machine.polite(ended.stderr)
    expect(snapshot(directory)).toEqual(before)
  })

const holdsAll = ({ directory, inbox }: Project, contents: Machine.Contents) => {
  const of = (prefix: string) => new Map(Array.from(contents).filter(([name]) => name.startsWith(prefix)))
  Machine.holds(join(directory, "out", "in"), of("new"))
  Machine.holds(join(directory, "out", "kept"), of("k"))
  Machine.holds(join(directory, "kept"), of("k"))
  expect(list(inbox)).toEqual([])
}

const damages: ReadonlyArray<readonly [string, (file: string) => void]> = [
  [
    "random bytes in its middle",
    (file) => {
      const next = random(seed)
      const bytes = fs.readFileSync(file)
      const from = Math.floor(bytes.length * 0.4)
      for (let index = from; index < from + 20_000; index++) bytes[index] = Math.floor(next() * 256)
      fs.writeFileSync(file, bytes)
    }
  ],
  [
    "random bytes in its header",
    (file) => {
      const bytes = fs.readFileSync(file)
      randomBytes(100).copy(bytes)
      fs.writeFileSync(file, bytes)
    }
  ],
  ["cut to its half", (file) => fs.truncateSync(file, Math.floor(fs.statSync(file).size / 2))],
  ["a text", (file) => fs.writeFileSync(file, "To whom it may concern: this is no database.\n".repeat(20))]
]

describe.concurrent("a journal that can't be used", () => {
  for (const [what, damage] of damages) {
    it.scopedLive(`${what}: said, left as it is, and put aside nothing is lost`, () =>
      Effect.gen(function* () {
        const { at, contents, database } = yield* used
        damage(database)
        yield* refuses(
          at,
          /The database \S+journal\.db is damaged \(.*\)\. Nothing was changed\. Restore it .* move it away/
        )
        // as it says
        for (const end of ["", "-wal", "-shm"]) {
          if (fs.existsSync(database + end)) fs.renameSync(database + end, join(at.directory, `aside${end}`))
        }
        const ended = yield* at.once
        expect(ended.code, ended.stderr).toBe(0)
        holdsAll(at, contents)
        expect(at.log().length).toBe(contents.size)
        tried({
          section: "fault",
          what: `the journal damaged: ${what}`,
          happened: `refused with what to do, nothing changed; once it was moved away, all ${contents.size} files there once and whole`,
          counts: { files: contents.size, lost: 0, partial: 0, duplicates: 0, temps: 0 }
        })
      })
    )
  }

  it.scopedLive("an empty one is a new one; a WAL that is cut, or another's, does no harm", () =>
    Effect.gen(function* () {
      const results: Array<string> = []
      for (const [what, wal] of [
        ["an empty file", undefined],
        ["a WAL of random bytes", randomBytes(50_000)],
        ["a WAL cut in the middle of a frame", "cut"]
      ] as const) {
        const { at, contents, database } = yield* used
        if (wal === undefined) fs.writeFileSync(database, "")
        else if (wal === "cut") {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const running = yield* Machine.watching(at)
              yield* Machine.delivered(running, at, 50)
              yield* running.kill("SIGKILL")
              yield* running.ended
            })
          )
          const size = fs.statSync(`${database}-wal`).size
          expect(size).toBeGreaterThan(4096)
          fs.truncateSync(`${database}-wal`, size - 1000)
        } else fs.writeFileSync(`${database}-wal`, wal)
        const ended = yield* at.once
        expect(ended.code, ended.stderr).toBe(0)
        Machine.polite(ended.stderr)
        holdsAll(at, contents)
        results.push(what)
      }
      tried({
        section: "fault",
        what: `beside the journal or instead of it: ${results.join(", ")}`,
        happened: "150 files, each there once and whole, without a word",
        counts: { files: 150, lost: 0, partial: 0, duplicates: 0, temps: 0 }
      })
    })
  )

  it.scopedLive("another program's, a later version's, and a folder are refused and not touched", () =>
    Effect.gen(function* () {
      const { at, contents, database } = yield* used
      const aside = join(at.directory, "good")
      fs.renameSync(database, aside)
      const write = (statements: string) => {
        const other = new Database(database)
        other.exec(statements)
        other.close()
      }
      write("CREATE TABLE mails (subject TEXT); INSERT INTO mails VALUES ('keep me')")
      yield* refuses(at, /The database \S+ belongs to another program\. Nothing was changed\. Choose another file/)
      fs.copyFileSync(aside, database)
      write(
        "INSERT INTO filedispatch_migrations (migration_id, name) VALUES (99, 'of the future'); PRAGMA journal_mode = DELETE"
      )
      yield* refuses(
        at,
        /The database \S+ was made by a later version of filedispatch.*Use that version, or choose another/
      )
      fs.rmSync(database)
      fs.mkdirSync(database)
      yield* refuses(at, /The database \S+ can't be opened \(.*\)\. Check/)
      fs.rmdirSync(database)
      fs.renameSync(aside, database)
      const ended = yield* at.once
      expect(ended.code, ended.stderr).toBe(0)
      holdsAll(at, contents)
      tried({
        section: "fault",
        what: "as the journal: another program's database, one of a later version, a folder",
        happened: "refused with what to do, not a byte changed",
        counts: { files: contents.size, lost: 0, duplicates: 0, temps: 0 }
      })
    })
  )

  it.scopedLive("held by another program: waited for at the start for some seconds, while it runs for ever", () =>
    Effect.gen(function* () {
      const { at, contents, database } = yield* used
      const other = new Database(database)
      other.exec("BEGIN EXCLUSIVE")
      yield* refuses(at, /The database \S+ is locked by another program.*Close that, then start again/)
      other.exec("COMMIT")
      const running = yield* Machine.watching(at)
      yield* Machine.delivered(running, at, contents.size)
      yield* Process.until(
        () => list(at.inbox).length === 0,
        () => running.stderr()
      )
      other.exec("BEGIN IMMEDIATE")
      Machine.putAll(at.inbox, contents, "newer", 10)
      yield* Machine.says(running, /another program holds the database: close it/)
      yield* Machine.calm(running)
      expect(list(at.inbox).length).toBe(10)
      other.exec("ROLLBACK")
      other.close()
      yield* Machine.delivered(running, at, contents.size)
      yield* Machine.stop(running)
      holdsAll(at, contents)
      Machine.loggedOnce(at, contents)
      tried({
        section: "fault",
        what: "the journal held by another program, at the start and in the middle",
        happened: `at the start: refused after 5 s with what to do; in the middle: waited, and all ${contents.size} files there once and whole`,
        counts: { files: contents.size, lost: 0, partial: 0, duplicates: 0, temps: 0 }
      })
    })
  )
})

describe("two programs on one journal", () => {
  it.scopedLive("the second ends with 3, also while the first is stopped, and also at the same instant", () =>
    Effect.gen(function* () {
      const at = yield* project(
        "sources: [{ path: ./in, settle: 20ms }]",
        "folders: [{ path: ./out }]",
        "db: ./journal.db"
      )
      const contents = new Map<string, Uint8Array>()
      const args = ["-c", at.config, "--no-webapp", "--no-monitor"]
      const second = (pid: number) =>
        Effect.gen(function* () {
          const ended = yield* Process.run(args)
          expect(ended.code, ended.stderr).toBe(3)
          expect(ended.stderr).toMatch(
            new RegExp(`journal\\.db: (process ${pid}|another process) uses this journal already\\. Stop it first`)
          )
          Machine.polite(ended.stderr)
        })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const running = yield* Machine.watching(at)
          yield* second(running.pid)
          yield* running.kill("SIGSTOP")
          yield* second(running.pid)
          Machine.putAll(at.inbox, contents, "first", 20)
          yield* running.kill("SIGCONT")
          yield* Machine.delivered(running, at, contents.size)
          yield* Machine.stop(running)
        })
      )
      const rounds = 4
      for (let round = 0; round < rounds; round++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const both = yield* Effect.all([Process.filedispatch(args), Process.filedispatch(args)])
            const ends = both.map(({ ended }) => ended)
            const loser = yield* Effect.raceAll(ends)
            expect(loser.code, loser.stderr).toBe(3)
            Machine.putAll(at.inbox, contents, `round${round}-`, 5)
            yield* Process.until(
              () => at.log().length >= contents.size,
              () => both.map(({ stderr }) => stderr()).join("\n")
            )
            for (const { kill } of both) yield* kill("SIGTERM")
            const codes = (yield* Effect.all(ends)).map(({ code }) => code)
            expect(codes.sort()).toEqual([0, 3])
          })
        )
      }
      Machine.holds(join(at.directory, "out"), contents)
      Machine.loggedOnce(at, contents)
      tried({
        section: "fault",
        what: `two programs on one journal: one after the other, beside one that is stopped, and ${rounds} times at the same instant`,
        happened: `the second always ended with 3 and said whose it is; ${contents.size} files, each there once`,
        counts: { files: contents.size, lost: 0, duplicates: 0, temps: 0 }
      })
    })
  )
})

describe
  .skipIf(Strace.noStrace !== undefined)
  .concurrent(
    Strace.noStrace === undefined
      ? "a disk under the journal that fails"
      : `a disk under the journal that fails (${Strace.noStrace})`,
    () => {
      for (const [what, inject, says] of [
        ["its sync fails (EIO)", "fsync,fdatasync:error=EIO:when=3..12", /journal|disk I\/O error/],
        ["it becomes read-only (EROFS)", "pwrite64:error=EROFS:when=40..46", /journal|read/],
        ["its writes fail (EIO)", "pwrite64:error=EIO:when=40..46", /journal|disk I\/O error/]
      ] as const) {
        it.scopedLive(`${what}: nothing is lost, and it goes on`, () =>
          Effect.gen(function* () {
            const at = yield* project(
              "sources: [{ path: ./in, settle: 20ms, after: delete }]",
              "folders: [{ path: ./out }]",
              "db: ./journal.db"
            )
            const database = join(at.directory, "journal.db")
            // so that the injection is counted from a journal that is there
            expect((yield* at.once).code).toBe(0)
            const running = yield* Machine.watching(at, {
              under: Strace.under({ inject: [inject], paths: [`${database}-wal`, database] })
            })
            const contents = new Map<string, Uint8Array>()
            for (let round = 0; round < 6; round++) {
              Machine.putAll(at.inbox, contents, `r${round}-`, 10)
              yield* Effect.sleep("300 millis")
            }
            yield* Machine.delivered(running, at, contents.size)
            yield* Process.until(
              () => list(at.inbox).length === 0,
              () => running.stderr()
            )
            yield* Machine.stop(running)
            expect(running.stderr()).toMatch(says)
            Machine.holds(join(at.directory, "out"), contents)
            Machine.loggedOnce(at, contents)
            tried({
              section: "fault",
              what: `the journal's disk: ${what}`,
              happened: `${contents.size} files, each there and in the log once, without a restart`,
              counts: { files: contents.size, lost: 0, partial: 0, duplicates: 0, temps: 0 }
            })
          })
        )
      }
    }
  )
