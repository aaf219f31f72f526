/** The calls that put files back in their sources. */
import { HttpApiBuilder } from "@effect/platform"
import { Effect, Option } from "effect"
import { Dispatcher, type DispatcherEvent } from "../deliver/Dispatcher.ts"
import { Undo, type Asked, type Outcome } from "../deliver/Undo.ts"
import { DeliveryId } from "../domain/Delivery.ts"
import * as RelPath from "../domain/RelPath.ts"
import { shown } from "../domain/Target.ts"
import { Deliveries } from "../store/Deliveries.ts"
import type { JournalError } from "../store/Journal.ts"
import type { LogError } from "../store/LogRepo.ts"
import { Api } from "./Api.ts"
import { Conflict, Failed, NotFound, type Undone } from "./ApiSchema.ts"

export const layer = HttpApiBuilder.group(Api, "undo", (handlers) =>
  Effect.gen(function* () {
    const undo = yield* Undo
    const dispatcher = yield* Dispatcher
    const deliveries = yield* Deliveries

    /** Whoever follows the deliveries hears of those that were taken back. */
    const tell = (outcomes: ReadonlyArray<Outcome>) =>
      Effect.gen(function* () {
        const events: Array<DispatcherEvent> = []
        for (const outcome of outcomes) {
          if (outcome.outcome !== "undone") continue
          for (const id of outcome.deliveries) {
            const found = Option.getOrUndefined(yield* deliveries.get(id))
            if (found?.state !== "CANCELLED") continue
            const { generation, name, reason, state, target } = found
            events.push({
              delivery: id,
              state,
              file: RelPath.display(generation.path),
              destination: shown(target, RelPath.display(name)),
              size: generation.size,
              reason
            })
          }
        }
        yield* dispatcher.tell(events)
      })

    const answered = (
      asked: Effect.Effect<ReadonlyArray<Outcome>, JournalError | LogError>,
      dryRun: boolean
    ): Effect.Effect<ReadonlyArray<Outcome>, Failed> =>
      Effect.tap(asked, (outcomes) => (dryRun ? Effect.void : tell(outcomes))).pipe(
        Effect.tapError((error) => Effect.logError(error.message)),
        Effect.mapError((error) => new Failed({ detail: error.message }))
      )

    const one = (id: Asked, dryRun = false) =>
      Effect.gen(function* () {
        const [outcome] = yield* answered(undo.undo([id], { dryRun }), dryRun)
        const detail = outcome?.reason ?? "nothing was done"
        if (outcome === undefined || outcome.outcome === "unknown") return yield* new NotFound({ detail })
        if (outcome.outcome === "refused") return yield* new Conflict({ detail })
        return view(outcome)
      })

    return handlers
      .handle("delivery", ({ path, urlParams }) => one(DeliveryId.make(path.id), urlParams.dry_run))
      .handle("log", ({ path, urlParams }) => one(path.id, urlParams.dry_run))
      .handle("last", ({ urlParams: { dry_run: dryRun = false, last } }) =>
        Effect.map(answered(undo.last(last, { dryRun }), dryRun), (all) => all.map(view))
      )
  })
)

const view = ({ deliveries, delivery, file, from, notes, outcome, reason }: Outcome): Undone => ({
  delivery,
  deliveries,
  undone: outcome === "undone",
  file,
  from,
  reason,
  notes
})
