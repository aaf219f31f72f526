/**
 * {@link PauseRepo} in the journal's database.
 */
import { SqlClient } from "@effect/sql"
import { Effect, Layer, Schema } from "effect"
import type { JournalError } from "./Journal.ts"
import { journalError, type Failure } from "./JournalDb.ts"
import { PauseRepo } from "./PauseRepo.ts"
import { rows } from "./sqlTools.ts"

export const layer: Layer.Layer<PauseRepo, never, SqlClient.SqlClient> = Layer.effect(
  PauseRepo,
  Effect.map(SqlClient.SqlClient, (sql) => {
    const commit = <A>(effect: Effect.Effect<A, Failure>): Effect.Effect<void, JournalError> =>
      effect.pipe(Effect.asVoid, Effect.mapError(journalError("pause")))
    return PauseRepo.of({
      all: (what) =>
        rows(Row, sql`SELECT name, since FROM paused WHERE what = ${what} ORDER BY since, name`).pipe(
          Effect.map((all) => new Map(all.map(({ name, since }) => [name, since]))),
          Effect.mapError(journalError("read what is paused"))
        ),
      pause: (what, name, since) =>
        commit(sql`INSERT INTO paused (what, name, since) VALUES (${what}, ${name}, ${since}) ON CONFLICT DO NOTHING`),
      resume: (what, name) => commit(sql`DELETE FROM paused WHERE what = ${what} AND name = ${name}`)
    })
  })
)

const Row = Schema.Struct({ name: Schema.String, since: Schema.Number })
