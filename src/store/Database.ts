/**
 * The embedded database: SQLite in one file, in WAL mode, with this process as its only writer.
 */
import { Migrator, SqlClient } from "@effect/sql"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Cause, Effect, Layer, Option, Schema, Scope } from "effect"
import { migrations } from "./migrations/index.ts"

/** The database can't be used. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>("filedispatch/DatabaseError")("DatabaseError", {
  file: Schema.String,
  reason: Schema.String,
  cause: Schema.optionalWith(Schema.Defect, { as: "Option" })
}) {
  override get message() {
    return this.reason
  }
}

export interface DatabaseOptions {
  /** A path, or `:memory:`. */
  readonly file: string
  /** `power`: every commit is synced; `crash`: commits survive a killed process, not a power cut. */
  readonly durability: "power" | "crash"
}

/** Opens the database, checks it, and brings its tables up to date. */
export const layer = (options: DatabaseOptions): Layer.Layer<SqlClient.SqlClient, DatabaseError> =>
  prepare(options).pipe(
    Layer.effectDiscard,
    // not before it is known to be ours
    Layer.provideMerge(SqliteClient.layer({ filename: options.file, disableWAL: true })),
    Layer.catchAllCause((cause) => Layer.fail(databaseError(options.file, cause)))
  )

const prepare = Effect.fn("Database.prepare")(function* (options: DatabaseOptions) {
  const sql = yield* SqlClient.SqlClient
  Object.assign(sql, { withTransaction: transaction(sql) })
  const { version } = yield* first(VersionRow, sql`SELECT sqlite_version() AS version`)
  if (olderThan(version, minimumSqlite)) {
    return yield* new DatabaseError({
      file: options.file,
      reason:
        `This build of SQLite is ${version}; versions before ${minimumSqlite} can corrupt a database in WAL mode. ` +
        `Reinstall better-sqlite3.`,
      cause: Option.none()
    })
  }
  yield* sql`PRAGMA busy_timeout = 5000`.unprepared
  yield* ours(options.file)
  yield* sql`PRAGMA journal_mode = WAL`.unprepared
  yield* sql`PRAGMA synchronous = ${sql.literal(options.durability === "power" ? "FULL" : "NORMAL")}`.unprepared
  // 8 MiB: the parts of the indexes that a busy journal writes to
  yield* sql`PRAGMA cache_size = -8192`.unprepared
  const { pages } = yield* first(PagesRow, sql`SELECT page_count AS pages FROM pragma_page_count()`)
  // reads the whole file, and the index of names with care: worth it while that takes well under a second
  if (pages < 10_000) {
    const check = yield* first(CheckRow, sql`PRAGMA quick_check(1)`.unprepared)
    if (check.quick_check !== "ok") return yield* corrupt(options.file, check.quick_check)
  }
  yield* Migrator.make({})({ loader: Migrator.fromRecord(migrations), table: "filedispatch_migrations" })
})

/** The number of the last migration that this version knows. */
const newest = Math.max(...Object.keys(migrations).map((key) => Number.parseInt(key, 10)))

/** Fails where the database is another program's, or a later version's: it is not to be touched. */
const ours = Effect.fnUntraced(function* (file: string) {
  const sql = yield* SqlClient.SqlClient
  const { mine, tables } = yield* first(
    TablesRow,
    sql`SELECT count(*) AS tables, coalesce(sum(name = 'filedispatch_migrations'), 0) AS mine
      FROM sqlite_master WHERE type = 'table'`
  )
  if (tables === 0) return
  const refuse = (reason: string) => Effect.fail(new DatabaseError({ file, reason, cause: Option.none() }))
  if (mine === 0) {
    return yield* refuse(
      `The database ${file} belongs to another program. Nothing was changed. Choose another file (\`db\` in the config, or --db).`
    )
  }
  const { last } = yield* first(LastRow, sql`SELECT max(migration_id) AS last FROM filedispatch_migrations`)
  if ((last ?? 0) > newest) {
    return yield* refuse(
      `The database ${file} was made by a later version of filedispatch, which this one can't read. Nothing was changed. Use that version, or choose another file (\`db\` in the config, or --db).`
    )
  }
})

/**
 * Fails where an earlier version made the database and this one has not opened it for writing yet: it lacks columns, and
 * who only reads can't add them.
 */
export const upToDate = (file: string): Effect.Effect<void, DatabaseError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { last } = yield* first(LastRow, sql`SELECT max(migration_id) AS last FROM filedispatch_migrations`)
    if ((last ?? 0) >= newest) return
    return yield* new DatabaseError({
      file,
      reason:
        "an earlier version has made it: start filedispatch with this config once, so that it is brought up to date",
      cause: Option.none()
    })
  }).pipe(
    Effect.catchTags({ SqlError: (error) => unreadable(file, error), ParseError: (error) => unreadable(file, error) })
  )

const unreadable = (file: string, error: unknown) =>
  Effect.fail(new DatabaseError({ file, reason: lastMessage(error), cause: Option.some(error) }))

/**
 * The client's own transactions make a defect of a COMMIT that fails, and leave the transaction open. A full disk is
 * first noticed there, so this one rolls back and fails as any other statement does.
 */
