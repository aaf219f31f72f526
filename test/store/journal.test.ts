import { describe, expect, it } from "@effect/vitest"
import { Migrator, SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Context, Effect, Either, Exit, Layer, Scope } from "effect"
import { spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Database from "../../src/store/Database.ts"
import { Journal } from "../../src/store/Journal.ts"
import { LogRepo } from "../../src/store/LogRepo.ts"
import { migrations } from "../../src/store/migrations/index.ts"
import * as Process from "../cli/process.ts"
import { admission, deliveredNow, failedNow, found, journalContract, target } from "../contracts/journal.ts"
import { inFile, inMemory, sqlite } from "./stores.ts"

journalContract("in memory", inMemory)
journalContract("in SQLite", sqlite(":memory:"))
journalContract("in a file", inFile)

const claim = (limit = 10, now = 1e12) =>
  Effect.flatMap(Journal, (journal) => journal.claim("memory://one", limit, now))

describe("JournalSql", () => {
  it.scoped("finds everything again when its file is opened again", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "journal.db")
      const first = yield* Effect.gen(function* () {
        const journal = yield* Journal
        yield* journal.admit("rules", [
          ...["a", "b", "c"].map((path) => admission(found(path))),
          admission(found("d"), [target("one", "x")], { _tag: "Delete" })
        ])
        const [a, , , d] = yield* claim()
        if (!a || !d) throw new Error("nothing claimed")
        yield* journal.conclude([failedNow(a, "DEAD"), deliveredNow(d)])
        return { id: journal.id, last: d.id }
      }).pipe(Effect.provide(sqlite(file)))
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        expect(journal.id).toBe(first.id)
        expect(yield* journal.unknown("/inbox", "rules", [found("a"), found("d"), found("e")])).toEqual([found("e")])
        expect((yield* journal.disposals(10)).map(({ generation }) => generation.path)).toEqual(["d"])
        expect(yield* journal.recover).toBe(2)
        yield* journal.admit("rules", [admission(found("e"), [target("one", "x")])])
        const all = yield* claim()
        expect(all.map(({ generation, interrupted }) => [generation.path, interrupted])).toEqual([
          ["b", true],
          ["c", true],
          ["e", false]
        ])
        expect(all[2]?.id).toBeGreaterThan(first.last)
        const logs = yield* (yield* LogRepo).stats("day")
        expect(logs.reduce((sum, one) => sum + one.files, 0)).toBe(2)
      }).pipe(Effect.provide(sqlite(file)))
    })
  )

  it.scoped("takes over the database of an earlier version, with all that waits in it", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "journal.db")
      const earlier = Migrator.make({})({
        loader: Migrator.fromRecord({ "0001_initial": migrations["0001_initial"] }),
        table: "filedispatch_migrations"
      })
      // its targets had fewer options
      const { url, scheme, lane, host, port, username, path } = target()
      const { concurrency, conflict, fieldname, method, retry, secure, timeout, upload } = target().options
      const definition = JSON.stringify({
        url,
        scheme,
        lane,
        host,
        port,
        username,
        path,
        options: { concurrency, conflict, fieldname, method, retry, secure, timeout, upload }
      })
      yield* Effect.gen(function* () {
        yield* earlier
        const sql = yield* SqlClient.SqlClient
        yield* sql`INSERT INTO journal VALUES ('the-id', 1)`
        yield* sql`INSERT INTO targets VALUES (1, ${definition}, 'memory://one')`
        yield* sql`INSERT INTO generations VALUES
          (1, '/inbox', 'a', '1:2:101:1000:1000', 101, 5, 6, '{"_tag":"Keep"}', 'OPEN', 1, 'rules', NULL, 7)`
        for (const [id, state] of [
          [1, "PENDING"],
          [2, "DEAD"]
        ] as const) {
          yield* sql`INSERT INTO deliveries
            VALUES (${id}, 1, 1, 'memory://one', 'route-0', 'a', ${state}, 2, NULL, 'cut', NULL, 0, 1, 8, 9)`
        }
      }).pipe(Effect.provide(SqliteClient.layer({ filename: file })))
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        expect(journal.id).toBe("the-id")
        // nobody has looked for what its interrupted attempt has left
        expect((yield* journal.litter("memory://one", 10)).map(({ id }) => id)).toEqual([2])
        const [delivery, ...others] = yield* claim()
        expect(others).toEqual([])
        expect(delivery).toMatchObject({
          id: 1,
          target: target(),
          attempts: 2,
          reason: "cut",
          resume: null,
          interrupted: true,
          generation: { path: "a", size: 101 }
        })
        if (delivery !== undefined) yield* journal.note(delivery.id, "part 1")
        expect(yield* journal.recover).toBe(1)
        expect((yield* claim())[0]?.resume).toBe("part 1")
      }).pipe(Effect.provide(sqlite(file)))
    })
  )

  it.effect("has an id unlike that of another journal", () =>
    Effect.gen(function* () {
      const id = Effect.map(Journal, (journal) => journal.id)
      expect(yield* Effect.provide(id, sqlite(":memory:"))).not.toBe(yield* Effect.provide(id, sqlite(":memory:")))
    })
  )

  it.effect("leaves nothing of a transaction that failed, and works on afterwards", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TRIGGER refuse BEFORE INSERT ON deliveries WHEN NEW.name = 'bad'
        BEGIN SELECT RAISE(ABORT, 'refused by the test'); END`
      // with a target that is new, which the next one needs as well
      const error = yield* Effect.flip(journal.admit("rules", [admission(found("good")), admission(found("bad"))]))
      expect(error._tag).toBe("JournalError")
      expect(error.message).toContain("refused by the test")
      expect(yield* sql`SELECT id FROM generations`).toEqual([])
      expect(yield* sql`SELECT id FROM targets`).toEqual([])
      expect(yield* journal.unknown("/inbox", "rules", [found("good")])).toEqual([found("good")])
      yield* journal.admit("rules", [admission(found("good")), admission(found("fine"), [target("one", "other")])])
      const claimed = yield* claim()
      expect(claimed.map((one) => one.target.url)).toEqual(["memory://one/in", "memory://one/other"])
    }).pipe(Effect.provide(sqlite(":memory:")))
  )

  it.effect("records an outcome and its log entry together or not at all", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const sql = yield* SqlClient.SqlClient
      yield* journal.admit("rules", [admission(found("a"))])
      const [delivery] = yield* claim()
      if (!delivery) throw new Error("nothing claimed")
      yield* sql`CREATE TRIGGER refuse BEFORE INSERT ON logs BEGIN SELECT RAISE(ABORT, 'no log today'); END`
      const error = yield* Effect.flip(journal.conclude([deliveredNow(delivery)]))
      expect(error.message).toContain("no log today")
      expect(yield* sql`SELECT state FROM deliveries`).toEqual([{ state: "SENDING" }])
      expect(yield* sql`SELECT delivery FROM receipts`).toEqual([])
      yield* sql`DROP TRIGGER refuse`
      yield* journal.conclude([deliveredNow(delivery)])
      expect(yield* sql`SELECT state FROM deliveries`).toEqual([{ state: "DELIVERED" }])
    }).pipe(Effect.provide(sqlite(":memory:")))
  )

  it.effect("says that the disk is full, and goes on when it is not any more", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const sql = yield* SqlClient.SqlClient
      const [{ pages } = { pages: 0 }] = yield* sql<{
        pages: number
      }>`SELECT page_count AS pages FROM pragma_page_count()`
      yield* sql.unsafe(`PRAGMA max_page_count = ${pages + 2}`).unprepared
      const many = Array.from({ length: 400 }, (_, index) => admission(found(`some-file-${index}`)))
      const error = yield* Effect.flip(journal.admit("rules", many))
      expect(error.message).toContain("full")
      expect(yield* sql`SELECT id FROM generations`).toEqual([])
      yield* sql.unsafe("PRAGMA max_page_count = 1000000").unprepared
      yield* journal.admit("rules", many)
      expect((yield* claim(1000)).length).toBe(400)
    }).pipe(Effect.provide(sqlite(":memory:")))
  )

  // a disk of its own, which only root may make
  it.scopedLive("goes on where the disk is full at a commit, not only at a statement", (context) =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const disk = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory])
      if (disk.status !== 0) return context.skip("no file system can be mounted here")
      yield* Effect.addFinalizer(() => Effect.sync(() => spawnSync("umount", ["-l", directory])))
      const services = yield* Layer.build(sqlite(join(directory, "journal.db")))
      const journal = Context.get(services, Journal)
      const ballast = join(directory, "ballast")
      const many = (name: string) => Array.from({ length: 100 }, (_, index) => admission(found(`${name}-${index}`)))
      let failed = 0
      let admitted = 0
      for (let round = 0; round < 60; round++) {
        const exit = yield* Effect.either(journal.admit("rules", many(`file-${round}`)))
        if (Either.isRight(exit)) admitted += 100
        else {
          failed += 1
          expect(exit.left.message).toContain("full")
        }
        if (round === 0) writeFileSync(ballast, Buffer.alloc(400_000))
      }
      expect(failed).toBeGreaterThan(1)
      rmSync(ballast)
      yield* journal.admit("rules", many("last"))
      expect((yield* journal.claim("memory://one", 10_000, 0)).length).toBe(admitted + 100)
    })
  )

  it.effect("claims, and finds what is owed, by an index", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const plan = (statement: string) =>
        Effect.map(sql.unsafe<{ readonly detail: string }>(`EXPLAIN QUERY PLAN ${statement}`), (rows) =>
          rows.map((row) => row.detail).join("\n")
        )
      const from = "FROM deliveries d JOIN generations g ON g.id = d.generation WHERE d.lane = 'x' AND"
      expect(yield* plan(`SELECT d.id, g.path ${from} d.state = 'PENDING' ORDER BY d.id LIMIT 5`)).toContain(
        "deliveries_waiting"
      )
      expect(
        yield* plan(`SELECT d.id ${from} d.state IN ('RETRY_WAIT', 'BLOCKED') AND d.due <= 5 ORDER BY d.due LIMIT 5`)
      ).toContain("deliveries_due")
    }).pipe(Effect.provide(sqlite(":memory:")))
  )
})

describe("the database", () => {
  const open = (file: string) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const exit = yield* Effect.exit(Layer.buildWithScope(Database.layer({ file, durability: "power" }), scope))
      yield* Scope.close(scope, Exit.void)
      return yield* exit
    })

  it.scoped("is not touched where it is another program's, or a later version's", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const foreign = join(directory, "mails.db")
      const run = (file: string, ...statements: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          for (const statement of statements) yield* sql.unsafe(statement)
        }).pipe(Effect.provide(SqliteClient.layer({ filename: file, disableWAL: true })))
      yield* run(foreign, "CREATE TABLE mails (subject TEXT)")
      const before = readFileSync(foreign)
      expect((yield* Effect.flip(open(foreign))).message).toContain("belongs to another program. Nothing was changed")
      expect(readFileSync(foreign).equals(before)).toBe(true)

      const later = join(directory, "later.db")
      yield* open(later)
      yield* run(
        later,
        "INSERT INTO filedispatch_migrations (migration_id, name) VALUES (9999, 'of the future')",
        "PRAGMA journal_mode = DELETE"
      )
      const was = readFileSync(later)
      expect((yield* Effect.flip(open(later))).message).toContain("was made by a later version of filedispatch")
      expect(readFileSync(later).equals(was)).toBe(true)
    })
  )

  it.scoped("is refused, with the reason, where it is not one", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const text = join(directory, "text.db")
      writeFileSync(text, "this is no database, although it is long enough to have the header of one ".repeat(100))
      const error = yield* Effect.flip(open(text))
      expect(error._tag).toBe("DatabaseError")
      expect(error.message).toContain(text)
      expect(error.message).toContain("not a database")
      expect(readFileSync(text, "utf8")).toContain("this is no database")

      const missing = yield* Effect.flip(open(join(directory, "missing", "journal.db")))
      expect(missing.message).toContain(join(directory, "missing", "journal.db"))
      expect(missing.message).toMatch(/can't be opened .*directory/)

      mkdirSync(join(directory, "folder.db"))
      expect((yield* Effect.flip(open(join(directory, "folder.db")))).message).toContain("can't be opened")
    })
  )

  it.scoped("is refused, with the reason, where it is damaged", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "journal.db")
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        yield* journal.admit(
          "rules",
          Array.from({ length: 500 }, (_, index) => admission(found(`file-${index}`)))
        )
      }).pipe(Effect.provide(sqlite(file)))
      const bytes = readFileSync(file)
      const damaged = Buffer.from(bytes)
      damaged.fill(0xab, 8192, Math.min(bytes.length, 8192 * 4))
      writeFileSync(file, damaged)
      const error = yield* Effect.flip(open(file))
      expect(error._tag).toBe("DatabaseError")
      expect(error.message).toContain(`The database ${file} is damaged`)
      // cut off in the middle
      writeFileSync(file, bytes)
      truncateSync(file, Math.floor(bytes.length / 2 / 4096) * 4096)
      expect((yield* Effect.flip(open(file))).message).toContain("damaged")
    })
  )

  // another user's rights, which root must put on for it
  it.scoped.skipIf(process.getuid?.() !== 0 || process.seteuid === undefined)("is refused where it is read-only", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const file = join(directory, "journal.db")
      yield* open(file)
      chmodSync(directory, 0o555)
      chmodSync(file, 0o444)
      yield* Effect.acquireRelease(
        Effect.sync(() => process.seteuid?.(65_534)),
        () => Effect.sync(() => process.seteuid?.(0))
      )
      const error = yield* Effect.flip(open(file))
      expect(error._tag).toBe("DatabaseError")
      expect(error.message).toMatch(/read-only|can't be opened/)
      expect(error.message).toContain(file)
    })
  )

  it.scoped("keeps what it says it keeps", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const level = (durability: "power" | "crash") =>
        Effect.gen(function* () {
          const context = yield* Layer.build(Database.layer({ file: join(directory, durability), durability }))
          const sql = Context.get(context, SqlClient.SqlClient)
          return [yield* sql`PRAGMA synchronous`.unprepared, yield* sql`PRAGMA journal_mode`.unprepared]
        })
      expect(yield* level("power")).toEqual([[{ synchronous: 2 }], [{ journal_mode: "wal" }]])
      expect(yield* level("crash")).toEqual([[{ synchronous: 1 }], [{ journal_mode: "wal" }]])
    })
  )
})
