/**
 * {@link UndoRepo} in the journal's database.
 */
import { SqlClient } from "@effect/sql"
import { Clock, Effect, Layer, Option, Schema } from "effect"
import { DeliveryId, open } from "../domain/Delivery.ts"
import { GenerationId, Stamp } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Moved } from "../files/Files.ts"
import { JournalError } from "./Journal.ts"
import { journalError, type Failure } from "./JournalDb.ts"
import { generationColumns, generationRows, readOrigin } from "./journalRows.ts"
import { LogRepo } from "./LogRepo.ts"
import { deliveryColumns, deliveryTables, StoredDelivery } from "./rows.ts"
import { inChunks, rows } from "./sqlTools.ts"
import { Before, GenerationState, UndoRepo, type Fate, type Undone } from "./UndoRepo.ts"

export const layer: Layer.Layer<UndoRepo, never, SqlClient.SqlClient | LogRepo> = Layer.effect(
  UndoRepo,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const logs = yield* LogRepo

    const read = <A>(effect: Effect.Effect<A, Failure>): Effect.Effect<A, JournalError> =>
      effect.pipe(Effect.withTracerEnabled(false), Effect.mapError(journalError("read what can be undone")))
    const commit = <A>(effect: Effect.Effect<A, Failure>): Effect.Effect<A, JournalError> =>
      sql.withTransaction(effect).pipe(Effect.withTracerEnabled(false), Effect.mapError(journalError("undo")))

    const find = (id: DeliveryId) =>
      Effect.gen(function* () {
        const theirs = sql`(SELECT generation FROM deliveries WHERE id = ${id})`
        const [row] = yield* rows(
          FateRow,
          sql`SELECT state, note, origin, archived, updated FROM generations WHERE id = ${theirs}`
        )
        const [generation] = yield* generationRows(
          sql`SELECT ${sql.literal(generationColumns)} FROM generations WHERE id = ${theirs}`
        )
        if (row === undefined || generation === undefined) return Option.none<Fate>()
        const deliveries = yield* rows(
          StoredDelivery,
          sql`SELECT ${sql.literal(deliveryColumns)} FROM ${sql.literal(deliveryTables)}
            WHERE d.generation = ${generation.id} AND d.anew IS NULL ORDER BY d.id`
        )
        return Option.some<Fate>({
          generation,
          state: row.state,
          note: row.note,
          origin: readOrigin(row.origin) ?? { source: generation.source, path: generation.path },
          archived: row.archived === null ? null : readMoved(row.archived),
          since: row.updated,
          deliveries
        })
      }).pipe(read)

    const last = (limit: number) =>
      rows(
        LastRow,
        // what was to be kept, or was put back, and is gone all the same was not moved by us
        sql`SELECT (SELECT min(d.id) FROM deliveries d WHERE d.generation = generations.id AND d.anew IS NULL) AS id
          FROM generations WHERE state IN ('DISPOSED', 'REPLACED', 'MOVED') AND state <> 'REPLACED' AND wanted > 0
            AND (state = 'MOVED' OR (after <> ${JSON.stringify({ _tag: "Keep" })} AND EXISTS
              (SELECT 1 FROM deliveries d WHERE d.generation = generations.id AND d.state = 'DELIVERED'
                AND d.undone IS NULL)))
          ORDER BY updated DESC, id DESC LIMIT ${limit}`
      ).pipe(
        Effect.map((all) => all.flatMap(({ id }) => (id === null ? [] : [id]))),
        read
      )

    const begin: (typeof UndoRepo.Service)["begin"] = (id, place, intent) =>
      Effect.gen(function* () {
        const [was] = yield* rows(
          PlaceRow,
          sql`SELECT source, path, stamp, state FROM generations WHERE id = ${id} AND state IN ('DISPOSED', 'MOVED')
            AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.generation = generations.id AND ${sql.in("state", open)})`
        )
        if (was === undefined) return false
        const before = encodeBefore({ ...was, path: RelPath.parse(was.path) })
        yield* sql`UPDATE generations SET state = 'UNDOING', source = ${place.source},
            path = ${RelPath.display(place.path)}, stamp = ${place.stamp}, undo = ${JSON.stringify([before, intent])}
          WHERE id = ${id}`
        return true
      }).pipe(commit)

    const end = (id: GenerationId, { marker, reason, stamp, taken }: Undone) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const [row] = yield* rows(
          PlaceRow,
          sql`SELECT source, path, stamp, state FROM generations WHERE id = ${id} AND state = 'UNDOING'`
        )
        if (row === undefined) return
        const is = stamp ?? row.stamp
        const others = yield* rows(
          IdRow,
          sql`SELECT id FROM generations
            WHERE source = ${row.source} AND path = ${row.path} AND stamp = ${is} AND id <> ${id}`
        )
        // it was found as a new file: that one has it now
        if (others.length > 0) yield* sql`UPDATE generations SET state = 'REPLACED' WHERE id = ${id}`
        else yield* sql`UPDATE generations SET state = 'UNDONE', stamp = ${is} WHERE id = ${id}`
        yield* sql`UPDATE generations SET marker = ${marker === null ? null : RelPath.display(marker)}, note = NULL,
            undo = NULL, archived = NULL, updated = ${now} WHERE id = ${id}`
        yield* inChunks(
          taken,
          (chunk) => sql`UPDATE deliveries
            SET state = 'CANCELLED', reason = ${reason}, chosen = NULL, due = NULL, updated = ${now}
            WHERE ${sql.in("id", chunk)}`
        )
        // of what is there no more, there is no proof; and it may be delivered again
        yield* inChunks(taken, (chunk) => sql`DELETE FROM receipts WHERE ${sql.in("delivery", chunk)}`)
        yield* sql`UPDATE deliveries SET undone = ${now} WHERE generation = ${id}`
        const all = yield* rows(CreatedRow, sql`SELECT id, created FROM deliveries WHERE generation = ${id}`)
        const since = all.reduce((least, { created }) => Math.min(least, created), now)
        yield* logs.undone(
          all.map((one) => one.id),
          since,
          now
        )
        yield* sql`DELETE FROM archives WHERE id = ${id}`
      }).pipe(commit)

    const rollBack = (id: GenerationId) =>
      Effect.gen(function* () {
        const [row] = yield* rows(UndoRow, sql`SELECT id, undo FROM generations WHERE id = ${id} AND state = 'UNDOING'`)
        if (row === undefined) return
        const [{ path, source, stamp, state }] = row.undo
        yield* sql`UPDATE generations SET state = ${state}, source = ${source}, path = ${RelPath.display(path)},
          stamp = ${stamp}, undo = NULL WHERE id = ${id}`
      }).pipe(commit)

    return UndoRepo.of({
      find,
      last,
      begin,
      end,
      rollBack,
      begun: rows(UndoRow, sql`SELECT id, undo FROM generations WHERE state = 'UNDOING' ORDER BY id`).pipe(
        Effect.map((all) => all.map(({ id, undo: [, intent] }) => ({ id, intent }))),
        read
      )
    })
  })
)

