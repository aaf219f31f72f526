/**
 * The journal over SQL. One process writes (see Lock), so ids are counted here and a batch needs no answer from the
 * database to go on.
 */
import { SqlClient, type SqlError, type Statement } from "@effect/sql"
import { Clock, Effect, Layer, Option, type ParseResult, Schema } from "effect"
import { v4 as uuid } from "uuid"
import { DeliveryId, givenUp, replayable, type Delivery, type DeliveryState } from "../domain/Delivery.ts"
import { After, GenerationId, Stamp, type Found, type Generation } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { Target } from "../domain/Target.ts"
import { sqliteCodes } from "./Database.ts"
import { Journal, JournalError, type Admission, type Conclusion } from "./Journal.ts"
import { LogRepo, type LogError } from "./LogRepo.ts"
import { sqlReason } from "./sqlReason.ts"

type Failure = SqlError.SqlError | ParseResult.ParseError | LogError

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const logs = yield* LogRepo

  const id = yield* journalId(sql)
  let generations = yield* lastId(sql, "generations")
  let deliveries = yield* lastId(sql, "deliveries")
  const targets = yield* targetTable(sql)

  /** One transaction, one kind of error. */
  const commit =
    (operation: string) =>
    <A>(effect: Effect.Effect<A, Failure>): Effect.Effect<A, JournalError> =>
      sql.withTransaction(effect).pipe(
        // a span for each statement costs more than the statement
        Effect.withTracerEnabled(false),
        Effect.mapError(journalError(operation))
      )

  const read =
    (operation: string) =>
    <A>(effect: Effect.Effect<A, Failure>): Effect.Effect<A, JournalError> =>
      effect.pipe(Effect.withTracerEnabled(false), Effect.mapError(journalError(operation)))

  const known = (source: string, paths: ReadonlyArray<string>) =>
    inChunks(paths, (chunk) =>
      rows(
        KnownRow,
        sql`SELECT id, path, stamp, wanted, ruleset FROM generations WHERE source = ${source} AND ${sql.in("path", chunk)}`
      )
    )

  const unknown = (source: string, ruleset: string, found: ReadonlyArray<Found>) =>
    Effect.gen(function* () {
      const all = yield* known(
        source,
        found.map((file) => RelPath.display(file.path))
      )
      const seen = new Set<string>()
      for (const row of all) if (row.wanted > 0 || row.ruleset === ruleset) seen.add(`${row.stamp}/${row.path}`)
      return found.filter((file) => !seen.has(`${file.stamp}/${RelPath.display(file.path)}`))
    }).pipe(read("unknown"))

  const admit = (ruleset: string, batch: ReadonlyArray<Admission>) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const lanes = new Set<string>()
      const newGenerations: Array<Record<string, unknown>> = []
      const newDeliveries: Array<Record<string, unknown>> = []
      const outdated: Array<number> = []
      const unwanted: Array<number> = []
      for (const [source, admissions] of groupBy(batch, (admission) => admission.source)) {
        const byPath = new Map<string, Array<typeof KnownRow.Type>>()
        const admitted = new Set<string>()
        const paths = admissions.map(({ file }) => RelPath.display(file.path))
        for (const row of yield* known(source, paths)) pushTo(byPath, row.path, row)
        for (const [index, admission] of admissions.entries()) {
          const path = paths[index] ?? ""
          const others = byPath.get(path) ?? []
          const same = others.find((row) => row.stamp === admission.file.stamp)
          if (same !== undefined && same.wanted > 0) continue
          for (const row of others) (row.wanted > 0 ? outdated : unwanted).push(row.id)
          if (admitted.has(`${admission.file.stamp}/${path}`)) continue
          admitted.add(`${admission.file.stamp}/${path}`)
          generations += 1
          newGenerations.push({
            id: generations,
            source,
            path,
            stamp: admission.file.stamp,
            size: admission.file.size,
            mtime: admission.file.mtime,
            born: admission.file.born,
            after: JSON.stringify(admission.after),
            state: admission.placements.length === 0 ? "DONE" : "OPEN",
            wanted: admission.placements.length,
            ruleset,
            updated: now
          })
          const sole = admission.placements.length === 1 && admission.after._tag === "Delete" ? 1 : 0
          for (const placement of admission.placements) {
            deliveries += 1
            lanes.add(placement.target.lane)
            newDeliveries.push({
              id: deliveries,
              generation: generations,
              target: yield* targets.idOf(placement.target),
              lane: placement.target.lane,
              route: placement.route,
              name: RelPath.display(placement.name),
              state: "PENDING",
              attempts: 0,
              sole,
              interrupted: 0,
              created: now,
              updated: now
            })
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
          WHERE ${sql.in("id", chunk)} AND state IN ('OPEN', 'DONE')`
      )
      yield* insert(sql, "generations", newGenerations)
      yield* insert(sql, "deliveries", newDeliveries)
      return Array.from(lanes)
    }).pipe(
      commit("admit"),
      Effect.onError(() => targets.forget)
    )

  const select = (where: Statement.Fragment) =>
    sql`SELECT d.id, d.generation, d.target, d.route, d.name, d.attempts, d.reason, d.chosen, d.resume, d.sole,
        d.interrupted, d.created, g.source, g.path, g.stamp, g.size, g.mtime, g.born, g.after
      FROM deliveries d JOIN generations g ON g.id = d.generation WHERE ${where}`

  const claim = (lane: string, limit: number, now: number) =>
    Effect.gen(function* () {
      const due = yield* deliveryRows(
        select(
          sql`d.lane = ${lane} AND d.state IN ('RETRY_WAIT', 'BLOCKED') AND d.due <= ${now} ORDER BY d.due LIMIT ${limit}`
        )
      )
      const fresh =
        due.length >= limit
          ? []
          : yield* deliveryRows(
              select(sql`d.lane = ${lane} AND d.state = 'PENDING' ORDER BY d.id LIMIT ${limit - due.length}`)
            )
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
      const found = yield* deliveryRows(select(sql`d.id IN (${littered(lane)}) ORDER BY d.id LIMIT ${limit}`))
      const all: Array<Delivery> = []
      for (const row of found) all.push(toClaimed(row, yield* targets.get(row.target), row.created))
      return all
    }).pipe(read("litter"))

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
      yield* insert(
        sql,
        "receipts",
        delivered.map(({ delivery, receipt }) => ({
          delivery: delivery.id,
          bytes: receipt.bytes,
          sha256: receipt.sha256,
          said: receipt.said,
          verified: receipt.verified,
          name: RelPath.display(receipt.name)
        }))
      )
      for (const one of failed) {
        // what waits may not have got as far as looking for the traces of an interrupted attempt
        yield* sql`UPDATE deliveries
          SET state = ${one.state}, reason = ${one.reason}, due = ${one.due}, updated = ${now},
            attempts = attempts + ${one.counts ? 1 : 0},
            interrupted = ${waits.has(one.state) ? sql.literal("interrupted") : 0}
          WHERE id = ${one.delivery.id}`
      }
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
      const entries = batch.flatMap((conclusion) => (conclusion.log === null ? [] : [conclusion.log]))
      if (entries.length > 0) yield* logs.append(entries)
      // a source that is kept has nothing to come after its deliveries
      const leaving = delivered.filter(({ delivery }) => delivery.generation.after._tag !== "Keep")
      return yield* complete(new Map(leaving.map(({ delivery }) => [delivery.generation.id, delivery.generation])), now)
    }).pipe(commit("conclude"))

  /** Those of these generations of which nothing is owed any more are to be disposed of. */
  const complete = (candidates: ReadonlyMap<GenerationId, Generation>, now: number) =>
    Effect.gen(function* () {
      const unfinished = new Set<number>()
      const ids = Array.from(candidates.keys())
      for (const row of yield* inChunks(ids, (chunk) =>
        rows(
          GenerationIdRow,
          sql`SELECT DISTINCT generation FROM deliveries WHERE ${sql.in("generation", chunk)} AND state <> 'DELIVERED'`
        )
      )) {
        unfinished.add(row.generation)
      }
      const finished = ids.filter((id) => !unfinished.has(id))
      // one that was replaced meanwhile is not to be touched: its path holds another file now
      const marked = yield* inChunks(finished, (chunk) =>
        rows(
          GenerationIdRow,
          sql`UPDATE generations SET state = 'DISPOSING', updated = ${now}
            WHERE ${sql.in("id", chunk)} AND state <> 'REPLACED' RETURNING id AS generation`
        )
      )
      return marked.flatMap(({ generation }) => {
        const found = candidates.get(generation)
        return found === undefined ? [] : [found]
      })
    })

  const disposals = (limit: number) =>
    rows(
      GenerationRow,
      sql`SELECT id AS generation, source, path, stamp, size, mtime, born, after FROM generations
        WHERE state = 'DISPOSING' ORDER BY id LIMIT ${limit}`
    ).pipe(
      Effect.map((all) => all.map(toGeneration)),
      read("disposals")
    )

  const disposed = (batch: ReadonlyArray<{ readonly id: GenerationId; readonly note: string | null }>) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      yield* inChunks(
        batch.filter((one) => one.note === null).map((one) => one.id),
        (chunk) => sql`UPDATE generations SET state = 'DISPOSED', updated = ${now} WHERE ${sql.in("id", chunk)}`
      )
      for (const one of batch) {
        if (one.note === null) continue
        yield* sql`UPDATE generations SET state = 'DONE', note = ${one.note}, updated = ${now} WHERE id = ${one.id}`
      }
    }).pipe(commit("disposed"))

  const recover = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
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

  const replay = (ids: ReadonlyArray<DeliveryId> | "all") =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const update = (where: Statement.Fragment) =>
        rows(
          LaneRow,
          sql`UPDATE deliveries SET state = 'PENDING', attempts = 0, due = NULL, updated = ${now}
            WHERE ${sql.in("state", replayable)} AND ${where} RETURNING id, lane`
        )
      return ids === "all"
        ? yield* update(sql`state <> 'DELIVERED'`)
        : yield* inChunks(ids, (chunk) => update(sql.in("id", chunk)))
    }).pipe(commit("replay"))

  const cancel = (ids: ReadonlyArray<DeliveryId>) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const changed = yield* inChunks(ids, (chunk) =>
        rows(
          IdRow,
          sql`UPDATE deliveries SET state = 'CANCELLED', due = NULL, updated = ${now}
            WHERE ${sql.in("id", chunk)} AND state IN ('PENDING', 'RETRY_WAIT', 'BLOCKED', 'DEAD', 'AMBIGUOUS')
            RETURNING id`
        )
      )
      return changed.map((row) => row.id)
    }).pipe(commit("cancel"))

  const prune = (before: number) =>
    Effect.gen(function* () {
      // the newest rows stay, so that ids, and the temp names made from them, are never used again
      const gone = yield* rows(
        IdRow,
        sql`SELECT id FROM generations WHERE state IN ('DISPOSED', 'REPLACED') AND updated < ${before}
          AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.generation = generations.id
            AND (d.resume IS NOT NULL OR d.state IN ('PENDING', 'SENDING', 'PUBLISHING', 'RETRY_WAIT', 'BLOCKED')))
          AND id < (SELECT max(generation) FROM deliveries WHERE id = (SELECT max(id) FROM deliveries))
          ORDER BY updated LIMIT 1000`
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
      return gone.length
    }).pipe(commit("prune"))

  return Journal.of({
    id,
    unknown,
    admit,
    claim,
    release,
    choose,
    note,
    cleared,
    litter,
    conclude,
    disposals,
    disposed,
    recover,
    backlog,
    nextDue,
    unblock,
    replay,
    cancel,
    prune
  })
})

/** The journal in the database that the context's SqlClient has open. */
export const layer: Layer.Layer<Journal, JournalError, SqlClient.SqlClient | LogRepo> = Layer.effect(
  Journal,
  Effect.mapError(make, journalError("open"))
)

/** Why a delivery was given up for a newer generation of its file. */
export const supersededReason = "the file changed before it was sent; its newer version is sent instead"

/** States in which an attempt is not over for good. */
const waits: ReadonlySet<DeliveryState> = new Set(["PENDING", "RETRY_WAIT", "BLOCKED"])

const IdRow = Schema.Struct({ id: DeliveryId })
const GenerationIdRow = Schema.Struct({ generation: GenerationId })
const LaneRow = Schema.Struct({ id: DeliveryId, lane: Schema.String })
const DueRow = Schema.Struct({ due: Schema.NullOr(Schema.Number) })
const BacklogRow = Schema.Struct({ lane: Schema.String, open: Schema.Number, nextDue: Schema.NullOr(Schema.Number) })
const KnownRow = Schema.Struct({
  id: Schema.Number,
  path: Schema.String,
  stamp: Schema.String,
  wanted: Schema.Number,
  ruleset: Schema.String
})
const TargetRow = Schema.Struct({ id: Schema.Number, definition: Schema.String })
const generationFields = {
  generation: GenerationId,
  source: Schema.String,
  path: Schema.String,
  stamp: Stamp,
  size: Schema.Number,
  mtime: Schema.Number,
  born: Schema.Number,
  after: Schema.parseJson(After)
}
const GenerationRow = Schema.Struct(generationFields)
/**
 * The rows of claims are read by hand: decoding them by a Schema was the costliest step between the journal and a lane.
 * A column of another type than the tables declare is a defect, as it is there.
 */
const deliveryRows = <E, R>(statement: Effect.Effect<ReadonlyArray<unknown>, E, R>) =>
  Effect.map(statement, (all) => all.map(readDelivery))

const readDelivery = (row: unknown) => ({
  generation: GenerationId.make(number(row, "generation"), { disableValidation: true }),
  source: text(row, "source"),
  path: text(row, "path"),
  stamp: Stamp.make(text(row, "stamp"), { disableValidation: true }),
  size: number(row, "size"),
  mtime: number(row, "mtime"),
  born: number(row, "born"),
  after: readAfter(text(row, "after")),
  id: DeliveryId.make(number(row, "id"), { disableValidation: true }),
  target: number(row, "target"),
  route: text(row, "route"),
  name: text(row, "name"),
  attempts: number(row, "attempts"),
  reason: textOrNull(row, "reason"),
  chosen: textOrNull(row, "chosen"),
  resume: textOrNull(row, "resume"),
  sole: number(row, "sole"),
  interrupted: number(row, "interrupted"),
  created: number(row, "created")
})

const column = (row: unknown, name: string): unknown =>
  typeof row === "object" && row !== null ? Reflect.get(row, name) : undefined

const number = (row: unknown, name: string): number => {
  const value = column(row, name)
  if (typeof value === "number") return value
  throw new TypeError(`The journal's column ${name} holds ${typeof value} where a number was expected`)
}

const text = (row: unknown, name: string): string => {
  const value = column(row, name)
  if (typeof value === "string") return value
  throw new TypeError(`The journal's column ${name} holds ${typeof value} where a text was expected`)
}

const textOrNull = (row: unknown, name: string): string | null => (column(row, name) === null ? null : text(row, name))

/** There are as many as the config has sources, so each is decoded once. */
const readAfter = (json: string): After => {
  const known = afters.get(json)
  if (known !== undefined) return known
  const after = Schema.decodeSync(Schema.parseJson(After))(json)
  afters.set(json, after)
  return after
}

const afters = new Map<string, After>()

const toGeneration = (row: typeof GenerationRow.Type): Generation => ({
  id: row.generation,
  source: row.source,
  path: RelPath.parse(row.path),
  stamp: row.stamp,
  size: row.size,
  mtime: row.mtime,
  born: row.born,
  after: row.after
})

const toClaimed = (row: ReturnType<typeof readDelivery>, target: Target, now: number): Delivery => ({
  id: row.id,
  generation: toGeneration(row),
  route: row.route,
  target,
  name: RelPath.parse(row.name),
  state: "SENDING",
  attempts: row.attempts,
  due: null,
  reason: row.reason,
  chosen: row.chosen === null ? null : RelPath.parse(row.chosen),
  resume: row.resume,
  sole: row.sole === 1,
  interrupted: row.interrupted === 1,
  receipt: null,
  created: row.created,
  updated: now
})

const rows = <A, I, E, R>(schema: Schema.Schema<A, I>, statement: Effect.Effect<ReadonlyArray<unknown>, E, R>) =>
  Effect.flatMap(statement, Schema.decodeUnknown(Schema.Array(schema)))

/** Runs a statement over pieces of a list that stay below the number of variables a statement may have. */
const inChunks = <A, B, E, R>(
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
            all.push(...(yield* run(items.slice(start, start + chunkSize))))
          }
          return all
        })

