/**
 * Batches of small files, as destinations over a network have them: as many as can be go out by one promise each, where
 * an effect for each step would cost more than the file, and all others by the way of a single one.
 */
import { Effect } from "effect"
import type { Delivery, Receipt } from "../domain/Delivery.ts"
import type { DeliveryError } from "../domain/DeliveryError.ts"
import type { Connection, Task } from "./Destination.ts"

export type Outcome = Effect.Effect<Receipt, DeliveryError>

export interface Options {
  /** How many batches may be under way at once. */
  readonly workers: number
  /** Whether one may go that way that is small, and replaces what is there. */
  readonly accepts: (delivery: Delivery) => boolean
  /**
   * The quick way; begins none after `until` (by `Date.now`). Answers what came of those that it has taken: what is not
   * among them goes the way of a single one.
   */
  readonly quickly: (tasks: ReadonlyArray<Task>, until: number) => Effect.Effect<ReadonlyMap<Task, Outcome>>
  /** The way of a single one. */
  readonly deliver: (task: Task) => Outcome
}

/** A worker takes as many at once. */
const size = 16

/** Up to this size, in bytes, files are sent in batches. */
const small = 64 * 1024

/** After so long, those that were not begun are left to whoever has time; in milliseconds. */
const patience = 1_000

export const make = ({ accepts, deliver, quickly, workers }: Options): NonNullable<Connection["batch"]> => ({
  size,
  workers,
  counted: true,
  accepts: (delivery) =>
    delivery.generation.size <= small && delivery.target.options.conflict === "overwrite" && accepts(delivery),
  deliver: (tasks) =>
    Effect.gen(function* () {
      const until = Date.now() + patience
      for (const task of tasks) task.hold?.(true)
      const outcomes = yield* quickly(tasks, until)
      return yield* Effect.forEach(tasks, (task, index) => {
        const outcome = outcomes.get(task)
        if (outcome === undefined && index > 0 && Date.now() > until) return unbegun
        task.hold?.(false)
        return Effect.exit(outcome ?? deliver(task))
      })
    })
})

const unbegun = Effect.sync(() => undefined)
