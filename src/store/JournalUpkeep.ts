/**
 * The journal over SQL: what people ask it to bring back or to give up, and what it forgets.
 */
import type { Statement } from "@effect/sql"
import { Clock, Effect, Schema } from "effect"
import { DeliveryId, replayable } from "../domain/Delivery.ts"
import { GenerationId, type Generation } from "../domain/Generation.ts"
import type { Concluded, GivenUp } from "./Journal.ts"
import type { Failure, JournalDb } from "./JournalDb.ts"
import { generationColumns, generationRows } from "./journalRows.ts"
import { inChunks, rows } from "./sqlTools.ts"

export const make = (
  { commit, read, sql }: JournalDb,
  /** Marks what has nothing more to wait for; see JournalOutcomes. */
  settle: (generations: ReadonlyMap<GenerationId, Generation>, now: number) => Effect.Effect<Concluded, Failure>
) => {
  const replay = (which: ReadonlyArray<DeliveryId> | GivenUp) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const update = (where: Statement.Fragment) =>
        rows(
          LaneRow,
          sql`UPDATE deliveries SET state = 'PENDING', attempts = 0, due = NULL, undone = NULL, updated = ${now}
            WHERE ${sql.in("state", replayable)} AND anew IS NULL AND ${where} AND NOT EXISTS
              (SELECT 1 FROM generations g WHERE g.id = deliveries.generation AND g.state IN ('MOVING', 'UNDOING'))
            RETURNING id, lane`
        )
      const givenUp = sql`state <> 'DELIVERED' AND (undone IS NULL OR state <> 'CANCELLED')`
      if (which === "all") return yield* update(givenUp)
      return "lane" in which
        ? yield* update(sql`lane = ${which.lane} AND ${givenUp}`)
        : yield* inChunks(which, (chunk) => update(sql.in("id", chunk)))
    }).pipe(commit("replay"))

  const cancel = (ids: ReadonlyArray<DeliveryId>) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const changed = yield* inChunks(ids, (chunk) =>
        rows(
          CancelledRow,
          sql`UPDATE deliveries SET state = 'CANCELLED', due = NULL, updated = ${now}
            WHERE ${sql.in("id", chunk)} AND state IN ('PENDING', 'RETRY_WAIT', 'BLOCKED', 'DEAD', 'AMBIGUOUS')
            RETURNING id, generation`
        )
      )
      // it may have been the last that a file waited for that is to be moved because another delivery is dead
      const generations = new Map<GenerationId, Generation>()
      for (const generation of yield* inChunks(
        changed.map((row) => row.generation),
        (chunk) =>
          generationRows(sql`SELECT ${sql.literal(generationColumns)} FROM generations WHERE ${sql.in("id", chunk)}`)
      )) {
        if (generation.onDead?._tag === "Move") generations.set(generation.id, generation)
      }
      yield* settle(generations, now)
      return changed.map((row) => row.id)
    }).pipe(commit("cancel"))

  const prune = (before: number) =>
    Effect.gen(function* () {
      // the newest rows stay, so that ids, and the temp names made from them, are never used again
      const gone = yield* rows(
        IdRow,
        sql`SELECT id FROM generations WHERE state IN ('DISPOSED', 'REPLACED', 'MOVED') AND updated < ${before}
          AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.generation = generations.id
            AND (d.resume IS NOT NULL OR d.state IN ('PENDING', 'SENDING', 'PUBLISHING', 'RETRY_WAIT', 'BLOCKED')))
          AND id < (SELECT max(generation) FROM deliveries WHERE id = (SELECT max(id) FROM deliveries))
          ORDER BY updated LIMIT ${atOnce}`
      )
      yield* inChunks(
        gone.map((row) => row.id),
        (chunk) => {
          const theirs = sql`(SELECT id FROM deliveries WHERE ${sql.in("generation", chunk)})`
          return Effect.all([
            sql`DELETE FROM receipts WHERE delivery IN ${theirs}`,
            sql`DELETE FROM attempts WHERE delivery IN ${theirs}`,
            sql`DELETE FROM deliveries WHERE ${sql.in("generation", chunk)}`,
            sql`DELETE FROM generations WHERE ${sql.in("id", chunk)}`
          ]).pipe(Effect.as([]))
        }
      )
      if (gone.length < atOnce) yield* pruneRulesets
      return gone.length
    }).pipe(commit("prune"))

  const aged = (before: number, after: number) =>
    Effect.gen(function* () {
      const to = after + lookedThrough
      const generations = yield* generationRows(
        sql`SELECT ${sql.literal(generationColumns)} FROM generations
          WHERE id > ${after} AND id <= ${to} AND state IN ('OPEN', 'DONE', 'UNDONE') AND updated < ${before}
            AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.generation = generations.id
              AND (d.updated >= ${before} OR d.resume IS NOT NULL
                OR d.state IN ('PENDING', 'SENDING', 'PUBLISHING', 'RETRY_WAIT', 'BLOCKED')))
          ORDER BY id`
      )
      const [last] = yield* rows(LastRow, sql`SELECT max(id) AS last FROM generations`)
      return { generations, next: (last?.last ?? 0) > to ? to : null }
    }).pipe(read("aged"))

  /** Rules that hold no more, where none of the generations is left that they judged. */
  const pruneRulesets = sql`DELETE FROM rulesets WHERE last IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM generations g
      WHERE g.id > rulesets.first AND g.id <= rulesets.last AND g.ruleset = rulesets.digest)
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.ruleset IS NOT NULL AND d.ruleset = rulesets.digest)`

  return { replay, cancel, aged, prune }
}

const atOnce = 1000

/** Of so many generations at a time it is found out whether they are old: few enough to keep nobody waiting. */
const lookedThrough = 1000

const LastRow = Schema.Struct({ last: Schema.NullOr(Schema.Number) })
const IdRow = Schema.Struct({ id: GenerationId })
const CancelledRow = Schema.Struct({ id: DeliveryId, generation: GenerationId })
const LaneRow = Schema.Struct({ id: DeliveryId, lane: Schema.String })
