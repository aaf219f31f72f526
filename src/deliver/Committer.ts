/**
 * Group commit: one fiber drains the outcomes of all lanes into one transaction at a time.
 */
import { Effect, Queue, Schedule, type Scope } from "effect"
import { Journal, type Concluded, type Conclusion } from "../store/Journal.ts"

export interface Committer {
  /** Hands outcomes over; waits only where the journal can't keep up. */
  readonly offer: (conclusions: ReadonlyArray<Conclusion>) => Effect.Effect<void>
  /** Whether everything that was handed over is committed. */
  readonly idle: Effect.Effect<boolean>
  /** Drains for ever. */
  readonly run: Effect.Effect<never>
}

/**
 * `committed` is told of each batch once it is durable, with what is to be done with source files then.
 */
export const make = (options: {
  /** Whether more outcomes are to be expected at any moment, so that a commit may wait for them a little. */
  readonly busy: () => boolean
  /** A moment, after which it is looked whether more have come. */
  readonly moment: Effect.Effect<void>
  readonly committed: (batch: ReadonlyArray<Conclusion>, concluded: Concluded) => Effect.Effect<void>
}): Effect.Effect<Committer, never, Journal | Scope.Scope> =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const outcomes = yield* Effect.acquireRelease(Queue.bounded<Conclusion>(capacity), Queue.shutdown)
    let unfinished = 0

    /** A commit of 64 outcomes costs twice as much as one of 4: worth some moments while more come in each of them. */
    const gather = Effect.gen(function* () {
      for (let moments = 0, before = 0; moments < patience && options.busy(); moments++) {
        yield* options.moment
        const size = yield* Queue.size(outcomes)
        if (size === before || size >= worthwhile) return
        before = size
      }
    })

    const step = Effect.gen(function* () {
      const first = yield* Queue.take(outcomes)
      yield* gather
      const batch = [first, ...(yield* Queue.takeUpTo(outcomes, largest - 1))]
      const concluded = yield* journal.conclude(batch).pipe(
        Effect.tapError((error) => Effect.logError(`${batch.length} outcomes wait to be recorded: ${error.reason}`)),
        // the lanes wait meanwhile, because the queue is bounded; nothing is forgotten
        Effect.retry(Schedule.exponential("100 millis", 2).pipe(Schedule.union(Schedule.spaced("10 seconds")))),
        Effect.orDie
      )
      yield* options.committed(batch, concluded)
      unfinished -= batch.length
    })

    return {
      offer: (conclusions) =>
        Effect.suspend(() => {
          unfinished += conclusions.length
          return Queue.offerAll(outcomes, conclusions)
        }),
      idle: Effect.sync(() => unfinished === 0),
      run: Effect.forever(step)
    }
  })

/** Outcomes that may wait for the journal. */
const capacity = 1024
/** Outcomes in one transaction. */
const largest = 512
/** So many are not waited for any longer. */
const worthwhile = 64
/** Nor is it for more moments than these. */
const patience = 4
