/**
 * What the parts of the journal over SQL work with: the client, the targets, the last ids, and one kind of error.
 */
import { SqlClient, type SqlError } from "@effect/sql"
import { Clock, Effect, Option, type ParseResult, Schema } from "effect"
import { v4 as uuid } from "uuid"
import { sqliteCodes } from "./Database.ts"
import { JournalError } from "./Journal.ts"
import { LogRepo, type LogError } from "./LogRepo.ts"
import { sqlReason } from "./sqlReason.ts"
import { rows } from "./sqlTools.ts"
import * as TargetTable from "./TargetTable.ts"

export type Failure = SqlError.SqlError | ParseResult.ParseError | LogError

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const logs = yield* LogRepo
  return {
    sql,
    logs,
    /** The journal's own. */
    id: yield* journalId(sql),
    /** The last that were given: one process writes, so they are counted here. */
    last: { generation: yield* lastId(sql, "generations"), delivery: yield* lastId(sql, "deliveries") },
    targets: yield* TargetTable.make(sql),
    /** One transaction, one kind of error. */
    commit:
      (operation: string) =>
      <A>(effect: Effect.Effect<A, Failure>): Effect.Effect<A, JournalError> =>
        sql.withTransaction(effect).pipe(
          // a span for each statement costs more than the statement
          Effect.withTracerEnabled(false),
          Effect.mapError(journalError(operation))
        ),
    read:
      (operation: string) =>
      <A>(effect: Effect.Effect<A, Failure>): Effect.Effect<A, JournalError> =>
        effect.pipe(Effect.withTracerEnabled(false), Effect.mapError(journalError(operation)))
  }
})

export type JournalDb = Effect.Effect.Success<typeof make>

export const journalError =
  (operation: string) =>
  (error: Failure): JournalError => {
    const codes = sqliteCodes(error._tag === "LogError" ? Option.getOrNull(error.cause) : error)
    const doing = `The journal could not ${operation}`
    return new JournalError({
      reason: codes.some((code) => code.startsWith("SQLITE_FULL"))
        ? "The disk that holds the journal is full: free some space; deliveries go on by themselves."
        : codes.some((code) => code.startsWith("SQLITE_READONLY"))
          ? "The journal's database is read-only: make the file and its directory writable."
          : error._tag === "LogError"
            ? `${doing}: ${error.reason}`
            : sqlReason(doing, error),
      cause: Option.some(error)
    })
  }

const lastId = (sql: SqlClient.SqlClient, table: "generations" | "deliveries") =>
  Effect.map(
    rows(Schema.Struct({ id: Schema.NullOr(Schema.Number) }), sql`SELECT max(id) AS id FROM ${sql(table)}`),
    (all) => all[0]?.id ?? 0
  )

const journalId = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const found = yield* rows(Schema.Struct({ id: Schema.String }), sql`SELECT id FROM journal`)
  if (found[0] !== undefined) return found[0].id
  const id = uuid()
  const now = yield* Clock.currentTimeMillis
  yield* sql`INSERT INTO journal ${sql.insert({ id, created: now })}`
  return id
})
