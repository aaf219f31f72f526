/**
 * `filedispatch undo`: puts files back in their sources. Where a daemon has the journal it is asked to do so; otherwise
 * it is done here.
 */
import { Effect, Either, Layer, Logger, LogLevel } from "effect"
import * as Undo from "../deliver/Undo.ts"
import { markersOf } from "../deliver/UndoPlan.ts"
import { DeliveryId } from "../domain/Delivery.ts"
import type { Settings } from "../domain/Settings.ts"
import * as FilesDirect from "../files/FilesDirect.ts"
import type * as Wire from "../http/ApiSchema.ts"
import * as Database from "../store/Database.ts"
import * as Lock from "../store/Lock.ts"
import * as LogRepoSql from "../store/LogRepoSql.ts"
import * as ReadSql from "../store/ReadSql.ts"
import * as UndoSql from "../store/UndoSql.ts"
import { askDaemon, settingsOf } from "./AskDaemon.ts"
import { type Failure, from, usage } from "./Failure.ts"
import * as Output from "./Output.ts"
import type { Given } from "./UndoCommand.ts"

interface Wanted {
  /** Or of the last ones so many. */
  readonly wanted: ReadonlyArray<Undo.Asked> | number
  readonly dryRun: boolean
}

/** What became of one. */
interface Said extends Wire.Undone {
  /** As it was asked for. */
  readonly id: Undo.Asked
}

export const undo = Effect.fn("Undo.undo")(function* (given: Given) {
  const wanted = yield* wantedOf(given)
  const settings = yield* settingsOf(given, "undo")
  const said = yield* inJournal(settings, wanted).pipe(
    Effect.catchTag("JournalLockedError", () => overHttp(settings, wanted)),
    Effect.mapError(from)
  )
  yield* given.json ? Output.line(JSON.stringify(said, null, 2)) : tell(said, given.dryRun)
  return said.every(({ undone }) => undone) ? 0 : 1
})

const wantedOf = ({ dryRun, ids, last }: Given): Either.Either<Wanted, Failure> => {
  if (last !== undefined && ids.length > 0) return Either.left(usage("--last and an ID exclude each other.", "undo"))
  if (last !== undefined) return Either.right({ wanted: last, dryRun })
  if (ids.length === 0) return Either.left(usage("Undo what? Give the IDs, or --last N.", "undo"))
  return Either.right({ wanted: ids.map((id) => (typeof id === "number" ? DeliveryId.make(id) : id)), dryRun })
}

const tell = (said: ReadonlyArray<Said>, dryRun: boolean) =>
  Effect.gen(function* () {
    const done = said.filter(({ undone }) => undone)
    yield* Output.table(
      ["ID", "FILE", "FROM"],
      done.map(({ file, from, id }) => [String(id), file ?? "", from ?? ""])
    )
    for (const { id, notes } of done) for (const note of notes) yield* Output.note(`${id}: ${note}.`)
    const left = said.filter(({ undone }) => !undone)
    for (const { file, id, reason } of left) {
      yield* Output.note(
        `${id} is left as it is${file === null ? "" : ` (${file})`}: ${reason ?? "it gave no reason"}.`
      )
    }
    const parts = [`${done.length} ${dryRun ? "would be " : ""}put back`]
    if (left.length > 0) parts.push(`${left.length} ${dryRun ? "would be " : ""}refused`)
    yield* Output.note(`${parts.join(", ")}.`)
  })

/** With the journal's lock held, so that no daemon starts meanwhile. */
const inJournal = (settings: Settings, { dryRun, wanted }: Wanted) =>
  Effect.gen(function* () {
    yield* Lock.acquire(settings.db)
    const layer = Undo.layer({
      sync: settings.durability === "power",
      markerOf: Effect.succeed(markersOf(settings))
    }).pipe(
      Layer.provide(UndoSql.layer),
      Layer.provide(LogRepoSql.layer),
      Layer.provide(ReadSql.layerDirect),
      Layer.provide(Database.layer({ file: settings.db, durability: settings.durability })),
      Layer.provide(FilesDirect.layer)
    )
    const outcomes = yield* Effect.gen(function* () {
      const service = yield* Undo.Undo
      if (!dryRun) yield* service.finish
      return yield* typeof wanted === "number" ? service.last(wanted, { dryRun }) : service.undo(wanted, { dryRun })
    }).pipe(Effect.provide(layer))
    return outcomes.map(({ outcome, ...rest }): Said => ({ ...rest, undone: outcome === "undone" }))
  }).pipe(
    Effect.scoped,
    // all of it is in the outcomes, too
    Logger.withMinimumLogLevel(LogLevel.None)
  )

/** By the daemon that has the journal, if it can be reached; files may have to be read for it. */
const overHttp = (settings: Settings, { dryRun, wanted }: Wanted): Effect.Effect<ReadonlyArray<Said>, Failure> => {
  const dry = dryRun ? { dry_run: true } : {}
  return askDaemon(settings, "10 minutes", (client) =>
    Effect.gen(function* () {
      if (typeof wanted === "number") {
        const all = yield* client.undo.last({ urlParams: { last: wanted, ...dry } })
        return all.map((one): Said => ({ ...one, id: one.delivery === null ? "" : DeliveryId.make(one.delivery) }))
      }
      return yield* Effect.forEach(wanted, (id) => {
        const left = ({ detail: reason }: { readonly detail: string }) =>
          Effect.succeed<Said>({
            id,
            delivery: null,
            deliveries: [],
            undone: false,
            file: null,
            from: null,
            reason,
            notes: []
          })
        return (
          typeof id === "number"
            ? client.undo.delivery({ path: { id }, urlParams: dry })
            : client.undo.log({ path: { id }, urlParams: dry })
        ).pipe(
          Effect.map((one): Said => ({ ...one, id })),
          Effect.catchTags({ NotFound: left, Conflict: left })
        )
      })
    })
  )
}
