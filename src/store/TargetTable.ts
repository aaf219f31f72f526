/**
 * Targets are few and deliveries many: each is stored once, and held here by its id.
 */
import type { SqlClient, SqlError } from "@effect/sql"
import { Effect, type ParseResult, Schema } from "effect"
import { Target } from "../domain/Target.ts"
import { rows } from "./sqlTools.ts"

export interface TargetTable {
  /** Stores it where it is new. */
  readonly idOf: (target: Target) => Effect.Effect<number, SqlError.SqlError | ParseResult.ParseError>
  readonly get: (id: number) => Effect.Effect<Target, SqlError.SqlError | ParseResult.ParseError>
  /** After a transaction that failed: what it inserted is not there. */
  readonly forget: Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
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

  const store = (target: Target, definition: string) =>
    Effect.gen(function* () {
      const [stored] = yield* rows(TargetRow, sql`SELECT id, definition FROM targets WHERE definition = ${definition}`)
      if (stored !== undefined) {
        ids.set(definition, stored.id)
        return stored.id
      }
      last += 1
      yield* sql`INSERT INTO targets ${sql.insert({ id: last, definition, lane: target.lane })}`
      ids.set(definition, last)
      return last
    })

  const load = (id: number) =>
    Effect.gen(function* () {
      const found = yield* rows(TargetRow, sql`SELECT id, definition FROM targets WHERE id = ${id}`)
      const target = yield* decode(found[0]?.definition)
      byId.set(id, target)
      return target
    })

  const table: TargetTable = {
    idOf: (target) => {
      const definition = definitionOf(target)
      const id = ids.get(definition)
      return id === undefined ? store(target, definition) : Effect.succeed(id)
    },
    get: (id) => {
      const target = byId.get(id)
      return target === undefined ? load(id) : Effect.succeed(target)
    },
    forget: Effect.sync(() => ids.clear())
  }
  return table
})

const TargetRow = Schema.Struct({ id: Schema.Number, definition: Schema.String })

const decode = Schema.decodeUnknown(Schema.parseJson(Target))
