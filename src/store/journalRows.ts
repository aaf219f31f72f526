/**
 * How the journal reads its own rows, on the way to the lanes.
 *
 * The rows of claims are read by hand: decoding them by a Schema was the costliest step between the journal and a
 * lane. A column of another type than the tables declare is a defect, as it is there.
 */
import { Effect, Schema } from "effect"
import { DeliveryId, type Delivery } from "../domain/Delivery.ts"
import { Facts } from "../domain/Facts.ts"
import { After, GenerationId, OnDead, Stamp, type Generation } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Target } from "../domain/Target.ts"

/** Of `deliveries d` and `generations g`: what {@link deliveryRows} reads. */
export const claimColumns = `d.id, d.generation, d.target, d.route, d.name, d.priority, d.facts, d.attempts, d.reason,
  d.chosen, d.resume, d.sole, d.interrupted, d.created, g.source, g.path, g.stamp, g.size, g.mtime, g.born, g.after,
  g.on_dead, g.marker`

/** Of `generations`: what {@link generationRows} reads. */
export const generationColumns = `id AS generation, source, path, stamp, size, mtime, born, after, on_dead, marker`

export interface ClaimedRow extends Omit<Delivery, "target" | "state" | "due" | "receipt" | "updated"> {
  /** The id of the target. */
  readonly target: number
}

export const deliveryRows = <E, R>(statement: Effect.Effect<ReadonlyArray<unknown>, E, R>) =>
  Effect.map(statement, each(readDelivery))

export const generationRows = <E, R>(statement: Effect.Effect<ReadonlyArray<unknown>, E, R>) =>
  Effect.map(statement, each(readGeneration))

/** The ids alone. */
export const idRows = <E, R>(statement: Effect.Effect<ReadonlyArray<unknown>, E, R>) =>
  Effect.map(
    statement,
    each((row) => DeliveryId.make(number(row, "id"), { disableValidation: true }))
  )

/** Field by field: a spread costs more than the statement that the row came by. */
export const toClaimed = (row: ClaimedRow, target: Target, now: number): Delivery => ({
  id: row.id,
  generation: row.generation,
  route: row.route,
  target,
  name: row.name,
  priority: row.priority,
  facts: row.facts,
  state: "SENDING",
  attempts: row.attempts,
  due: null,
  reason: row.reason,
  chosen: row.chosen,
  resume: row.resume,
  sole: row.sole,
  interrupted: row.interrupted,
  receipt: null,
  created: row.created,
  updated: now
})

/** Where a generation that was moved had been found; null: where it is. */
export const readOrigin = (json: string | null): { readonly source: string; readonly path: RelPath.RelPath } | null => {
  if (json === null) return null
  const [source, path] = decodeOrigin(json)
  return { source, path: RelPath.parse(path) }
}

export const writeOrigin = (source: string, path: RelPath.RelPath): string =>
  JSON.stringify([source, RelPath.display(path)])

export const writeOnDead = (onDead: OnDead): string => (onDead._tag === "Keep" ? keep : JSON.stringify(onDead))

const keep = JSON.stringify({ _tag: "Keep" } satisfies OnDead)

const readDelivery = (row: Row): ClaimedRow => {
  const chosen = textOrNull(row, "chosen")
  const facts = textOrNull(row, "facts")
  return {
    id: DeliveryId.make(number(row, "id"), { disableValidation: true }),
    generation: readGeneration(row),
    target: number(row, "target"),
    route: text(row, "route"),
    name: RelPath.parse(text(row, "name")),
    priority: number(row, "priority"),
    facts: facts === null ? null : decodeFacts(facts),
    attempts: number(row, "attempts"),
    reason: textOrNull(row, "reason"),
    chosen: chosen === null ? null : RelPath.parse(chosen),
    resume: textOrNull(row, "resume"),
    sole: number(row, "sole") === 1,
    interrupted: number(row, "interrupted") === 1,
    created: number(row, "created")
  }
}

const readGeneration = (row: Row): Generation => {
  const marker = textOrNull(row, "marker")
  const onDead = textOrNull(row, "on_dead")
  return {
    id: GenerationId.make(number(row, "generation"), { disableValidation: true }),
    source: text(row, "source"),
    path: RelPath.parse(text(row, "path")),
    stamp: Stamp.make(text(row, "stamp"), { disableValidation: true }),
    size: number(row, "size"),
    mtime: number(row, "mtime"),
    born: number(row, "born"),
    after: readAfter(text(row, "after")),
    onDead: onDead === null ? null : readOnDead(onDead),
    marker: marker === null ? null : RelPath.parse(marker)
  }
}

interface Row {
  readonly [column: string]: unknown
}

const isRow = (row: unknown): row is Row => typeof row === "object" && row !== null

const each =
  <A>(readRow: (row: Row) => A) =>
  (all: ReadonlyArray<unknown>): ReadonlyArray<A> => {
    const out: Array<A> = []
    for (const row of all) {
      if (!isRow(row)) throw new TypeError("The journal's database has answered something that is no row")
      out.push(readRow(row))
    }
    return out
  }

const number = (row: Row, name: string): number => {
  const value = row[name]
  if (typeof value === "number") return value
  throw new TypeError(`The journal's column ${name} holds ${typeof value} where a number was expected`)
}

const text = (row: Row, name: string): string => {
  const value = row[name]
  if (typeof value === "string") return value
  throw new TypeError(`The journal's column ${name} holds ${typeof value} where a text was expected`)
}

const textOrNull = (row: Row, name: string): string | null => (row[name] === null ? null : text(row, name))

/** There are as many as the config has sources, so each is decoded once. */
const remembered = <A, I>(schema: Schema.Schema<A, I>): ((json: string) => A) => {
  const decode = Schema.decodeSync(Schema.parseJson(schema))
  const known = new Map<string, A>()
  return (json) => {
    const found = known.get(json)
    if (found !== undefined) return found
    const value = decode(json)
    known.set(json, value)
    return value
  }
}

const readAfter = remembered(After)
const readOnDead = remembered(OnDead)
const decodeFacts = Schema.decodeSync(Schema.parseJson(Facts))
const decodeOrigin = Schema.decodeSync(Schema.parseJson(Schema.Tuple(Schema.String, Schema.String)))
