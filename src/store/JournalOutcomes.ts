/**
 * The journal over SQL: what came of attempts, and what comes of source files then.
 */
import { Clock, Effect, Schema } from "effect"
import { DeliveryState, type Receipt } from "../domain/Delivery.ts"
import type { Facts } from "../domain/Facts.ts"
import { GenerationId, type Generation, type Stamp } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Moved } from "../files/Files.ts"
import type { Conclusion, Concluded, Disposal } from "./Journal.ts"
import type { JournalDb } from "./JournalDb.ts"
import { generationColumns, generationRows, readOrigin, writeOrigin } from "./journalRows.ts"
import { affected, dueAt, isDead, mergeFacts, rememberedAttempts, waits } from "./journalRules.ts"
import { StoredFacts } from "./rows.ts"
import { inChunks, insert, rows } from "./sqlTools.ts"
import { writeMoved } from "./UndoSql.ts"

export const make = ({ commit, logs, read, sql }: JournalDb) => {
  const conclude = (batch: ReadonlyArray<Conclusion>) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const delivered = batch.filter((conclusion) => conclusion._tag === "Delivered")
      const failed = batch.filter((conclusion) => conclusion._tag === "NotDelivered")
      yield* inChunks(
        delivered.map(({ delivery }) => delivery.id),
        (chunk) => sql`UPDATE deliveries
          SET state = 'DELIVERED', reason = NULL, due = NULL, resume = NULL, interrupted = 0, updated = ${now}
          WHERE ${sql.in("id", chunk)}`
      )
      // the hash of the source is a column more only for those that have it
      const transformed = delivered.filter(({ receipt }) => receipt.sourceSha256 !== undefined)
      const plain = transformed.length === 0 ? delivered : delivered.filter((one) => !transformed.includes(one))
      yield* insert(sql, "receipts", plain.map(receiptRow))
      yield* insert(
        sql,
        "receipts",
        transformed.map((one) => ({ ...receiptRow(one), source_sha256: one.receipt.sourceSha256 ?? null }))
      )
      for (const one of failed) {
        // what waits, or had no source, may not have got as far as looking for the traces of an interrupted attempt
        yield* sql`UPDATE deliveries
          SET state = ${one.state}, reason = ${one.reason}, due = ${dueAt(one, now)}, updated = ${now},
            attempts = attempts + ${one.counts ? 1 : 0}, lost = ${one.lost === true ? 1 : 0},
            interrupted = ${waits.has(one.state) || one.traces === true ? sql.literal("interrupted") : 0}
          WHERE id = ${one.delivery.id}`
      }
      yield* inChunks(
        failed.filter((one) => one.lost === true).map(({ delivery }) => delivery.generation.id),
        (chunk) => sql`UPDATE generations SET lost = 1 WHERE ${sql.in("id", chunk)}`
      )
      yield* insert(
        sql,
        "attempts",
        failed
          .filter((one) => one.state !== "PENDING")
          .map((one) => ({
            delivery: one.delivery.id,
            number: one.delivery.attempts + 1,
            started: one.started,
            ended: one.ended,
            outcome: one.state,
            reason: one.reason
          }))
      )
      for (const one of failed) {
        // those that count are bounded by the retry policy
        if (one.counts) continue
        const { id } = one.delivery
        yield* sql`DELETE FROM attempts WHERE delivery = ${id} AND rowid <=
          (SELECT rowid FROM attempts WHERE delivery = ${id} ORDER BY rowid DESC LIMIT 1 OFFSET ${rememberedAttempts})`
      }
      const entries = batch.flatMap((conclusion) => (conclusion.log === null ? [] : [conclusion.log]))
      if (entries.length > 0) yield* logs.append(entries)
      return yield* settle(affected(batch), now)
    }).pipe(commit("conclude"))

  /** Marks those of these generations that have nothing more to wait for. */
  const settle = (generations: ReadonlyMap<GenerationId, Generation>, now: number) =>
    Effect.gen(function* () {
      if (generations.size === 0) return nothing
      const unfinished = new Map<GenerationId, Set<DeliveryState>>()
      const ids = Array.from(generations.keys())
      for (const row of yield* inChunks(ids, (chunk) =>
        rows(
          UnfinishedRow,
          sql`SELECT DISTINCT generation, state FROM deliveries
            WHERE ${sql.in("generation", chunk)} AND state <> 'DELIVERED' AND anew IS NULL`
        )
      )) {
        const states = unfinished.get(row.generation)
        if (states === undefined) unfinished.set(row.generation, new Set([row.state]))
        else states.add(row.state)
      }
      const done: Array<GenerationId> = []
      const dead: Array<GenerationId> = []
      for (const [id, generation] of generations) {
        const states = unfinished.get(id)
        if (states === undefined && generation.after._tag !== "Keep") done.push(id)
        if (states !== undefined && generation.onDead?._tag === "Move" && isDead(states)) dead.push(id)
      }
      // one that was replaced meanwhile is not to be touched: its path holds another file now
      const disposing = yield* inChunks(done, (chunk) =>
        rows(
          IdRow,
          sql`UPDATE generations SET state = 'DISPOSING', note = NULL, updated = ${now}
            WHERE ${sql.in("id", chunk)} AND state <> 'REPLACED' RETURNING id`
        )
      )
      const moving = yield* inChunks(dead, (chunk) =>
        rows(
          IdRow,
          sql`UPDATE generations SET state = 'MOVING', note = NULL, updated = ${now}
            WHERE ${sql.in("id", chunk)} AND state IN ('OPEN', 'DONE', 'UNDONE') AND origin IS NULL RETURNING id`
        )
      )
      const of = (marked: ReadonlyArray<{ readonly id: GenerationId }>) =>
        marked.flatMap(({ id }) => {
          const found = generations.get(id)
          return found === undefined ? [] : [found]
        })
      return { dispose: of(disposing), dead: of(moving) } satisfies Concluded
    })

  const replaced = (id: GenerationId) =>
    rows(IdRow, sql`SELECT id FROM generations WHERE id = ${id} AND state = 'REPLACED'`).pipe(
      Effect.map((found) => found.length > 0),
      read("replaced")
    )

  const disposals = (limit: number) =>
    Effect.gen(function* () {
      const marked = yield* rows(
        MarkedRow,
        sql`SELECT id, state, origin, updated FROM generations
          WHERE state IN ('DISPOSING', 'MOVING') AND note IS NULL ORDER BY id LIMIT ${limit}`
      )
      const ids = marked.map(({ id }) => id)
      const generations = new Map<GenerationId, Generation>()
      for (const generation of yield* inChunks(ids, (chunk) =>
        generationRows(sql`SELECT ${sql.literal(generationColumns)} FROM generations WHERE ${sql.in("id", chunk)}`)
      )) {
        generations.set(generation.id, generation)
      }
      // only a template asks for them
      const byTemplate = marked.filter(
        ({ id, state }) => state === "MOVING" || generations.get(id)?.after._tag === "Archive"
      )
      const facts = yield* factsOf(byTemplate.map(({ id }) => id))
      return marked.flatMap(({ id, origin, state, updated }): ReadonlyArray<Disposal> => {
        const generation = generations.get(id)
        if (generation === undefined) return []
        return [
          {
            generation,
            because: state === "MOVING" ? "dead" : "done",
            origin: readOrigin(origin) ?? { source: generation.source, path: generation.path },
            facts: facts.get(id) ?? null,
            since: updated
          }
        ]
      })
    }).pipe(read("disposals"))

  /** What the deliveries of each know of its content: the first that knows it is heard. */
  const factsOf = (ids: ReadonlyArray<GenerationId>) =>
    Effect.gen(function* () {
      const all = new Map<GenerationId, Facts>()
      for (const row of yield* inChunks(ids, (chunk) =>
        rows(
          FactsRow,
          sql`SELECT d.generation, d.facts, COALESCE(r.source_sha256, r.sha256) AS sha256
            FROM deliveries d LEFT JOIN receipts r ON r.delivery = d.id
            WHERE ${sql.in("d.generation", chunk)} AND (d.facts IS NOT NULL OR r.sha256 IS NOT NULL) ORDER BY d.id`
        )
      )) {
        all.set(row.generation, mergeFacts(all.get(row.generation), row.facts, row.sha256))
      }
      return all
    })

  const disposed = (
    batch: ReadonlyArray<{
      readonly id: GenerationId
      readonly note: string | null
      readonly later?: boolean | undefined
      readonly archived?: Moved | undefined
    }>
  ) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      yield* inChunks(
        batch.filter((one) => one.note === null).map((one) => one.id),
        (chunk) =>
          sql`UPDATE generations SET state = 'DISPOSED', note = NULL, updated = ${now} WHERE ${sql.in("id", chunk)}`
      )
      for (const { archived, id } of batch) {
        if (archived === undefined) continue
        yield* sql`UPDATE generations SET archived = ${writeMoved(archived)} WHERE id = ${id}`
      }
      for (const one of batch) {
        if (one.note === null) continue
        if (one.later === true) {
          // its time stays that of the intent
          yield* sql`UPDATE generations SET note = ${one.note} WHERE id = ${one.id}`
          continue
        }
        yield* sql`UPDATE generations SET state = 'DONE', note = ${one.note}, updated = ${now} WHERE id = ${one.id}`
      }
    }).pipe(commit("disposed"))

  const retryDisposals = sql`UPDATE generations SET note = NULL
    WHERE state IN ('DISPOSING', 'MOVING') AND note IS NOT NULL`.pipe(Effect.asVoid, commit("retryDisposals"))

  const moved = (
    id: GenerationId,
    place: {
      readonly source: string
      readonly path: RelPath.RelPath
      readonly stamp: Stamp
      readonly marker: RelPath.RelPath | null
    }
  ) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const { marker, path, source, stamp } = asText(place)
      const taken = yield* rows(
        IdRow,
        sql`SELECT id FROM generations
          WHERE source = ${source} AND path = ${RelPath.display(path)} AND stamp = ${stamp} AND id <> ${id}`
      )
      if (taken.length > 0) {
        // it was found there as a new file: that one has it now
        yield* sql`UPDATE generations SET state = 'REPLACED', updated = ${now} WHERE id = ${id}`
        return
      }
      const [was] = yield* generationRows(
        sql`SELECT ${sql.literal(generationColumns)} FROM generations WHERE id = ${id}`
      )
      if (was === undefined) return
      yield* sql`UPDATE generations SET state = 'MOVED', source = ${source}, path = ${RelPath.display(path)},
          stamp = ${stamp}, marker = ${marker === null ? null : RelPath.display(marker)},
          origin = COALESCE(origin, ${writeOrigin(was.source, was.path)}), updated = ${now}
        WHERE id = ${id}`
    }).pipe(commit("moved"))

  const archived = (id: GenerationId, path: string, identity: string, until: number) =>
    sql`INSERT INTO archives ${sql.insert({ id, path: RelPath.display(path), identity: RelPath.display(identity), expires: until })}
      ON CONFLICT (id) DO UPDATE SET path = excluded.path, identity = excluded.identity, expires = excluded.expires`.pipe(
      Effect.asVoid,
      commit("archived")
    )

  const expired = (now: number, limit: number) =>
    rows(
      ArchivedRow,
      sql`SELECT id, path, identity, expires FROM archives WHERE expires <= ${now} ORDER BY expires LIMIT ${limit}`
    ).pipe(
      Effect.map((all) =>
        all.map((row) => ({
          id: row.id,
          path: RelPath.parse(row.path),
          identity: RelPath.parse(row.identity),
          until: row.expires
        }))
      ),
      read("expired")
    )

  const expunged = (ids: ReadonlyArray<GenerationId>) =>
    inChunks(ids, (chunk) => sql`DELETE FROM archives WHERE ${sql.in("id", chunk)}`).pipe(
      Effect.asVoid,
      commit("expunged")
    )

  return { conclude, settle, replaced, disposals, disposed, retryDisposals, moved, archived, expired, expunged }
}

