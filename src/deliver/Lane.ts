/**
 * A lane: all deliveries that share a fate. A bounded queue fed from the journal as it has room, workers, a watchdog,
 * and a breaker: while the destination as a whole is unusable, nothing is sent but a probe from time to time.
 */
import {
  Array as Arr,
  Cause,
  Clock,
  Effect,
  Either,
  Exit,
  Fiber,
  FiberSet,
  Option,
  Queue,
  Random,
  Schedule,
  type Scope
} from "effect"
import type { Delivery, Receipt } from "../domain/Delivery.ts"
import { LaneDownError, TransientError, type CrowdedError, type DeliveryError } from "../domain/DeliveryError.ts"
import * as RelPath from "../domain/RelPath.ts"
import { location, shown } from "../domain/Target.ts"
import { Journal, type Conclusion } from "../store/Journal.ts"
import type { Connection, Preparing, Task } from "./Destination.ts"
import type { LaneError, LaneStatus, Sending } from "./Dispatcher.ts"
import { pause } from "./pause.ts"
import { delayAfter, probes, schedule } from "./Retry.ts"
import * as Suspects from "./Suspects.ts"
import * as Sweeper from "./Sweeper.ts"
import * as Width from "./Width.ts"

export interface LaneOptions {
  readonly lane: string
  readonly concurrency: number
  /** Since when it is paused, in milliseconds since the epoch; null: it is not. */
  readonly paused: number | null
  readonly connection: Connection
  /** What an attempt needs beside the delivery. */
  readonly task: (delivery: Delivery, watcher: Watcher) => Effect.Effect<Task, DeliveryError>
  /** Whether there is a limit to the bandwidth that this one may take. */
  readonly limited: (delivery: Delivery) => boolean
  /** Takes outcomes over, to be written down. */
  readonly conclude: (outcomes: ReadonlyArray<Outcome>) => Effect.Effect<void>
}

/** What the lane wants to know of an attempt, and what it tells of it. */
export interface Watcher {
  readonly progress: (bytes: number) => void
  /** It is held back (or no longer) by a limit of ours, which is no silence of the destination. */
  readonly held: (held: boolean) => void
  /** It waits for others of its batch, or no longer. */
  readonly hold: (held: boolean) => void
  /** It arrived, whatever becomes of the others of its batch. */
  readonly settle: (receipt: Receipt) => void
  /** What is done with the file before anything is sent. */
  readonly preparing: Preparing
  readonly ended: () => boolean
}

/** What became of an attempt, before it is written down. */
export type Outcome =
  | { readonly _tag: "Delivered"; readonly delivery: Delivery; readonly receipt: Receipt; readonly started: number }
  | Omit<Extract<Conclusion, { _tag: "NotDelivered" }>, "log">

export interface Lane {
  /** There is new work in the journal, or something is due. */
  readonly wake: Effect.Effect<void>
  /** Something was given up, and may have left something at the target. */
  readonly tidy: Effect.Effect<void>
  /** Clears away what is left at the target, best effort, before the program ends. */
  readonly sweep: Effect.Effect<void>
  readonly status: Effect.Effect<LaneStatus>
  /** Whether something is under way. */
  readonly busy: () => boolean
  /** Nothing is under way and the journal had nothing more to claim when it was last asked. */
  readonly idle: Effect.Effect<boolean>
  /** Paused; or down, and not for the first moment only. */
  readonly stuck: Effect.Effect<boolean>
  /** Takes nothing new and probes nothing until it is resumed. What is under way goes on. */
  readonly pause: (since: number) => Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** The config lets it have another number of deliveries under way at once. What is under way goes on. */
  readonly resize: (concurrency: number) => Effect.Effect<void>
  /** The config has changed: a lane that is down is tried now. */
  readonly probe: Effect.Effect<void>
  /** Takes nothing new, gives back what was not begun, and waits for what is under way. */
  readonly drain: Effect.Effect<void>
  /** All its fibers; ends only by a defect. */
  readonly run: Effect.Effect<never>
}

