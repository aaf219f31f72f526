/**
 * The journal over SQL: what comes in, and the rules by which it does.
 */
import { Clock, Effect, Schema } from "effect"
import { DeliveryId, DeliveryState, open, replayable } from "../domain/Delivery.ts"
import { withoutDevice, type Found, type GenerationId } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Placement } from "../domain/Target.ts"
import type { Admission, Counters, Rerouting } from "./Journal.ts"
import type { JournalDb } from "./JournalDb.ts"
import {
  attemptsOfLost,
  elsewhere,
  findable,
  isUndoneAs,
  lastNumbers,
  reroutedReason,
  supersededReason,
  undoneStates
} from "./journalRules.ts"
import { writeOnDead } from "./journalRows.ts"
import { StoredPath } from "./rows.ts"
import { inChunks, insert, rows } from "./sqlTools.ts"

export const make = ({ commit, last, read, sql, targets }: JournalDb) => {
  /** The rules that hold now, once somebody has said so. */
  let current: string | undefined

  const known = (source: string, paths: ReadonlyArray<string>) =>
    inChunks(paths, (chunk) =>
      rows(
        KnownRow,
        sql`SELECT id, path, stamp, state, wanted, ruleset, lost FROM generations WHERE source = ${source} AND ${sql.in("path", chunk)}`
      )
    )

  const unknown = (source: string, ruleset: string, found: ReadonlyArray<Found>) =>
    Effect.gen(function* () {
      const all = yield* known(
        source,
        found.map((file) => RelPath.display(file.path))
      )
      const seen = new Set<string>()
      for (const row of all) {
        if ((row.wanted > 0 || row.ruleset === ruleset) && !isLost(row)) seen.add(`${row.stamp}/${row.path}`)
      }
      const isUndone = ({ path, stamp }: Found): boolean =>
        all.some((row) => row.path === RelPath.display(path) && isUndoneAs(row, stamp))
      const unseen = found.filter((file) => !seen.has(`${file.stamp}/${RelPath.display(file.path)}`))
      const rest = all.some(({ state }) => undoneStates.has(state)) ? unseen.filter((file) => !isUndone(file)) : unseen
      return rest.length === 0 ? rest : yield* withoutRemounted(all, rest)
    }).pipe(read("unknown"))

  /**
   * Leaves out what all its targets have, and what differs in nothing but the number of the device: the source was
   * mounted again. Whatever else of it is to be sent is taken up anew, because its stamp tells the senders what to send.
   */
  const withoutRemounted = (all: ReadonlyArray<typeof KnownRow.Type>, found: ReadonlyArray<Found>) =>
    Effect.gen(function* () {
      const keyOf = (path: string, stamp: string) => `${withoutDevice(stamp)}/${path}`
      const keys = new Map(found.map((file) => [keyOf(RelPath.display(file.path), file.stamp), file]))
      const same = all.filter((row) => row.wanted > 0 && keys.has(keyOf(row.path, row.stamp)))
      if (same.length === 0) return found
      const owed = new Set(
        yield* inChunks(
          same.map((row) => row.id),
          (chunk) =>
            rows(
              OwedRow,
              sql`SELECT DISTINCT generation FROM deliveries WHERE ${sql.in("generation", chunk)} AND state <> 'DELIVERED'`
            )
        ).pipe(Effect.map((owed) => owed.map(({ generation }) => generation)))
      )
      for (const row of same) if (!owed.has(row.id)) keys.delete(keyOf(row.path, row.stamp))
      return Array.from(keys.values())
    })

  /** The rows of new deliveries: those without priority, rank and facts do without these columns. */
  const deliveryRows = () => {
    const plain: Array<Record<string, unknown>> = []
    const special: Array<Record<string, unknown>> = []
    return {
      /** `target`: the id of the placement's. Answers the delivery's id. */
      add: (
        generation: number,
        target: number,
        placement: Placement & { readonly route: string },
        fields: { readonly sole: boolean; readonly created: number; readonly ruleset: string | null }
      ): number => {
        last.delivery += 1
        const { facts, name, priority, rank, route } = placement
        const row = {
          id: last.delivery,
          generation,
          target,
          lane: placement.target.lane,
          route,
          name: RelPath.display(name),
          state: "PENDING",
          attempts: 0,
          sole: fields.sole ? 1 : 0,
          interrupted: 0,
          created: fields.created,
          updated: fields.created
        }
        if (priority === 0 && rank === 0 && facts === null && fields.ruleset === null) plain.push(row)
        else {
          special.push({
            ...row,
            priority,
            rank,
            facts: facts === null ? null : JSON.stringify(facts),
            ruleset: fields.ruleset
          })
        }
        return last.delivery
      },
      insert: Effect.suspend(() =>
        Effect.zipRight(insert(sql, "deliveries", plain), insert(sql, "deliveries", special))
      )
    }
  }

  /** What was lost of these, and is there again as it was accepted, is owed again. */
  const findAgain = (generations: ReadonlyArray<number>, now: number) =>
    Effect.gen(function* () {
      yield* inChunks(
        generations,
        (chunk) => sql`UPDATE generations SET lost = 0, state = 'OPEN', updated = ${now} WHERE ${sql.in("id", chunk)}`
      )
      return yield* inChunks(generations, (chunk) =>
        rows(
          LaneRow,
          sql`UPDATE deliveries SET state = 'PENDING', attempts = attempts + 1, lost = 0, due = NULL, updated = ${now}
            WHERE ${sql.in("generation", chunk)} AND lost = 1 AND state IN ('SUPERSEDED', 'DEAD') AND anew IS NULL
              AND attempts < ${attemptsOfLost}
            RETURNING lane`
        )
      )
    })

  const admit = (ruleset: string, batch: ReadonlyArray<Admission>) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const lanes = new Set<string>()
      const newGenerations: Array<Record<string, unknown>> = []
      const newDeliveries = deliveryRows()
      const outdated: Array<number> = []
      const unwanted: Array<number> = []
      const lost: Array<number> = []
      for (const [source, admissions] of groupBy(batch, (admission) => admission.source)) {
        const byPath = new Map<string, Array<typeof KnownRow.Type>>()
        const admitted = new Set<string>()
        const paths = admissions.map(({ file }) => RelPath.display(file.path))
        for (const row of yield* known(source, paths)) pushTo(byPath, row.path, row)
        for (const [index, admission] of admissions.entries()) {
          const path = paths[index] ?? ""
          const others = byPath.get(path) ?? []
          const same = others.find((row) => row.stamp === admission.file.stamp || isUndoneAs(row, admission.file.stamp))
          if (same !== undefined && same.wanted > 0) {
            if (isLost(same)) lost.push(same.id)
            continue
          }
          for (const row of others) (row.wanted > 0 ? outdated : unwanted).push(row.id)
          if (admitted.has(`${admission.file.stamp}/${path}`)) continue
          admitted.add(`${admission.file.stamp}/${path}`)
          last.generation += 1
          newGenerations.push({
            id: last.generation,
            source,
            path,
            stamp: admission.file.stamp,
            size: admission.file.size,
            mtime: admission.file.mtime,
            born: admission.file.born,
            after: JSON.stringify(admission.after),
            on_dead: writeOnDead(admission.onDead),
            marker: admission.marker === null ? null : RelPath.display(admission.marker),
            state: admission.placements.length === 0 ? "DONE" : "OPEN",
            wanted: admission.placements.length,
            ruleset,
            updated: now
          })
          const sole = admission.placements.length === 1 && admission.after._tag === "Delete"
          for (const placement of admission.placements) {
            lanes.add(placement.target.lane)
            const target = yield* targets.idOf(placement.target)
            newDeliveries.add(last.generation, target, placement, { sole, created: now, ruleset: null })
          }
        }
      }
      yield* inChunks(unwanted, (chunk) => sql`DELETE FROM generations WHERE ${sql.in("id", chunk)}`)
      yield* inChunks(
        outdated,
        (chunk) => sql`UPDATE deliveries
          SET state = 'SUPERSEDED', reason = ${supersededReason}, due = NULL, updated = ${now}
          WHERE ${sql.in("generation", chunk)} AND state IN ('PENDING', 'RETRY_WAIT', 'BLOCKED')`
      )
      yield* inChunks(
        outdated,
        (chunk) => sql`UPDATE generations SET state = 'REPLACED', updated = ${now}
          WHERE ${sql.in("id", chunk)} AND state IN ('OPEN', 'DONE', 'MOVED', 'UNDONE')`
      )
      for (const { lane } of yield* findAgain(lost, now)) lanes.add(lane)
      yield* insert(sql, "generations", newGenerations)
      yield* newDeliveries.insert
      yield* count(batch)
      // rules that were in use still when others had begun to hold
      if (current !== undefined && ruleset !== current) {
        yield* sql`UPDATE rulesets SET last = ${last.generation} WHERE digest = ${ruleset} AND last IS NOT NULL`
      }
      return Array.from(lanes)
    }).pipe(
      commit("admit"),
      Effect.onError(() => targets.forget)
    )

  /** Keeps the highest numbers that were given. */
  const count = (batch: ReadonlyArray<{ readonly counters?: Counters }>) =>
    Effect.forEach(
      lastNumbers(batch.map(({ counters }) => counters)),
      ([route, number]) => sql`INSERT INTO counters ${sql.insert({ route, last: number })}
        ON CONFLICT (route) DO UPDATE SET last = excluded.last WHERE excluded.last > counters.last`,
      { discard: true }
    )

  const counters = rows(CounterRow, sql`SELECT route, last FROM counters`).pipe(
    Effect.map((all): ReadonlyMap<string, number> => new Map(all.map((row) => [row.route, row.last]))),
    read("counters")
  )

  const ruleset = (digest: string, text: string) =>
    Effect.gen(function* () {
      const created = yield* Clock.currentTimeMillis
      yield* sql`UPDATE rulesets SET last = ${last.generation} WHERE last IS NULL AND digest <> ${digest}`
      yield* sql`INSERT INTO rulesets ${sql.insert({ digest, text, first: last.generation, created })}
        ON CONFLICT (digest) DO UPDATE SET last = NULL`
    }).pipe(
      commit("ruleset"),
      Effect.tap(() => Effect.sync(() => (current = digest)))
    )

  const reroute = (digest: string, batch: ReadonlyArray<Rerouting>) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const deliveries = deliveryRows()
      const added: Array<{ readonly id: DeliveryId; readonly lane: string }> = []
      const givenUp: Array<{ readonly ids: ReadonlyArray<number>; readonly anew: number }> = []
      for (const { generation, placements } of batch) {
        const existing = yield* deliveriesOf(generation)
        const back = existing.filter(({ anew, state }) => anew === null && isReplayable(state))
        const kept = existing.filter(({ state }) => state === "DELIVERED" || open.includes(state))
        const places: Array<Pick<Placement, "target" | "name">> = []
        for (const { name, target } of kept) places.push({ name, target: yield* targets.get(target) })
        const anew = back.length === 0 ? [] : elsewhere(placements, places)
        let first: number | undefined
        for (const placement of anew) {
          const target = yield* targets.idOf(placement.target)
          const id = deliveries.add(generation, target, placement, { sole: false, created: now, ruleset: digest })
          first ??= id
          added.push({ id: DeliveryId.make(id), lane: placement.target.lane })
        }
        if (first !== undefined) givenUp.push({ ids: back.map(({ id }) => id), anew: first })
      }
      yield* deliveries.insert
      for (const { anew, ids } of givenUp) {
        yield* inChunks(
          ids,
          (chunk) => sql`UPDATE deliveries
            SET state = 'CANCELLED', reason = ${reroutedReason(anew)}, anew = ${anew}, due = NULL, updated = ${now}
            WHERE ${sql.in("id", chunk)}`
        )
      }
      yield* count(batch)
      return added
    }).pipe(
      commit("reroute"),
      Effect.onError(() => targets.forget)
    )

  /** All deliveries of a generation; none of one that is not to be sent any more, or is on its way elsewhere. */
  const deliveriesOf = (generation: GenerationId) =>
    rows(
      ExistingRow,
      sql`SELECT d.id, d.target, d.name, d.state, d.anew FROM deliveries d JOIN generations g ON g.id = d.generation
        WHERE d.generation = ${generation} AND g.state IN ('OPEN', 'DONE', 'MOVED', 'UNDONE') ORDER BY d.id`
    )

  return { unknown, admit, counters, ruleset, reroute }
}

const isLost = (row: { readonly lost: number; readonly state: string }): boolean =>
  row.lost === 1 && findable.has(row.state)

const isReplayable = (state: DeliveryState): boolean => replayable.includes(state)

const KnownRow = Schema.Struct({
  id: Schema.Number,
  path: Schema.String,
  stamp: Schema.String,
  state: Schema.String,
  wanted: Schema.Number,
  ruleset: Schema.String,
  lost: Schema.Number
})

const LaneRow = Schema.Struct({ lane: Schema.String })
const OwedRow = Schema.Struct({ generation: Schema.Number })

const ExistingRow = Schema.Struct({
  id: Schema.Number,
  target: Schema.Number,
  name: StoredPath,
  state: DeliveryState,
  anew: Schema.NullOr(Schema.Number)
})

const CounterRow = Schema.Struct({ route: Schema.String, last: Schema.Number })

const groupBy = <A>(items: ReadonlyArray<A>, key: (item: A) => string): ReadonlyMap<string, Array<A>> => {
  const groups = new Map<string, Array<A>>()
  for (const item of items) pushTo(groups, key(item), item)
  return groups
}

const pushTo = <A>(map: Map<string, Array<A>>, key: string, value: A): void => {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}
