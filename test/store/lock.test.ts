import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Exit, Scope } from "effect"
import { chmodSync, existsSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { acquire, JournalLockedError, lockFile, LockError } from "../../src/store/Lock.ts"
import * as Process from "../cli/process.ts"

/** Whether the lock can't be had now. */
const isHeld = (database: string) =>
  Effect.scoped(acquire(database)).pipe(
    Effect.as(false),
    Effect.catchTag("JournalLockedError", () => Effect.succeed(true))
  )

/** Another process that takes the lock, says so, and keeps it until it is killed. */
const holder = (database: string) =>
  Effect.gen(function* () {
    const lock = pathToFileURL(join(Process.root, "dist", "store", "Lock.js")).href
    const running = yield* Process.node([
      "--input-type=module",
      "--eval",
      `import { Effect } from "effect"
       import { acquire } from ${JSON.stringify(lock)}
       Effect.runFork(Effect.scoped(Effect.zipRight(acquire(process.argv[1]),
         Effect.zipRight(Effect.sync(() => process.stdout.write("held")), Effect.never))))
       setInterval(() => {}, 1000)`,
      database
    ])
    yield* Process.until(() => running.stdout() === "held", running.stderr)
    return running
  })

describe("Lock", () => {
  it.scoped("lets nobody else in while it is held, and says who holds it", () =>
    Effect.gen(function* () {
      const database = join(yield* Process.directory, "journal.db")
      const other = yield* holder(database)
      const error = yield* Effect.flip(Effect.scoped(acquire(database)))
      expect(error).toBeInstanceOf(JournalLockedError)
      expect(error.message).toContain(database)
      if (existsSync("/proc/locks")) expect(error).toMatchObject({ pid: other.pid })
      expect(yield* isHeld(database)).toBe(true)
    })
  )

  it.scoped("is released by the kernel when its process is killed", () =>
    Effect.gen(function* () {
      const database = join(yield* Process.directory, "journal.db")
      const other = yield* holder(database)
      yield* other.kill("SIGKILL")
      yield* other.ended
      expect(yield* isHeld(database)).toBe(false)
      yield* acquire(database)
    })
  )

  it.scoped("is released with its scope, and holds within one process, too", () =>
    Effect.gen(function* () {
      const database = join(yield* Process.directory, "journal.db")
      const scope = yield* Scope.make()
      yield* Scope.extend(acquire(database), scope)
      expect(Either.isLeft(yield* Effect.either(Effect.scoped(acquire(database))))).toBe(true)
      yield* Scope.close(scope, Exit.void)
      yield* acquire(database)
    })
  )

  it.scoped("is not lost when this process tries to take it again", () =>
    Effect.gen(function* () {
      const database = join(yield* Process.directory, "journal.db")
      yield* acquire(database)
      // closing any descriptor of a file drops a process's POSIX locks on it: SQLite must not do that
      expect(yield* isHeld(database)).toBe(true)
      expect(yield* isHeld(database)).toBe(true)
      const other = yield* Process.node([
        "--input-type=module",
        "--eval",
        `import Database from ${JSON.stringify(pathToFileURL(join(Process.root, "node_modules", "better-sqlite3", "lib", "index.js")).href)}
         try { new Database(process.argv[1]).exec("BEGIN EXCLUSIVE"); console.log("in") } catch (error) { console.log(error.code) }`,
        lockFile(database)
      ])
      expect((yield* other.ended).stdout.trim()).toBe("SQLITE_BUSY")
    })
  )

  it.scoped("makes the database's directory, and leaves nothing beside the lock file", () =>
    Effect.gen(function* () {
      const directory = join(yield* Process.directory, "a", "b")
      yield* acquire(join(directory, "journal.db"))
      expect(readdirSync(directory)).toEqual(["journal.db.lock"])
      expect(statSync(join(directory, "journal.db.lock")).size).toBe(0)
    })
  )

  it.scoped("says which directory can't be written", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      // a plain file in the way stops root as well
      writeFileSync(join(directory, "file"), "")
      const inTheWay = yield* Effect.flip(acquire(join(directory, "file", "journal.db")))
      expect(inTheWay).toBeInstanceOf(LockError)
      expect(inTheWay.message).toContain(join(directory, "file"))
      if (process.getuid?.() !== 0) {
        chmodSync(directory, 0o500)
        const denied = yield* Effect.flip(acquire(join(directory, "journal.db")))
        expect(denied).toBeInstanceOf(LockError)
      }
    })
  )

  it.scoped("says that a lock file is none", () =>
    Effect.gen(function* () {
      const database = join(yield* Process.directory, "journal.db")
      writeFileSync(lockFile(database), "not a database, but long enough to have a header of one: ".repeat(4))
      const error = yield* Effect.flip(acquire(database))
      expect(error).toBeInstanceOf(LockError)
      expect(error.message).toContain("not a lock file")
    })
  )
})
