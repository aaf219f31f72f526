/**
 * The stores that the contracts run over.
 */
import { Effect, Layer } from "effect"
import { join } from "node:path"
import * as Database from "../../src/store/Database.ts"
import * as DeliveriesSql from "../../src/store/DeliveriesSql.ts"
import * as JournalSql from "../../src/store/JournalSql.ts"
import * as LogRepoMemory from "../../src/store/LogRepoMemory.ts"
import * as LogRepoSql from "../../src/store/LogRepoSql.ts"
import * as MemoryDeliveries from "../../src/store/MemoryDeliveries.ts"
import * as MemoryJournal from "../../src/store/MemoryJournal.ts"
import * as MemoryPause from "../../src/store/MemoryPause.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import * as MemoryUndo from "../../src/store/MemoryUndo.ts"
import * as PauseSql from "../../src/store/PauseSql.ts"
import * as ReadSql from "../../src/store/ReadSql.ts"
import * as UndoSql from "../../src/store/UndoSql.ts"
import * as Process from "../cli/process.ts"

/** The SQL store over one file, all on one connection. */
export const sqlite = (file: string) =>
  Layer.mergeAll(JournalSql.layer, DeliveriesSql.layer, PauseSql.layer, UndoSql.layer).pipe(
    Layer.provideMerge(LogRepoSql.layer),
    Layer.provide(ReadSql.layerDirect),
    Layer.provideMerge(Database.layer({ file, durability: "crash" }))
  )

export const inFile = Layer.unwrapScoped(
  Effect.map(Process.directory, (directory) => sqlite(join(directory, "journal.db")))
)

export const inMemory = Layer.mergeAll(
  MemoryJournal.layer,
  MemoryDeliveries.layer,
  MemoryPause.layer,
  MemoryUndo.layer
).pipe(Layer.provideMerge(Layer.merge(MemoryStore.layer, LogRepoMemory.layer)))