/**
 * How much later than a destination's own timers the watchdog ends an attempt, in milliseconds: a destination knows more
 * of what a silence means, such as that a whole form was posted and must not be posted again.
 */
const grace = 5000

/** Failures that a destination which is down could not have caused. */
const answered: ReadonlySet<DeliveryError["_tag"]> = new Set([
  "TransientError",
  "PermanentError",
  "AmbiguousError",
  "SkippedError"
])

/** For how many seconds clearing up lets deliveries go first. */
const patience = 60

/** Of what is no attempt. */
const unwatched: Watcher = {
  progress: () => undefined,
  held: () => undefined,
  hold: () => undefined,
  settle: () => undefined,
  preparing: { beat: () => undefined, done: () => undefined },
  ended: () => false
}

type Result = Exit.Exit<Receipt, DeliveryError>

interface Attempt {
  readonly delivery: Delivery
  readonly sending: { -readonly [Key in keyof Sending]: Sending[Key] }
  readonly timeout: number
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  timedOut: boolean
  ended: boolean
  /** What is known before its batch has ended. */
  receipt: Receipt | undefined
  /** How many of its chunks are held back by a limit of ours. */
  held: number
  /** It waits for others of its batch. */
  waits: boolean
  /** The file is being prepared here, and the destination was not asked for anything yet. */
  preparing: boolean
  /** How often it was told that this goes on. */
  beats: number
}

