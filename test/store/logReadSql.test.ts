import { describe, expect, it } from "@effect/vitest"
import { SqlClient } from "@effect/sql"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { buildSync } from "esbuild"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { afterAll } from "vitest"
import { LogRepo } from "../../src/store/LogRepo.ts"
import * as LogRepoSql from "../../src/store/LogRepoSql.ts"
import * as ReadSql from "../../src/store/ReadSql.ts"
import { logEntry, logRepoContract } from "../contracts/logRepo.ts"
import { testDatabase } from "./testDatabase.ts"

// where node finds better-sqlite3 from
const cache = fileURLToPath(new URL("../../node_modules/.cache", import.meta.url))
mkdirSync(cache, { recursive: true })
const built = mkdtempSync(join(cache, "read-worker-"))
const databases = mkdtempSync(join(tmpdir(), "fd-read-"))
afterAll(() => {
  rmSync(built, { recursive: true })
  rmSync(databases, { recursive: true })
})

const entry = join(built, "readWorker.mjs")
buildSync({
  entryPoints: [fileURLToPath(new URL("../../src/store/readWorker.ts", import.meta.url))],
  outfile: entry,
  format: "esm",
  platform: "node"
})
const worker = pathToFileURL(entry)

let made = 0
const file = () => join(databases, `${(made += 1)}.db`)

const layers = (filename: string) =>
  ReadSql.layerWorker(filename, worker).pipe(Layer.provideMerge(testDatabase(filename)))

// suspended, so that every test has a database of its own
const fresh = Layer.suspend(() => layers(file()))

logRepoContract("in SQLite, read by a thread", LogRepoSql.layer.pipe(Layer.provide(fresh)))

describe("ReadSql", () => {
  it.effect("sees what was committed, as rows and as values", () =>
    Effect.gen(function* () {
      const repo = yield* LogRepo
      const read = yield* ReadSql.ReadSql
      expect(yield* read`SELECT id FROM logs`).toEqual([])
      yield* repo.append([logEntry(1)])
      expect(yield* read`SELECT id, byte_size FROM logs WHERE filename = ${"file-1.txt"}`).toEqual([
        { id: logEntry(1).id, byte_size: 1 }
      ])
      expect(yield* read`SELECT id, byte_size FROM logs`.values).toEqual([[logEntry(1).id, 1]])
    }).pipe(Effect.provide(LogRepoSql.layer.pipe(Layer.provideMerge(fresh))))
  )

  it.effect("can't write, and has no transactions", () =>
    Effect.gen(function* () {
      const read = yield* ReadSql.ReadSql
      const error = yield* Effect.flip(read`DELETE FROM logs`)
      expect(error.cause).toMatchObject({ message: expect.stringMatching(/readonly|does not return data/) })
      const transaction = yield* Effect.flip(read.withTransaction(Effect.void))
      expect(transaction.message).toBe("the read connection has no transactions")
    }).pipe(Effect.provide(fresh))
  )

  it.effect("answers while a transaction of the writer is open, from before it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const read = yield* ReadSql.ReadSql
      const begun = yield* Deferred.make<void>()
      const finish = yield* Deferred.make<void>()
      const writer = yield* sql`INSERT INTO journal (id, created) VALUES ('x', 1)`.pipe(
        Effect.zipRight(Deferred.succeed(begun, undefined)),
        Effect.zipRight(Deferred.await(finish)),
        sql.withTransaction,
        Effect.fork
      )
      yield* Deferred.await(begun)
      expect(yield* read`SELECT id FROM journal`).toEqual([])
      yield* Deferred.succeed(finish, undefined)
      yield* Fiber.join(writer)
      expect(yield* read`SELECT id FROM journal`).toEqual([{ id: "x" }])
    }).pipe(Effect.provide(fresh))
  )

  it.effect("fails with the database's words", () =>
    Effect.gen(function* () {
      const read = yield* ReadSql.ReadSql
      const error = yield* Effect.flip(read`SELECT * FROM nowhere`)
      expect(error.cause).toMatchObject({ message: "no such table: nowhere", code: "SQLITE_ERROR" })
    }).pipe(Effect.provide(fresh))
  )

  it.live("an interrupted question leaves the others their answers", () =>
    Effect.gen(function* () {
      const read = yield* ReadSql.ReadSql
      const slow = read`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)
        SELECT MAX(i) FROM n`
      const running = yield* Effect.fork(slow)
      const waiting = yield* Effect.fork(read`SELECT 1 AS one`)
      yield* Effect.yieldNow()
      const interrupted = yield* Fiber.interrupt(running)
      expect(Exit.isInterrupted(interrupted)).toBe(true)
      expect(yield* Fiber.join(waiting)).toEqual([{ one: 1 }])
    }).pipe(Effect.provide(fresh))
  )

  const crashing = join(built, "crashing.mjs")
  writeFileSync(
    crashing,
    `import { parentPort } from "node:worker_threads"
    parentPort.on("message", ({ id, sql }) => {
      if (sql === "exit") process.exit(3)
      if (sql === "throw") throw new Error("out of luck")
      if (sql !== "hang") parentPort.postMessage({ id, rows: [{ sql }] })
    })`
  )

  it.live("a dying thread fails what was asked, and the next question starts another", () =>
    Effect.gen(function* () {
      const read = yield* ReadSql.ReadSql
      const exit = yield* Effect.flip(read.unsafe("exit"))
      expect(exit.message).toBe("the thread that reads ended: exit code 3")
      expect(yield* read.unsafe("hello")).toEqual([{ sql: "hello" }])
      const thrown = yield* Effect.flip(read.unsafe("throw"))
      expect(thrown.message).toBe("the thread that reads ended: out of luck")
      expect(yield* read.unsafe("again")).toEqual([{ sql: "again" }])
    }).pipe(Effect.provide(ReadSql.layerWorker("unused", pathToFileURL(crashing))))
  )

  it.live("closing fails what is still asked, and ends the thread", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(ReadSql.layerWorker("unused", pathToFileURL(crashing)), scope)
      const read = yield* ReadSql.ReadSql.pipe(Effect.provide(context))
      yield* read.unsafe("hello")
      const hanging = yield* Effect.fork(Effect.flip(read.unsafe("hang")))
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      expect((yield* Fiber.join(hanging)).message).toBe("the thread that reads ended: the program is ending")
      expect((yield* Effect.flip(read.unsafe("late"))).message).toBe("the program is ending")
    })
  )
})
