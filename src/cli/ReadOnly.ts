/**
 * The journal and the log of a database that this process may only read, also while a daemon writes it.
 */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Cause, Layer } from "effect"
import type { Deliveries } from "../store/Deliveries.ts"
import * as DeliveriesSql from "../store/DeliveriesSql.ts"
import type { LogRepo } from "../store/LogRepo.ts"
import * as LogRepoSql from "../store/LogRepoSql.ts"
import type { Receipts } from "../store/Receipts.ts"
import * as ReceiptsSql from "../store/ReceiptsSql.ts"
import * as ReadSql from "../store/ReadSql.ts"
import * as Database from "../store/Database.ts"
import { Failure } from "./Failure.ts"

export const layer = (file: string): Layer.Layer<Deliveries | LogRepo | Receipts, Failure> =>
  Layer.mergeAll(LogRepoSql.layer, DeliveriesSql.layer, ReceiptsSql.layer).pipe(
    Layer.provide(ReadSql.layerDirect),
    Layer.provide(Layer.effectDiscard(Database.upToDate(file))),
    Layer.provide(SqliteClient.layer({ filename: file, readonly: true })),
    Layer.catchAllCause((cause) => {
      const error = Cause.squash(cause)
      const detail = error instanceof Error ? error.message : String(error)
      return Layer.fail(new Failure({ code: 1, message: `The database ${file} can't be read (${detail}).` }))
    })
  )
