/**
 * The journal over SQL, as the lanes see it: what they take, and what they note while they have it.
 */
import type { Statement } from "@effect/sql"
import { Clock, Effect, Schema } from "effect"
import { DeliveryId, givenUp, type Delivery } from "../domain/Delivery.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { JournalDb } from "./JournalDb.ts"
import { claimColumns, deliveryRows, idRows, toClaimed, type ClaimedRow } from "./journalRows.ts"
import * as Patience from "./Patience.ts"
import { inChunks, rows } from "./sqlTools.ts"

export const make = ({ commit, read, sql, targets }: JournalDb) => {
  const columns = sql.literal(claimColumns)
  const patience = Patience.make()

  const select = (where: Statement.Fragment) =>
    deliveryRows(sql`SELECT ${columns} FROM deliveries d JOIN generations g ON g.id = d.generation WHERE ${where}`)

  /** Two questions, each of which has an index: those without priority and rank lie in it in the order of their ids. */
  const longestWaiting = (lane: string, count: number) => {
    const oldest = (which: Statement.Fragment) =>
      sql`SELECT id FROM (SELECT id FROM deliveries WHERE lane = ${lane} AND state = 'PENDING' AND ${which}
        ORDER BY id LIMIT ${count}) AS oldest`
    return sql`SELECT id FROM (${oldest(sql`priority = 0 AND rank = 0`)}
      UNION ALL ${oldest(sql`(priority <> 0 OR rank <> 0)`)}) AS longest ORDER BY id LIMIT ${count}`
  }

  /** By priority, rank and age; but a share of them, where there are more than that, by age alone. */
  const waiting = (lane: string, count: number) =>
    Effect.gen(function* () {
      const ranked = yield* select(
        sql`d.lane = ${lane} AND d.state = 'PENDING' ORDER BY d.priority DESC, d.rank, d.id LIMIT ${count}`
      )
      if (ranked.length < count) return ranked
      const share = patience.share(lane, count)
      if (share === 0) return ranked
      const known = new Map(ranked.map((row) => [row.id, row]))
      const ids = yield* idRows(longestWaiting(lane, share))
      const others = ids.filter((id) => !known.has(id))
      if (others.length === 0) return ranked
      const fetched = yield* inChunks(others, (chunk) => select(sql.in("d.id", chunk)))
      for (const row of fetched) known.set(row.id, row)
      const longest: Array<ClaimedRow> = []
      for (const id of ids) {
        const row = known.get(id)
        if (row !== undefined) longest.push(row)
      }
      return Patience.choose(ranked, longest, count)
    })

  const claim = (lane: string, limit: number, now: number) =>
    Effect.gen(function* () {
      const due = yield* select(
        sql`d.lane = ${lane} AND d.state IN ('RETRY_WAIT', 'BLOCKED') AND d.due <= ${now} ORDER BY d.due LIMIT ${limit}`
      )
      const fresh = due.length >= limit ? [] : yield* waiting(lane, limit - due.length)
      const all = due.length === 0 ? fresh : [...due, ...fresh]
      yield* inChunks(
        all.map((row) => row.id),
        (chunk) =>
          sql`UPDATE deliveries SET state = 'SENDING', due = NULL, updated = ${now} WHERE ${sql.in("id", chunk)}`
      )
      const claimed: Array<Delivery> = []
      for (const row of all) claimed.push(toClaimed(row, yield* targets.get(row.target), now))
      return claimed
    }).pipe(commit("claim"))

  const release = (ids: ReadonlyArray<DeliveryId>) =>
    inChunks(
      ids,
      (chunk) => sql`UPDATE deliveries SET state = 'PENDING' WHERE state = 'SENDING' AND ${sql.in("id", chunk)}`
    ).pipe(Effect.asVoid, commit("release"))

  const choose = (delivery: DeliveryId, name: string) =>
    sql`UPDATE deliveries SET state = 'PUBLISHING', chosen = ${RelPath.display(name)} WHERE id = ${delivery}`.pipe(
      Effect.asVoid,
      commit("choose")
    )

  const note = (delivery: DeliveryId, resume: string | null) =>
    sql`UPDATE deliveries SET resume = ${resume} WHERE id = ${delivery}`.pipe(Effect.asVoid, commit("note"))

  const cleared = (delivery: DeliveryId, resume: string | null) =>
    sql`UPDATE deliveries SET resume = NULL, interrupted = 0
      WHERE id = ${delivery} AND resume IS ${resume} AND ${sql.in("state", givenUp)}`.pipe(
      Effect.asVoid,
      commit("cleared")
    )

  /** Two questions, each of which has an index. */
  const littered = (lane: string) => {
    const given = sql.in("state", givenUp)
    return sql`SELECT id FROM deliveries WHERE lane = ${lane} AND resume IS NOT NULL AND ${given}
      UNION SELECT id FROM deliveries WHERE lane = ${lane} AND interrupted = 1 AND ${given}`
  }

  const litter = (lane: string, limit: number) =>
    Effect.gen(function* () {
      const found = yield* select(sql`d.id IN (${littered(lane)}) ORDER BY d.id LIMIT ${limit}`)
      const all: Array<Delivery> = []
      for (const row of found) all.push(toClaimed(row, yield* targets.get(row.target), row.created))
      return all
    }).pipe(read("litter"))

  const rewind = (now: number) =>
    sql`UPDATE deliveries SET due = ${now} + max(0, due - updated), updated = ${now}
      WHERE state <> 'DELIVERED' AND state IN ('RETRY_WAIT', 'BLOCKED') AND updated > ${now}`

  const clockSetBack = Effect.flatMap(Clock.currentTimeMillis, rewind).pipe(Effect.asVoid, commit("clockSetBack"))

  const recover = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    yield* rewind(now)
    const interrupted = yield* rows(
      IdRow,
      sql`UPDATE deliveries SET state = 'PENDING', interrupted = 1, updated = ${now}
        WHERE state IN ('SENDING', 'PUBLISHING') RETURNING id`
    )
    // a lane's trouble is not remembered over a restart: it is tried afresh
    yield* sql`UPDATE deliveries SET due = ${now} WHERE state = 'BLOCKED'`
    return interrupted.length
  }).pipe(commit("recover"))

  const backlog = Effect.gen(function* () {
    const owed = yield* rows(
      BacklogRow,
      sql`SELECT lane, count(*) AS open, min(due) AS "nextDue" FROM deliveries
        WHERE state <> 'DELIVERED' AND state IN ('PENDING', 'SENDING', 'PUBLISHING', 'RETRY_WAIT', 'BLOCKED')
        GROUP BY lane`
    )
    const given = sql.in("state", givenUp)
    const left = yield* rows(
      BacklogRow,
      sql`SELECT lane, 0 AS open, NULL AS "nextDue" FROM deliveries WHERE resume IS NOT NULL AND ${given}
        UNION SELECT lane, 0 AS open, NULL AS "nextDue" FROM deliveries WHERE interrupted = 1 AND ${given}`
    )
    return [...owed, ...left.filter(({ lane }) => !owed.some((one) => one.lane === lane))]
  }).pipe(read("backlog"))

  const nextDue = (lane: string) =>
    rows(
      DueRow,
      sql`SELECT min(due) AS due FROM deliveries WHERE lane = ${lane} AND state IN ('RETRY_WAIT', 'BLOCKED')`
    ).pipe(
      Effect.map((all) => all[0]?.due ?? null),
      read("nextDue")
    )

  const unblock = (lane: string) =>
    sql`UPDATE deliveries SET state = 'PENDING', due = NULL WHERE lane = ${lane} AND state = 'BLOCKED'`.pipe(
      Effect.asVoid,
      commit("unblock")
    )

  return { claim, release, choose, note, cleared, litter, clockSetBack, recover, backlog, nextDue, unblock }
}

const IdRow = Schema.Struct({ id: DeliveryId })
const DueRow = Schema.Struct({ due: Schema.NullOr(Schema.Number) })
const BacklogRow = Schema.Struct({ lane: Schema.String, open: Schema.Number, nextDue: Schema.NullOr(Schema.Number) })
