/**
 * The journal over SQL. One process writes (see Lock), so ids are counted here and a batch needs no answer from the
 * database to go on.
 */
import type { SqlClient } from "@effect/sql"
import { Effect, Layer } from "effect"
import { Journal, type JournalError } from "./Journal.ts"
import * as JournalAdmission from "./JournalAdmission.ts"
import * as JournalDb from "./JournalDb.ts"
import * as JournalLanes from "./JournalLanes.ts"
import * as JournalOutcomes from "./JournalOutcomes.ts"
import * as JournalUpkeep from "./JournalUpkeep.ts"
import type { LogRepo } from "./LogRepo.ts"

/** The journal in the database that the context's SqlClient has open. */
export const layer: Layer.Layer<Journal, JournalError, SqlClient.SqlClient | LogRepo> = Layer.effect(
  Journal,
  Effect.map(Effect.mapError(JournalDb.make, JournalDb.journalError("open")), (db) => {
    const { settle, ...outcomes } = JournalOutcomes.make(db)
    return Journal.of({
      id: db.id,
      ...JournalAdmission.make(db),
      ...JournalLanes.make(db),
      ...outcomes,
      ...JournalUpkeep.make(db, settle)
    })
  })
)
