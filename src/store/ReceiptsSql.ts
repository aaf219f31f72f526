/**
 * {@link Receipts} over SQL: one look through all receipts tells which of them are the newest at their place, and what
 * it found is kept in temporary tables of this connection, from which they are read page by page.
 */
import { Clock, Effect, Layer, Option, Schema } from "effect"
import { DeliveryId, Verified } from "../domain/Delivery.ts"
import * as RelPath from "../domain/RelPath.ts"
import { folderOf, type Target } from "../domain/Target.ts"
import { JournalError } from "./Journal.ts"
import { claimColumns, deliveryRows, toClaimed } from "./journalRows.ts"
import { ReadSql } from "./ReadSql.ts"
import { Receipts, type Delivered, type Replaced, type Snapshot } from "./Receipts.ts"
import { StoredPath, StoredTarget } from "./rows.ts"
import { inChunks, insert, rows } from "./sqlTools.ts"
import { sqlReason } from "./sqlReason.ts"

/** What was logged before it was committed, and a clock that is not quite that of the daemon; in milliseconds. */
const slack = 60_000

export const layer: Layer.Layer<Receipts, never, ReadSql> = Layer.effect(
  Receipts,
  Effect.map(ReadSql, (sql) => {
    const columns = sql.literal(`${claimColumns}, d.updated, r.bytes, r.sha256, r.said, r.verified,
      r.name AS receipt_name, r.source_sha256`)

    const drop = Effect.all([sql`DROP TABLE IF EXISTS temp.snapshot`, sql`DROP TABLE IF EXISTS temp.folders`])

    /** All targets, with where they lead; those that have not the wanted URL are there to replace others. */
    const findFolders = (destination: string | undefined) =>
      Effect.gen(function* () {
        const targets = new Map<number, Target>()
        for (const { definition, id } of yield* rows(TargetRow, sql`SELECT id, definition FROM targets`)) {
          targets.set(id, definition)
        }
        const urls = Array.from(new Set(Array.from(targets.values(), ({ url }) => url)))
        yield* sql`CREATE TEMP TABLE folders (target INTEGER PRIMARY KEY, folder TEXT, url INTEGER, wanted INTEGER)`
        yield* insert(
          sql,
          "folders",
          Array.from(targets, ([id, target]) => ({
            target: id,
            folder: folderOf(target),
            url: urls.indexOf(target.url),
            wanted: destination === undefined || target.url === destination ? 1 : 0
          }))
        )
        return { targets, urls }
      })

    /**
     * One statement, so that nothing is written between its beginning and its end, as far as it can see. What was taken
     * back is CANCELLED and has its receipt still: nothing is to be there, but it had replaced what was there before.
     */
    const fill = (since: number) =>
      sql`INSERT INTO snapshot (delivery, lane, url, updated, successor)
        SELECT id, lane, url, updated, CASE WHEN newest = id THEN NULL ELSE newest END FROM (
          SELECT d.id, d.lane, d.state, d.updated, f.url, f.wanted, FIRST_VALUE(d.id) OVER (
              PARTITION BY COALESCE(f.folder || '/' || r.name, d.id) ORDER BY d.updated DESC, d.id DESC
            ) AS newest
          FROM receipts r JOIN deliveries d ON d.id = r.delivery JOIN temp.folders f ON f.target = d.target
          WHERE d.updated >= ${since}
        ) AS receipts_by_place
        WHERE wanted = 1 AND state = 'DELIVERED'
        ORDER BY newest <> id, lane, url, id`

    const snapshot = ({ destination, since }: Parameters<(typeof Receipts.Service)["snapshot"]>[0]) =>
      Effect.gen(function* (): Effect.fn.Return<Snapshot, Failure> {
        const now = yield* Clock.currentTimeMillis
        yield* drop
        const { targets, urls } = yield* findFolders(destination)
        yield* sql`CREATE TEMP TABLE snapshot (
          number INTEGER PRIMARY KEY, delivery INTEGER, lane TEXT, url INTEGER, updated BIGINT, successor INTEGER)`
        yield* fill(since ?? 0)
        const groups = yield* rows(
          GroupRow,
          sql`SELECT lane, url, MIN(number) AS first, COUNT(*) AS count FROM temp.snapshot
            WHERE successor IS NULL GROUP BY lane, url ORDER BY first`
        )
        const [all] = yield* rows(
          AllRow,
          sql`SELECT COUNT(*) AS count, MIN(updated) AS oldest, MAX(updated) AS newest FROM temp.snapshot`
        )
        const current = groups.reduce((sum, { count }) => sum + count, 0)

        const find = (numbers: ReadonlyArray<number>) =>
          inChunks(numbers, (chunk) =>
            Effect.gen(function* () {
              const found = yield* sql`SELECT s.number, s.successor, ${columns}
                FROM temp.snapshot s JOIN deliveries d ON d.id = s.delivery JOIN receipts r ON r.delivery = d.id
                JOIN generations g ON g.id = d.generation
                WHERE ${sql.in("s.number", chunk)} AND d.state = 'DELIVERED' ORDER BY s.number`
              const claimed = yield* deliveryRows(Effect.succeed(found))
              const receipts = yield* rows(ReceiptRow, Effect.succeed(found))
              return receipts.flatMap((row, index): ReadonlyArray<Replaced> => {
                const one = claimed[index]
                const target = one === undefined ? undefined : targets.get(one.target)
                if (one === undefined || target === undefined) return []
                const delivered: Delivered = {
                  ...toClaimed(one, target, row.updated),
                  state: "DELIVERED",
                  receipt: {
                    bytes: row.bytes,
                    sha256: row.sha256,
                    said: row.said,
                    verified: row.verified,
                    name: row.receipt_name,
                    ...(row.source_sha256 === null ? {} : { sourceSha256: row.source_sha256 })
                  }
                }
                return [{ delivered, by: row.successor ?? one.id }]
              })
            })
          )

        const replacedSince = ({ id, receipt, target, updated }: Delivered) =>
          Effect.gen(function* () {
            const folder = folderOf(target)
            if (folder === null) return undefined
            const [later] = yield* rows(
              LaterRow,
              // what was concluded since is found by the log, which has an index for that
              sql`SELECT d.id FROM deliveries d JOIN temp.folders f ON f.target = d.target
                LEFT JOIN receipts r ON r.delivery = d.id
                WHERE d.id <> ${id} AND f.folder || '/' || COALESCE(r.name, d.chosen, d.name) =
                  ${`${folder}/${RelPath.display(receipt.name)}`}
                AND d.id IN (
                  SELECT id FROM deliveries WHERE state <> 'DELIVERED' AND state IN ('SENDING', 'PUBLISHING')
                  UNION ALL
                  SELECT delivery FROM logs WHERE created >= ${new Date(now - slack).toISOString()}
                )
                AND (d.state IN ('SENDING', 'PUBLISHING') OR (d.state = 'DELIVERED' AND d.updated >= ${updated}))
                ORDER BY d.updated DESC, d.id DESC LIMIT 1`
            )
            return later?.id
          })

        return {
          groups: groups.map(({ url, ...group }) => ({ ...group, destination: urls[url] ?? "" })),
          replaced: { first: current + 1, count: (all?.count ?? 0) - current },
          oldest: all?.oldest ?? null,
          newest: all?.newest ?? null,
          get: (numbers) => reading(Effect.map(find(numbers), (found) => found.map(({ delivered }) => delivered))),
          getReplaced: (numbers) => reading(find(numbers)),
          replacedSince: (delivered) => reading(replacedSince(delivered))
        }
      })

    return Receipts.of({
      snapshot: (filter) =>
        reading(
          Effect.zipRight(
            Effect.addFinalizer(() => Effect.ignore(drop)),
            snapshot(filter)
          )
        )
    })
  })
)

type Failure = Parameters<typeof sqlReason>[1]

const reading = <A, R>(effect: Effect.Effect<A, Failure, R>): Effect.Effect<A, JournalError, R> =>
  effect.pipe(
    Effect.withTracerEnabled(false),
    Effect.mapError(
      (error) =>
        new JournalError({ reason: sqlReason("the journal could not be read", error), cause: Option.some(error) })
    )
  )

const TargetRow = Schema.Struct({ id: Schema.Number, definition: StoredTarget })
const GroupRow = Schema.Struct({
  lane: Schema.String,
  url: Schema.Number,
  first: Schema.Number,
  count: Schema.Number
})
const AllRow = Schema.Struct({
  count: Schema.Number,
  oldest: Schema.NullOr(Schema.Number),
  newest: Schema.NullOr(Schema.Number)
})
const ReceiptRow = Schema.Struct({
  updated: Schema.Number,
  successor: Schema.NullOr(DeliveryId),
  bytes: Schema.Number,
  sha256: Schema.NullOr(Schema.String),
  said: Schema.String,
  verified: Verified,
  receipt_name: StoredPath,
  source_sha256: Schema.NullOr(Schema.String)
})
const LaterRow = Schema.Struct({ id: DeliveryId })