const transaction = (sql: SqlClient.SqlClient): SqlClient.SqlClient["withTransaction"] => {
  const run = (statement: string) => (connection: Connection) => connection.executeUnprepared(statement, [], undefined)
  // SQLite may have rolled back by itself already
  const rollback = (connection: Connection) => Effect.ignore(run("ROLLBACK")(connection))
  const within = SqlClient.makeWithTransaction({
    transactionTag: SqlClient.TransactionConnection,
    spanAttributes: [],
    acquireConnection: Effect.flatMap(Scope.make(), (scope) =>
      Effect.map(Scope.extend(sql.reserve, scope), (connection) => [scope, connection] as const)
    ),
    begin: run("BEGIN IMMEDIATE"),
    savepoint: (connection, id) => run(`SAVEPOINT nested_${id}`)(connection),
    commit: (connection) => Effect.tapError(run("COMMIT")(connection), () => rollback(connection)),
    rollback,
    rollbackSavepoint: (connection, id) => run(`ROLLBACK TO SAVEPOINT nested_${id}`)(connection)
  })
  return (effect) =>
    Effect.catchSomeDefect(within(effect), (defect) =>
      defect instanceof SqlError ? Option.some(Effect.fail(defect)) : Option.none()
    )
}

const minimumSqlite = "3.51.3"

const VersionRow = Schema.Struct({ version: Schema.String })
const TablesRow = Schema.Struct({ tables: Schema.Number, mine: Schema.Number })
const PagesRow = Schema.Struct({ pages: Schema.Number })
const LastRow = Schema.Struct({ last: Schema.NullOr(Schema.Number) })
const CheckRow = Schema.Struct({ quick_check: Schema.String })

const first = <A, I, E, R>(schema: Schema.Schema<A, I>, rows: Effect.Effect<ReadonlyArray<unknown>, E, R>) =>
  Effect.flatMap(rows, (all) => Schema.decodeUnknown(schema)(all[0]))

const olderThan = (version: string, minimum: string): boolean => {
  const left = version.split(".").map(Number)
  const right = minimum.split(".").map(Number)
  for (let index = 0; index < right.length; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}

const corrupt = (file: string, detail: string, cause: Option.Option<unknown> = Option.none()) =>
  new DatabaseError({
    file,
    reason:
      `The database ${file} is damaged (${detail.replace(/\s+/g, " ")}). Nothing was changed. Restore it from a backup, or ` +
      `move it away, together with ${file}-wal and ${file}-shm, to start with an empty journal: what is still in the ` +
      `sources is then dispatched again, also what had been delivered and is kept there.`,
    cause
  })

const databaseError = (file: string, cause: Cause.Cause<unknown>): DatabaseError => {
  const error = Cause.squash(cause)
  if (error instanceof DatabaseError) return error
  const codes = sqliteCodes(error)
  const some = Option.some(error)
  const detail = lastMessage(error)
  if (codes.some((code) => code === "SQLITE_NOTADB" || code.startsWith("SQLITE_CORRUPT"))) {
    return corrupt(file, detail, some)
  }
  if (codes.some((code) => code.startsWith("SQLITE_READONLY"))) {
    return new DatabaseError({
      file,
      reason: `The database ${file} is read-only. Make it and its directory writable for this user, or choose another with --db.`,
      cause: some
    })
  }
  if (codes.some((code) => code.startsWith("SQLITE_CANTOPEN")) || /directory does not exist/.test(detail)) {
    return new DatabaseError({
      file,
      reason: `The database ${file} can't be opened (${detail}). Check that its directory exists and is writable, or choose another with --db.`,
      cause: some
    })
  }
  if (codes.some((code) => code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED"))) {
    return new DatabaseError({
      file,
      reason: `The database ${file} is locked by another program, such as a backup or a database browser. Close that, then start again.`,
      cause: some
    })
  }
  if (codes.some((code) => code.startsWith("SQLITE_IOERR"))) {
    return new DatabaseError({
      file,
      reason: `The database ${file} can't be read or written (${detail}). Look at its disk, and at the system's log.`,
      cause: some
    })
  }
  if (codes.some((code) => code.startsWith("SQLITE_FULL"))) {
    return new DatabaseError({
      file,
      reason: `The disk that holds the database ${file} is full. Free some space, then start again.`,
      cause: some
    })
  }
  return new DatabaseError({ file, reason: `The database ${file} can't be used: ${detail}.`, cause: some })
}

/** The `code`s along the chain of causes: SqlError wraps the driver's own error. */
export const sqliteCodes = (error: unknown): ReadonlyArray<string> =>
  chain(error).flatMap((link) => (hasString(link, "code") ? [link.code] : []))

const lastMessage = (error: unknown): string => {
  const links = chain(error)
  const last = links[links.length - 1]
  return last instanceof Error ? last.message : String(last)
}

const chain = (error: unknown): ReadonlyArray<unknown> => {
  const links: Array<unknown> = []
  let link = error
  while (link !== undefined && link !== null && links.length < 10) {
    links.push(link)
    link = typeof link === "object" && "cause" in link ? link.cause : undefined
  }
  return links
}

const hasString = <K extends string>(value: unknown, key: K): value is Record<K, string> =>
  typeof value === "object" && value !== null && key in value && typeof Reflect.get(value, key) === "string"