const encodeBefore = Schema.encodeSync(Before)

/** As `Moved`, with all that JSON makes of paths that are no text. */
const StoredMoved = Schema.parseJson(
  Schema.Struct({
    path: Schema.String,
    stamp: Stamp,
    marker: Schema.NullOr(Schema.Struct({ path: Schema.String, stamp: Stamp }))
  })
)

const readMoved: (json: string) => Moved = Schema.decodeSync(StoredMoved)

/** Where a file was archived, as the journal keeps it. */
export const writeMoved: (moved: Moved) => string = Schema.encodeSync(StoredMoved)

const FateRow = Schema.Struct({
  state: GenerationState,
  note: Schema.NullOr(Schema.String),
  origin: Schema.NullOr(Schema.String),
  archived: Schema.NullOr(Schema.String),
  updated: Schema.Number
})
const LastRow = Schema.Struct({ id: Schema.NullOr(DeliveryId) })
const PlaceRow = Schema.Struct({ source: Schema.String, path: Schema.String, stamp: Stamp, state: GenerationState })
const IdRow = Schema.Struct({ id: GenerationId })
const CreatedRow = Schema.Struct({ id: DeliveryId, created: Schema.Number })
const UndoRow = Schema.Struct({
  id: GenerationId,
  undo: Schema.parseJson(Schema.Tuple(Before, Schema.String))
})
