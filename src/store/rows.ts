/**
 * How deliveries lie in the tables: paths in the display form of RelPath, definitions as JSON, booleans as 0 and 1.
 */
import { Schema } from "effect"
import { Delivery, DeliveryId, DeliveryState, Verified } from "../domain/Delivery.ts"
import { Facts } from "../domain/Facts.ts"
import { After, GenerationId, OnDead, Stamp } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { Target } from "../domain/Target.ts"

/** A path as it is stored: reversible text. */
export const StoredPath = Schema.transform(Schema.String, Schema.typeSchema(RelPath.RelPath), {
  strict: true,
  decode: RelPath.parse,
  encode: RelPath.display
})

export const StoredBoolean = Schema.transform(Schema.Number, Schema.Boolean, {
  strict: true,
  decode: (value) => value !== 0,
  encode: (value) => (value ? 1 : 0)
})

export const StoredTarget = Schema.parseJson(Target)

export const StoredAfter = Schema.parseJson(After)

export const StoredOnDead = Schema.parseJson(OnDead)

export const StoredFacts = Schema.parseJson(Facts)

/** The columns of `deliveryColumns` from `deliveryTables`. */
const DeliveryRow = Schema.Struct({
  id: DeliveryId,
  generation: GenerationId,
  source: Schema.String,
  path: StoredPath,
  stamp: Stamp,
  size: Schema.Number,
  mtime: Schema.Number,
  born: Schema.Number,
  after: StoredAfter,
  on_dead: Schema.NullOr(StoredOnDead),
  marker: Schema.NullOr(StoredPath),
  route: Schema.String,
  definition: StoredTarget,
  name: StoredPath,
  priority: Schema.Int,
  facts: Schema.NullOr(StoredFacts),
  state: DeliveryState,
  attempts: Schema.Int,
  due: Schema.NullOr(Schema.Number),
  reason: Schema.NullOr(Schema.String),
  chosen: Schema.NullOr(StoredPath),
  resume: Schema.NullOr(Schema.String),
  sole: StoredBoolean,
  interrupted: StoredBoolean,
  receipt_bytes: Schema.NullOr(Schema.Number),
  receipt_sha256: Schema.NullOr(Schema.String),
  receipt_said: Schema.NullOr(Schema.String),
  receipt_verified: Schema.NullOr(Verified),
  receipt_name: Schema.NullOr(StoredPath),
  receipt_source: Schema.NullOr(Schema.String),
  undone: Schema.NullOr(Schema.Number),
  created: Schema.Number,
  updated: Schema.Number
})

/** To select, with `d` for deliveries, `g` for generations, `t` for targets and `r` for receipts. */
export const deliveryColumns = `d.id, d.generation, g.source, g.path, g.stamp, g.size, g.mtime, g.born, g.after,
  g.on_dead, g.marker, d.route, t.definition, d.name, d.priority, d.facts, d.state, d.attempts, d.due, d.reason,
  d.chosen, d.resume, d.sole, d.interrupted, r.bytes AS receipt_bytes, r.sha256 AS receipt_sha256,
  r.said AS receipt_said, r.verified AS receipt_verified, r.name AS receipt_name, r.source_sha256 AS receipt_source,
  d.undone, d.created, d.updated`

export const deliveryTables = `deliveries d
  JOIN generations g ON g.id = d.generation
  JOIN targets t ON t.id = d.target
  LEFT JOIN receipts r ON r.delivery = d.id`

/** A delivery with its generation, target and receipt, from one joined row. */
export const StoredDelivery = Schema.transform(DeliveryRow, Schema.typeSchema(Delivery), {
  strict: true,
  decode: (row): Delivery => ({
    id: row.id,
    generation: {
      id: row.generation,
      source: row.source,
      path: row.path,
      stamp: row.stamp,
      size: row.size,
      mtime: row.mtime,
      born: row.born,
      after: row.after,
      onDead: row.on_dead,
      marker: row.marker
    },
    route: row.route,
    target: row.definition,
    name: row.name,
    priority: row.priority,
    facts: row.facts,
    state: row.state,
    attempts: row.attempts,
    due: row.due,
    reason: row.reason,
    chosen: row.chosen,
    resume: row.resume,
    sole: row.sole,
    interrupted: row.interrupted,
    receipt:
      row.receipt_bytes === null ||
      row.receipt_said === null ||
      row.receipt_verified === null ||
      row.receipt_name === null
        ? null
        : {
            bytes: row.receipt_bytes,
            sha256: row.receipt_sha256,
            said: row.receipt_said,
            verified: row.receipt_verified,
            name: row.receipt_name,
            ...(row.receipt_source === null ? {} : { sourceSha256: row.receipt_source })
          },
    ...(row.undone === null ? {} : { undone: row.undone }),
    created: row.created,
    updated: row.updated
  }),
  encode: ({ generation, receipt, target, ...delivery }) => ({
    ...generation,
    ...delivery,
    generation: generation.id,
    on_dead: generation.onDead,
    definition: target,
    receipt_bytes: receipt?.bytes ?? null,
    receipt_sha256: receipt?.sha256 ?? null,
    receipt_said: receipt?.said ?? null,
    receipt_verified: receipt?.verified ?? null,
    receipt_name: receipt?.name ?? null,
    receipt_source: receipt?.sourceSha256 ?? null,
    undone: delivery.undone ?? null
  })
})
