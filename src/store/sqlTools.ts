/**
 * Small things that the SQL stores share.
 */
import type { SqlClient, SqlError } from "@effect/sql"
import { Effect, Schema } from "effect"

/** The rows of a statement, checked. */
export const rows = <A, I, E, R>(schema: Schema.Schema<A, I>, statement: Effect.Effect<ReadonlyArray<unknown>, E, R>) =>
  Effect.flatMap(statement, Schema.decodeUnknown(Schema.Array(schema)))

/** Runs a statement over pieces of a list that stay below the number of variables a statement may have. */
export const inChunks = <A, B, E, R>(
  items: ReadonlyArray<A>,
  run: (chunk: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<B>, E, R>
): Effect.Effect<ReadonlyArray<B>, E, R> =>
  items.length === 0
    ? Effect.succeed([])
    : items.length <= chunkSize
      ? run(items)
      : Effect.gen(function* () {
          const all: Array<B> = []
          for (let start = 0; start < items.length; start += chunkSize) {
            for (const one of yield* run(items.slice(start, start + chunkSize))) all.push(one)
          }
          return all
        })

const chunkSize = 500

/** Rows that all have the same columns. */
export const insert = (
  sql: SqlClient.SqlClient,
  table: string,
  values: ReadonlyArray<Record<string, unknown>>
): Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError> =>
  inChunks(values, (chunk) => sql`INSERT INTO ${sql(table)} ${sql.insert(chunk)}`)
