/**
 * {@link UndoRepo} of the journal in memory.
 */
import { Clock, Effect, Layer, Option } from "effect"
import { open, type Delivery } from "../domain/Delivery.ts"
import type { GenerationId } from "../domain/Generation.ts"
import { LogRepo } from "./LogRepo.ts"
import { MemoryStore } from "./MemoryStore.ts"
import { UndoRepo, type Before, type Fate } from "./UndoRepo.ts"

export const layer: Layer.Layer<UndoRepo, never, MemoryStore | LogRepo> = Layer.effect(
  UndoRepo,
  Effect.gen(function* () {
    const store = yield* MemoryStore
    const logs = yield* LogRepo
    const undoing = new Map<GenerationId, { readonly before: Before; readonly intent: string }>()

    const deliveriesOf = (id: GenerationId): ReadonlyArray<Delivery> =>
      Array.from(store.deliveries.values())
        .filter((one) => one.generation.id === id)
        .sort((left, right) => left.id - right.id)

    const isReplaced = ({ id }: Delivery): boolean => (store.extras.get(id)?.anew ?? null) !== null

    const change = (id: GenerationId, fields: Partial<Delivery["generation"]>): void => {
      const stored = store.generations.get(id)
      if (stored === undefined) return
      const generation = { ...stored.generation, ...fields }
      stored.generation = generation
      for (const one of deliveriesOf(id)) store.deliveries.set(one.id, { ...one, generation })
    }

    return UndoRepo.of({
      find: (id) =>
        Effect.sync(() =>
          Option.gen(function* () {
            const delivery = yield* Option.fromNullable(store.deliveries.get(id))
            const stored = yield* Option.fromNullable(store.generations.get(delivery.generation.id))
            const { generation, note, state, updated } = stored
            return {
              generation,
              state,
              note,
              origin: stored.origin ?? { source: generation.source, path: generation.path },
              archived: stored.archived ?? null,
              since: updated,
              deliveries: deliveriesOf(generation.id).filter((one) => !isReplaced(one))
            } satisfies Fate
          })
        ),
      last: (limit) =>
        Effect.sync(() =>
          Array.from(store.generations.values())
            .filter(
              ({ generation, state, wanted }) =>
                wanted > 0 &&
                (state === "MOVED" ||
                  (state === "DISPOSED" &&
                    generation.after._tag !== "Keep" &&
                    deliveriesOf(generation.id).some((one) => one.state === "DELIVERED" && one.undone === undefined)))
            )
            .sort((left, right) => right.updated - left.updated || right.generation.id - left.generation.id)
            .slice(0, limit)
            .flatMap(({ generation }) => deliveriesOf(generation.id).find((one) => !isReplaced(one))?.id ?? [])
        ),
      begin: (id, place, intent) =>
        Effect.sync(() => {
          const stored = store.generations.get(id)
          if (stored === undefined || (stored.state !== "DISPOSED" && stored.state !== "MOVED")) return false
          if (deliveriesOf(id).some(({ state }) => open.includes(state))) return false
          const { path, source, stamp } = stored.generation
          undoing.set(id, { before: { path, source, stamp, state: stored.state }, intent })
          stored.state = "UNDOING"
          change(id, place)
          return true
        }),
      end: (id, { marker, reason, stamp, taken }) =>
        Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          const stored = store.generations.get(id)
          if (stored?.state !== "UNDOING") return
          const is = stamp ?? stored.generation.stamp
          const { path, source } = stored.generation
          const isTaken = Array.from(store.generations.values()).some(
            ({ generation }) =>
              generation.id !== id &&
              generation.source === source &&
              generation.path === path &&
              generation.stamp === is
          )
          stored.state = isTaken ? "REPLACED" : "UNDONE"
          stored.note = null
          stored.updated = now
          stored.archived = null
          change(id, { marker, ...(isTaken ? {} : { stamp: is }) })
          for (const one of deliveriesOf(id)) {
            store.deliveries.set(
              one.id,
              taken.includes(one.id)
                ? {
                    ...one,
                    state: "CANCELLED",
                    reason,
                    receipt: null,
                    chosen: null,
                    due: null,
                    updated: now,
                    undone: now
                  }
                : { ...one, undone: now }
            )
          }
          yield* Effect.orDie(
            logs.undone(
              deliveriesOf(id).map((one) => one.id),
              0,
              now
            )
          )
          store.archives.delete(id)
          undoing.delete(id)
        }),
      rollBack: (id) =>
        Effect.sync(() => {
          const was = undoing.get(id)
          const stored = store.generations.get(id)
          if (was === undefined || stored === undefined) return
          const { state, ...place } = was.before
          stored.state = state
          change(id, place)
          undoing.delete(id)
        }),
      begun: Effect.sync(() => Array.from(undoing, ([id, { intent }]) => ({ id, intent })))
    })
  })
)