export const make = (options: LaneOptions): Effect.Effect<Lane, never, Journal | Scope.Scope> =>
  Effect.gen(function* () {
    const { connection, lane } = options
    let { concurrency } = options
    const journal = yield* Journal
    const clock = yield* Effect.clock
    const { batch } = connection
    const capacity = Math.max(128, concurrency * 4, (batch?.workers ?? 0) * (batch?.size ?? 0) * 2)
    const queue = yield* Queue.bounded<Delivery>(capacity)
    const bell = yield* Effect.makeLatch(true)
    const roomy = yield* Effect.makeLatch(true)
    const up = yield* Effect.makeLatch(true)
    const going = yield* Effect.makeLatch(options.paused === null)

    /** Places that are being written, each with the deliveries that came for it meanwhile. */
    const busy = new Map<string, Array<Delivery>>()
    const attempts = new Map<number, Attempt>()
    const seen = new WeakMap<Attempt, { readonly bytes: number; readonly beats: number; readonly at: number }>()
    const permits = yield* Effect.makeSemaphore(concurrency)
    const width = Width.make(concurrency)
    const suspects = Suspects.make()
    /** Taken from the queue, and waiting for a permit. */
    let lined = 0
    const size = () => Option.getOrElse(queue.unsafeSize(), () => 0)
    let draining = false
    /** The feeder waits for room in the queue. */
    let crowded = false
    /** The feeder waits for new work. */
    let exhausted = false
    /** `probe`: in milliseconds by {@link monotonic}. */
    let down: { readonly reason: string; readonly failures: number; readonly probe: number } | undefined
    /** Milliseconds by a clock that nobody sets. */
    const monotonic = () => Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)
    let { paused } = options
    /** Whether what was claimed goes back, and is not begun. */
    const halted = () => down !== undefined || draining || paused !== null
    let delivered = 0
    let failed = 0
    let bytes = 0
    let lastError: LaneError | null = null

    // feeding

    /** `by`: of those that wait for a time, only what was due by then. */
    const claim = (limit: number, by = Infinity) =>
      Clock.currentTimeMillis.pipe(
        Effect.flatMap((now) => journal.claim(lane, limit, Math.min(now, by))),
        Effect.catchAll((error) =>
          Effect.logError(`Lane ${lane} can't take deliveries from the journal: ${error.reason}`).pipe(
            Effect.zipRight(Effect.sleep("5 seconds")),
            // there may be more than the journal could tell
            Effect.zipRight(bell.open),
            Effect.as<ReadonlyArray<Delivery>>([])
          )
        )
      )

    const rest = Effect.gen(function* () {
      exhausted = true
      const due = yield* Effect.orElseSucceed(journal.nextDue(lane), () => null)
      const now = yield* Clock.currentTimeMillis
      // no sooner than in a moment, whatever the clock does
      const wait = due === null ? 60_000 : Math.min(60_000, Math.max(20, due - now))
      yield* bell.await.pipe(Effect.timeoutOption(wait))
      exhausted = false
    })

    /** By turns with one that was not blocked, and with one that was: none of them may stand in the way of all others. */
    const probe = (until: { readonly probe: number; readonly failures: number }) =>
      Effect.gen(function* () {
        yield* up.await.pipe(Effect.timeoutOption(Math.max(20, until.probe - monotonic())))
        if (down === undefined || draining || paused !== null) return
        yield* bell.close
        const [fresh] = until.failures % 2 === 1 ? yield* claim(1, 0) : []
        const delivery = fresh ?? (yield* claim(1))[0]
        if (delivery === undefined) yield* rest
        // it was paused while the journal was asked
        else if (paused !== null) yield* giveBack([delivery])
        else yield* attempt(delivery)
      })

    const feed = Effect.gen(function* () {
      if (draining) return yield* Effect.never
      if (paused !== null) return yield* going.await
      if (down !== undefined) return yield* probe(down)
      yield* bell.close
      const room = capacity - (yield* Queue.size(queue))
      if (room < capacity / 4) {
        crowded = true
        yield* roomy.close
        yield* roomy.await
        crowded = false
        return
      }
      const claimed = yield* claim(room)
      if (paused !== null) return yield* giveBack(claimed)
      if (claimed.length > 0) yield* Queue.offerAll(queue, claimed)
      if (claimed.length < room) yield* rest
    })

    const giveBack = (deliveries: Iterable<Delivery>) => {
      const ids = Array.from(deliveries, (delivery) => delivery.id)
      return ids.length === 0
        ? Effect.void
        : journal.release(ids).pipe(
            Effect.retry({ while: () => !draining, schedule: Schedule.spaced("5 seconds") }),
            Effect.zipRight(bell.open),
            Effect.catchAll((error) =>
              Effect.logWarning(`${ids.length} deliveries stay claimed until the next start: ${error.reason}`)
            )
          )
    }

    // sending

    /** All workers are to have something to do. */
    const share =
      batch === undefined
        ? () => 1
        : () => Math.min(batch.size, Math.max(1, Math.ceil(size() / Math.max(1, batch.workers))))

    const take = Effect.suspend(() => Queue.takeBetween(queue, 1, share()))

    const work: Effect.Effect<void> = Effect.flatMap(take, (taken) => {
      const deliveries = Array.from(taken)
      if (halted()) {
        return Effect.flatMap(Queue.takeAll(queue), (others) => giveBack([...deliveries, ...others]))
      }
      const [alone, together] =
        batch === undefined
          ? [deliveries, []]
          : Arr.partition(
              deliveries,
              (one) =>
                one.attempts === 0 &&
                !one.interrupted &&
                one.chosen === null &&
                batch.accepts(one) &&
                !options.limited(one)
            )
      return Effect.zipRight(
        together.length === 0
          ? Effect.void
          : batch?.counted === true
            ? inLine(together, attemptAll(together))
            : attemptAll(together),
        Effect.zipRight(
          // those that take longer don't wait for each other in the order in which they were taken
          alone.length === 1 && alone[0] !== undefined
            ? inLine(alone, attempt(alone[0]))
            : Effect.forEach(alone, (one) => inLine([one], attempt(one)), { concurrency: "unbounded", discard: true }),
          Effect.suspend(() => (crowded && size() < capacity / 2 ? roomy.open : Effect.void))
        )
      )
    })

    const inLine = (deliveries: ReadonlyArray<Delivery>, run: Effect.Effect<void>): Effect.Effect<void> =>
      Effect.suspend(() => {
        let waiting = deliveries.length
        lined += waiting
        const begun = () => {
          lined -= waiting
          waiting = 0
        }
        return permits
          .withPermits(1)(
            Effect.suspend(() => {
              // they may have waited for long
              if (halted()) return Effect.ensuring(giveBack(deliveries), Effect.sync(begun))
              begun()
              return run
            })
          )
          .pipe(Effect.ensuring(Effect.sync(begun)))
      })

    const slots = yield* FiberSet.make<void, never>()
    let slotCount = 0
    /** As many as may be under way; those that are too many find nothing to do. */
    const fill = Effect.suspend(() => {
      const missing = Math.max(concurrency, connection.batch?.workers ?? 0) - slotCount
      slotCount += Math.max(0, missing)
      return Effect.replicateEffect(FiberSet.run(slots, slot), Math.max(0, missing), { discard: true })
    }).pipe(Effect.annotateLogs({ lane }))

    /** A worker after the other: what ends one is not the end of the lane. */
    const slot = Effect.forever(
      Effect.flatMap(Effect.fork(Effect.withSpan(Effect.forever(work), "Lane.worker")), Fiber.await)
    )

    /** Takes the place of a delivery; where it is being written, the delivery goes back until that is over. */
    const reserve = (delivery: Delivery): boolean => {
      const place = location(delivery.target, delivery.name)
      const line = busy.get(place)
      if (line === undefined) busy.set(place, [])
      else line.push(delivery)
      return line === undefined
    }

    const free = (deliveries: ReadonlyArray<Delivery>): Effect.Effect<void> =>
      Effect.suspend(() => {
        const others: Array<Delivery> = []
        for (const delivery of deliveries) {
          const place = location(delivery.target, delivery.name)
          const line = busy.get(place)
          busy.delete(place)
          if (line !== undefined && line.length > 0) others.push(...line)
        }
        return others.length === 0 ? Effect.void : giveBack(others)
      })

    const begin = (delivery: Delivery, fiber: Fiber.RuntimeFiber<unknown, unknown>): Attempt => {
      const entry: Attempt = {
        delivery,
        sending: {
          delivery: delivery.id,
          file: RelPath.display(delivery.generation.path),
          destination: shown(delivery.target, RelPath.display(delivery.name)),
          size: delivery.generation.size,
          bytes: 0,
          started: clock.unsafeCurrentTimeMillis()
        },
        timeout: delivery.target.options.timeout,
        fiber,
        timedOut: false,
        ended: false,
        receipt: undefined,
        held: 0,
        waits: false,
        preparing: false,
        beats: 0
      }
      attempts.set(delivery.id, entry)
      return entry
    }

    /** Runs what the watchdog may interrupt, and writes down what came of it, come what may. */
    const supervise = (
      deliveries: ReadonlyArray<Delivery>,
      run: (entries: ReadonlyArray<Attempt>) => Effect.Effect<ReadonlyArray<Result | undefined>>
    ): Effect.Effect<void> => {
      const mine = deliveries.filter(reserve)
      if (mine.length === 0) return Effect.void
      return Effect.uninterruptibleMask((restore) =>
        Effect.withFiberRuntime<void>((fiber) => {
          const entries = mine.map((delivery) => begin(delivery, fiber))
          return Effect.flatMap(Effect.exit(restore(run(entries))), (exit) => {
            for (const entry of entries) {
              entry.ended = true
              attempts.delete(entry.delivery.id)
            }
            const results = entries.map((entry, index): Result | undefined => {
              if (entry.receipt !== undefined) return Exit.succeed(entry.receipt)
              if (Exit.isSuccess(exit)) return exit.value[index]
              return entry.waits ? undefined : Exit.failCause(exit.cause)
            })
            const settled = entries.some((entry) => entry.receipt !== undefined)
            const timedOut = entries.some((entry) => entry.timedOut)
            // who was interrupted for the time-out of another has no other reason either
            if (timedOut) for (const entry of entries) entry.timedOut = true
            const concluded = concludeAll(entries, results)
            // a fiber that was interrupted for its time-out would be interrupted again right here
            return Effect.ensuring(timedOut || settled ? concluded : restore(concluded), free(mine))
          })
        })
      )
    }

    /** In a fiber of its own, so that the watchdog ends this and nothing that was taken along with it. */
    const apart = (run: () => Effect.Effect<void>): Effect.Effect<void> =>
      Effect.asVoid(Effect.flatMap(Effect.fork(Effect.suspend(run)), Fiber.await))

    const attempt = (delivery: Delivery): Effect.Effect<void> =>
      apart(() =>
        supervise([delivery], ([entry]) =>
          entry === undefined ? Effect.succeed([]) : Effect.map(Effect.exit(deliver(entry)), (exit) => [exit])
        )
      )

    const attemptAll = (deliveries: ReadonlyArray<Delivery>): Effect.Effect<void> =>
      apart(() =>
        supervise(deliveries, (entries) =>
          Effect.gen(function* () {
            // what can't even be begun is no reason for the others of its batch
            const tasks = yield* Effect.forEach(entries, (entry) => Effect.either(taskOf(entry)))
            const begun = Arr.getRights(tasks)
            const results = begun.length === 0 ? [] : yield* batch?.deliver(begun) ?? Effect.succeed([])
            let next = 0
            return tasks.map((task) => (Either.isLeft(task) ? Exit.fail(task.left) : results[next++]))
          })
        )
      )

    const taskOf = (entry: Attempt) =>
      options.task(entry.delivery, {
        progress: (bytes) => {
          entry.sending.bytes += bytes
        },
        held: (held) => {
          entry.held += held ? 1 : -1
        },
        preparing: {
          beat: () => {
            entry.preparing = true
            entry.beats += 1
          },
          done: (size) => {
            entry.preparing = false
            entry.beats += 1
            entry.sending.size = size
          }
        },
        hold: (held) => {
          entry.waits = held
        },
        settle: (receipt) => {
          entry.receipt = receipt
        },
        ended: () => entry.ended
      })

    const deliver = (entry: Attempt): Effect.Effect<Receipt, DeliveryError> =>
      Effect.flatMap(taskOf(entry), (task) =>
        entry.delivery.interrupted
          ? Effect.flatMap(connection.recover(task), (adopted) =>
              Option.isSome(adopted) ? Effect.succeed(adopted.value) : connection.deliver(task)
            )
          : connection.deliver(task)
      )

    /** What arrived comes first: of what did not, nothing is written down where the program is being ended. */
    const concludeAll = (
      entries: ReadonlyArray<Attempt>,
      results: ReadonlyArray<Result | undefined>
    ): Effect.Effect<void> =>
      Effect.gen(function* () {
        const outcomes: Array<Outcome> = []
        const failures: Array<readonly [Attempt, Cause.Cause<DeliveryError>]> = []
        const unbegun: Array<Delivery> = []
        for (const [index, entry] of entries.entries()) {
          const result = results[index]
          if (result === undefined) {
            unbegun.push(entry.delivery)
            continue
          }
          if (Exit.isFailure(result)) {
            failures.push([entry, result.cause])
            continue
          }
          delivered += 1
          bytes += entry.delivery.generation.size
          suspects.delivered(entry.delivery.id, clock.unsafeCurrentTimeMillis())
          if (down !== undefined) yield* recovered
          const { delivery, sending } = entry
          outcomes.push({ _tag: "Delivered", delivery, receipt: result.value, started: sending.started })
        }
        if (outcomes.length > 0) yield* options.conclude(outcomes)
        yield* giveBack(unbegun)
        if (failures.length > 0) {
          const notDelivered = yield* Effect.forEach(failures, ([entry, cause]) => failureOf(entry, cause))
          notDelivered.forEach(remember)
          yield* options.conclude(notDelivered)
        }
      })

    /** What was left out as the config wants it, or is sent as it is by now, went wrong in no way. */
    const remember = (outcome: Outcome): void => {
      if (outcome._tag === "Delivered" || outcome.state === "SKIPPED" || outcome.state === "SUPERSEDED") return
      const { delivery, ended, reason, state } = outcome
      lastError = { time: ended, file: RelPath.display(delivery.generation.path), reason, state }
    }

    const failureOf = (entry: Attempt, cause: Cause.Cause<DeliveryError>): Effect.Effect<Outcome> =>
      Effect.gen(function* () {
        const { delivery } = entry
        const ended = clock.unsafeCurrentTimeMillis()
        const error = yield* errorOf(cause, entry)
        // whatever else went wrong, the destination has answered
        if (answered.has(error._tag) && !entry.timedOut && !entry.preparing) yield* recovered
        const { started } = entry.sending
        const traces = connection.discard !== undefined
        const fields = { _tag: "NotDelivered" as const, delivery, reason: error.reason, started, ended }
        switch (error._tag) {
          case "LaneDownError": {
            if (suspects.alone(delivery.id, started)) {
              const reason = `${error.reason} Other files are taken there: it is this one's own trouble.`
              return yield* again({ ...fields, reason }, error.retryAfter, down === undefined)
            }
            const due = yield* broken(error, ended)
            return { ...fields, state: "BLOCKED", due, counts: false }
          }
          case "CrowdedError": {
            const narrowed = down === undefined && (yield* narrow(error, ended))
            if (narrowed) {
              const delay = Math.max(yield* Random.nextIntBetween(500, 1500), error.retryAfter ?? 0)
              return { ...fields, state: "RETRY_WAIT", due: ended + delay, counts: false }
            }
            const { cause: why, reason, retryAfter } = error
            const due = yield* broken(new LaneDownError({ reason, retryAfter, cause: why }), ended)
            return { ...fields, state: "BLOCKED", due, counts: false }
          }
          case "TransientError":
            return yield* again(fields, error.retryAfter, error.counts ?? true)
          case "AmbiguousError":
            failed += 1
            return { ...fields, state: "AMBIGUOUS", due: null, counts: true }
          case "SkippedError":
            return { ...fields, state: "SKIPPED", due: null, counts: false }
          case "SourceChangedError":
            return { ...fields, state: "SUPERSEDED", due: null, counts: false, lost: true, traces }
          case "PermanentError":
            failed += 1
            return { ...fields, state: "DEAD", due: null, counts: true }
          case "SourceGoneError":
            // a newer one that took its place may be done with already
            if (
              !error.unreadable &&
              (yield* Effect.orElseSucceed(journal.replaced(delivery.generation.id), () => false))
            ) {
              return { ...fields, state: "SUPERSEDED", due: null, counts: false, lost: true, traces }
            }
            failed += 1
            return { ...fields, state: "DEAD", due: null, counts: true, lost: !error.unreadable, traces }
        }
      })

    /** Another attempt after a while, unless this was the last that it has. */
    const again = (
      fields: Omit<Extract<Outcome, { _tag: "NotDelivered" }>, "state" | "due" | "counts">,
      retryAfter: number | undefined,
      counts: boolean
    ): Effect.Effect<Outcome> =>
      Effect.gen(function* () {
        const { delivery, ended, reason } = fields
        const { retry } = delivery.target.options
        const delay = yield* delayAfter(schedule(retry), delivery.attempts + 1, ended)
        if (Option.isSome(delay) || !counts) {
          const wait = Option.getOrElse(delay, () => retry.cap)
          return { ...fields, state: "RETRY_WAIT", due: ended + Math.max(wait, retryAfter ?? 0), counts }
        }
        failed += 1
        suspects.ended(delivery.id)
        const why = `${reason} (given up after ${delivery.attempts + 1} attempts)`
        return { ...fields, reason: why, state: "DEAD", due: null, counts }
      })

    const errorOf = (cause: Cause.Cause<DeliveryError>, entry: Attempt): Effect.Effect<DeliveryError> => {
      const expected = Cause.failureOption(cause)
      if (Option.isSome(expected)) return Effect.succeed(expected.value)
      if (entry.timedOut) {
        const what = entry.preparing
          ? `while ${entry.sending.file} was prepared for ${entry.sending.destination}`
          : `with ${entry.sending.destination}`
        return Effect.succeed(
          new TransientError({
            reason: `No progress for ${entry.timeout / 1000} s ${what}: given up for now`,
            cause: Option.none()
          })
        )
      }
      if (Cause.isInterruptedOnly(cause)) return Effect.interrupt
      return Effect.as(
        Effect.logError("An attempt ended by a defect", cause),
        new TransientError({
          reason: `Unexpected: ${String(Cause.squash(cause))}. Please report this; details are in the program's log.`,
          cause: Option.some(Cause.squash(cause))
        })
      )
    }

    // how many at once

    /** The server took no more. Whether the lane can make do with fewer. */
    const narrow = (error: CrowdedError, now: number) =>
      Effect.gen(function* () {
        const found = width.crowded(attempts.size, now)
        if (found === "alone") return false
        if (found === "lowered") {
          yield* permits.resize(width.limit())
          yield* Effect.logInfo(
            `Lane ${lane} makes do with ${width.limit()} of ${concurrency} at once for now: ${error.reason}`
          )
        }
        return true
      })

    const widen = Effect.suspend(() =>
      width.relax(clock.unsafeCurrentTimeMillis())
        ? Effect.zipRight(
            permits.resize(width.limit()),
            Effect.logInfo(`Lane ${lane} tries ${width.limit()} of ${concurrency} at once again`)
          )
        : Effect.void
    )

    // the breaker

    const broken = (error: LaneDownError, now: number) =>
      Effect.gen(function* () {
        const at = monotonic()
        // those that were under way when it broke tell nothing new
        if (down !== undefined && at < down.probe) return now + down.probe - at
        const failures = (down?.failures ?? 0) + 1
        const delay = Option.getOrElse(yield* delayAfter(probes, failures, now), () => 60_000)
        const wait = Math.max(delay, error.retryAfter ?? 0)
        if (down === undefined) yield* Effect.logWarning(`Lane ${lane} is down: ${error.reason}`)
        down = { reason: error.reason, failures, probe: at + wait }
        yield* up.close
        yield* bell.open
        yield* roomy.open
        yield* giveBack(yield* Queue.takeAll(queue))
        return now + wait
      })

    const recovered = Effect.suspend(() => {
      if (down === undefined) return Effect.void
      down = undefined
      return Effect.logInfo(`Lane ${lane} is up again`).pipe(
        Effect.zipLeft(Effect.suspend(() => sweeper.wake)),
        Effect.zipRight(Effect.ignoreLogged(journal.unblock(lane))),
        Effect.zipRight(up.open),
        Effect.zipRight(bell.open)
      )
    })

    // the watchdog

    const watch = Effect.gen(function* () {
      yield* Effect.sleep("1 second")
      const now = monotonic()
      yield* widen
      for (const entry of attempts.values()) {
        const { beats, sending } = entry
        const last = seen.get(entry)
        if (entry.held > 0 || entry.waits || sending.bytes !== last?.bytes || beats !== last.beats)
          seen.set(entry, { bytes: sending.bytes, beats, at: now })
        else if (now - last.at >= entry.timeout + grace && !entry.timedOut) {
          entry.timedOut = true
          yield* Fiber.interruptFork(entry.fiber)
        }
      }
    })
    const underWay = Effect.sync(() => attempts.size + lined)

    // clearing up

    const sweeper = yield* Sweeper.make({
      lane,
      connection,
      task: (delivery) => options.task(delivery, unwatched),
      down: () => down !== undefined || paused !== null,
      spare: (step) =>
        Effect.gen(function* () {
          for (let second = 0; second < patience; second++) {
            if (draining) break
            const done = yield* permits.withPermitsIfAvailable(1)(step)
            if (Option.isSome(done)) return done.value
            yield* Effect.sleep("1 second")
          }
          return yield* permits.withPermits(1)(step)
        }),
      alone: (delivery, step) =>
        Effect.suspend(() => {
          const place = location(delivery.target, delivery.name)
          if (busy.has(place)) return Effect.succeed(Option.none())
          busy.set(place, [])
          return Effect.ensuring(Effect.asSome(step), free([delivery]))
        })
    })

    return {
      wake: Effect.zipRight(bell.open, sweeper.wake),
      tidy: sweeper.wake,
      sweep: sweeper.finish,
      busy: () => attempts.size > 0,
      status: Effect.map(Queue.size(queue), (queued) => ({
        lane,
        health: down === undefined ? ("up" as const) : ("down" as const),
        reason: down?.reason ?? null,
        probe: down === undefined ? null : clock.unsafeCurrentTimeMillis() + down.probe - monotonic(),
        paused,
        concurrency,
        limit: width.limit(),
        queued: Math.max(0, queued) + lined,
        sending: Array.from(attempts.values(), ({ sending }) => ({ ...sending })),
        delivered,
        failed,
        bytes,
        lastError
      })),
      idle: Effect.map(
        Queue.size(queue),
        (queued) =>
          queued <= 0 &&
          lined === 0 &&
          attempts.size === 0 &&
          busy.size === 0 &&
          (exhausted || down !== undefined || paused !== null)
      ),
      stuck: Effect.sync(() => paused !== null || (down !== undefined && down.failures >= 3)),
      pause: (since) =>
        Effect.gen(function* () {
          paused = since
          yield* going.close
          // whoever waits for a time or for room sees that there is nothing to be done
          yield* Effect.all([bell.open, roomy.open])
          yield* giveBack(yield* Queue.takeAll(queue))
        }),
      resume: Effect.suspend(() => {
        paused = null
        return Effect.all([going.open, bell.open, sweeper.wake], { discard: true })
      }),
      resize: (next) =>
        Effect.suspend(() => {
          concurrency = next
          width.resize(next)
          return Effect.zipRight(permits.resize(width.limit()), fill)
        }),
      probe: Effect.suspend(() => {
        if (down === undefined) return Effect.void
        down = { ...down, probe: -Infinity }
        return Effect.ignoreLogged(journal.unblock(lane)).pipe(Effect.zipRight(up.open), Effect.zipRight(bell.open))
      }),
      drain: Effect.gen(function* () {
        draining = true
        yield* Effect.all([bell.open, roomy.open, up.open, going.open])
        yield* giveBack(yield* Queue.takeAll(queue))
        while ((yield* underWay) > 0) yield* pause(20)
      }),
      run: Effect.all(
        [
          Effect.withSpan(Effect.forever(feed), "Lane.feed"),
          Effect.withSpan(Effect.forever(watch), "Lane.watchdog"),
          Effect.withSpan(sweeper.run, "Lane.sweep"),
          Effect.zipRight(fill, FiberSet.join(slots))
        ],
        {
          concurrency: "unbounded",
          discard: true
        }
      ).pipe(Effect.zipRight(Effect.never), Effect.annotateLogs({ lane }))
    }
  })