const nothing: Concluded = { dispose: [], dead: [] }

/** A directory is stored as it is, so what is not text in it goes to the path, which is escaped. */
const asText = <
  A extends { readonly source: string; readonly path: RelPath.RelPath; readonly marker: RelPath.RelPath | null }
>(
  place: A
): A => {
  if (RelPath.isText(place.source)) return place
  const below = (path: RelPath.RelPath) => RelPath.make(`${place.source.slice(1)}/${path}`)
  return {
    ...place,
    source: "/",
    path: below(place.path),
    marker: place.marker === null ? null : below(place.marker)
  }
}

const receiptRow = ({
  delivery,
  receipt
}: {
  readonly delivery: { readonly id: number }
  readonly receipt: Receipt
}): Record<string, unknown> => ({
  delivery: delivery.id,
  bytes: receipt.bytes,
  sha256: receipt.sha256,
  said: receipt.said,
  verified: receipt.verified,
  name: RelPath.display(receipt.name)
})

const IdRow = Schema.Struct({ id: GenerationId })
const UnfinishedRow = Schema.Struct({ generation: GenerationId, state: DeliveryState })
const MarkedRow = Schema.Struct({
  id: GenerationId,
  state: Schema.String,
  origin: Schema.NullOr(Schema.String),
  updated: Schema.Number
})
const FactsRow = Schema.Struct({
  generation: GenerationId,
  facts: Schema.NullOr(StoredFacts),
  sha256: Schema.NullOr(Schema.String)
})
const ArchivedRow = Schema.Struct({
  id: GenerationId,
  path: Schema.String,
  identity: Schema.String,
  expires: Schema.Number
})