const chunkSize = 500

const insert = (sql: SqlClient.SqlClient, table: string, values: ReadonlyArray<Record<string, unknown>>) =>
  inChunks(values, (chunk) => sql`INSERT INTO ${sql(table)} ${sql.insert(chunk)}`)

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

/** Targets are few and deliveries many: each is stored once, and held here by its id. */
const targetTable = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const decode = Schema.decodeUnknown(Schema.parseJson(Target))
  const byId = new Map<number, Target>()
  const ids = new Map<string, number>()
  const definitions = new WeakMap<Target, string>()
  let last = 0

  const definitionOf = (target: Target): string => {
    const cached = definitions.get(target)
    if (cached !== undefined) return cached
    const definition = JSON.stringify(target)
    definitions.set(target, definition)
    return definition
  }

  for (const row of yield* rows(TargetRow, sql`SELECT id, definition FROM targets`)) {
    ids.set(row.definition, row.id)
    last = Math.max(last, row.id)
  }

  return {
    idOf: (target: Target) =>
      Effect.gen(function* () {
        const definition = definitionOf(target)
        const id = ids.get(definition)
        if (id !== undefined) return id
        const [stored] = yield* rows(
          TargetRow,
          sql`SELECT id, definition FROM targets WHERE definition = ${definition}`
        )
        if (stored !== undefined) {
          ids.set(definition, stored.id)
          return stored.id
        }
        last += 1
        yield* sql`INSERT INTO targets ${sql.insert({ id: last, definition, lane: target.lane })}`
        ids.set(definition, last)
        return last
      }),
    get: (id: number) =>
      Effect.gen(function* () {
        const cached = byId.get(id)
        if (cached !== undefined) return cached
        const found = yield* rows(TargetRow, sql`SELECT id, definition FROM targets WHERE id = ${id}`)
        const target = yield* decode(found[0]?.definition)
        byId.set(id, target)
        return target
      }),
    /** After a transaction that failed: what it inserted is not there. */
    forget: Effect.sync(() => ids.clear())
  }
})

function journalError(operation: string) {
  return (error: Failure): JournalError => {
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
}

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
