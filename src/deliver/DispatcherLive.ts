/**
 * The dispatcher: opens a lane for each that the journal has work for, and supervises them.
 */
import {
  Duration,
  Effect,
  ExecutionStrategy,
  FiberSet,
  Layer,
  Option,
  PubSub,
  Schedule,
  Scope,
  Stream,
  SubscriptionRef
} from "effect"
import { v7 as uuid } from "uuid"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import type { Delivery, Receipt } from "../domain/Delivery.ts"
import { LaneDownError, PermanentError, TransientError, type DeliveryError } from "../domain/DeliveryError.ts"
import { extensionOf, formatSize, type LogEntry } from "../domain/LogEntry.ts"
import * as Names from "../domain/Names.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Settings } from "../domain/Settings.ts"
import { schemeOf, shown } from "../domain/Target.ts"
import { FileFacts } from "../files/FileFacts.ts"
import { Files } from "../files/Files.ts"
import { tempNames } from "../files/names.ts"
import { Deliveries } from "../store/Deliveries.ts"
import { Journal, type Concluded, type Conclusion, type JournalError } from "../store/Journal.ts"
import { PauseRepo } from "../store/PauseRepo.ts"
import * as Access from "./Access.ts"
import { concurrencyOf } from "./asConfigured.ts"
import * as Bandwidth from "./Bandwidth.ts"
import * as Committer from "./Committer.ts"
import { pause } from "./pause.ts"
import { Destinations, type Connection, type Destination, type Task } from "./Destination.ts"
import { Dispatcher, type DispatcherEvent } from "./Dispatcher.ts"
import * as Dispose from "./Dispose.ts"
import * as Flows from "./Flows.ts"
import * as Lane from "./Lane.ts"
import * as Reopening from "./Reopening.ts"
import { Signals } from "./Signals.ts"
import * as Spool from "./transform/Spool.ts"
import * as Transformer from "./transform/Transformer.ts"
import * as Transforming from "./transform/Transforming.ts"

/** How long what is under way may take to finish when the program is asked to stop. */
const drainDeadline = Duration.seconds(10)

const make = Effect.gen(function* () {
  const journal = yield* Journal
  const signals = yield* Signals
  const destinations = yield* Destinations
  const settings = yield* CurrentSettings
  const context = yield* Effect.context<Journal>()
  const clock = yield* Effect.clock
  const bytes = yield* FileFacts
  const temps = tempNames(journal.id)
  const bandwidth = yield* Bandwidth.make
  const { db, durability } = yield* SubscriptionRef.get(settings)
  const sync = durability === "power"
  const spool = yield* Spool.make({
    folder: `${db}.spool`,
    journal: journal.id,
    transformer: yield* Transformer.make,
    deliveries: yield* Deliveries
  })
  const events = yield* PubSub.sliding<DispatcherEvent>(1024)
  const fibers = yield* FiberSet.make<never, never>()
  // of its own, so that what a lane uses is closed after the drain, whenever the lane was opened
  const lanesScope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
  const dispose = yield* Dispose.make({
    sync,
    sourceName: (directory) =>
      Effect.map(
        SubscriptionRef.get(settings),
        ({ sources }) => sources.find(({ path }) => path === directory)?.name ?? RelPath.basename(directory)
      )
  })
  const lanes = new Map<string, Open>()
  const flows = Flows.make()
  const pauses = yield* PauseRepo
  const paused = new Map(yield* Effect.orDie(pauses.all("lane")))
  for (const [lane, since] of paused) {
    yield* Effect.logInfo(`Lane ${lane} is paused since ${new Date(since).toISOString()}: nothing is sent there`)
  }

  /** Delivered, but not told of: a line for each file is for people who watch, in a rush a count serves them better. */
  let uncounted = 0

  const tellCount = Effect.suspend(() => {
    const count = uncounted
    uncounted = 0
    return count === 0 ? Effect.void : Effect.logInfo(`Delivered ${count} files`)
  })

  const committed = (batch: ReadonlyArray<Conclusion>, concluded: Concluded) =>
    Effect.gen(function* () {
      yield* spool.concluded(batch)
      flows.add(batch)
      yield* PubSub.publishAll(events, batch.map(toEvent))
      const delivered = batch.filter((conclusion) => conclusion._tag === "Delivered").length
      const rush = delivered > 8 || uncounted > 0
      if (rush) uncounted += delivered
      for (const conclusion of batch) {
        if (conclusion._tag !== "Delivered" || !rush) yield* logOutcome(conclusion)
      }
      // their lanes must learn when these are due
      const waiting = batch.filter((conclusion) => conclusion._tag === "NotDelivered" && conclusion.due !== null)
      for (const name of new Set(waiting.map(({ delivery }) => delivery.target.lane))) {
        yield* lanes.get(name)?.lane.wake ?? Effect.void
      }
      const ended = batch.filter((conclusion) => conclusion._tag === "NotDelivered" && conclusion.due === null)
      for (const name of new Set(ended.map(({ delivery }) => delivery.target.lane))) {
        yield* lanes.get(name)?.lane.tidy ?? Effect.void
      }
      const disposing = concluded.dispose.length + concluded.dead.length
      if (disposing === 0) return
      const moved = batch.flatMap((conclusion) =>
        conclusion._tag === "Delivered" &&
        conclusion.receipt.verified === "inode" &&
        conclusion.delivery.sole &&
        conclusion.delivery.generation.marker === null
          ? [conclusion.delivery.generation.id]
          : []
      )
      yield* dispose.moved(moved)
      if (moved.length < disposing) yield* dispose.wake
    })

  const committer = yield* Committer.make({
    committed,
    moment: pause(25),
    busy: () => {
      for (const { lane } of lanes.values()) if (lane.busy()) return true
      return false
    }
  })

  const taskFor = (delivery: Delivery, watcher: Lane.Watcher): Effect.Effect<Task, DeliveryError> =>
    Effect.flatMap(SubscriptionRef.get(settings), (current) => {
      const refusal = Names.refusal(delivery.name)
      if (refusal !== undefined) {
        const file = RelPath.display(delivery.generation.path)
        const written = delivery.name === delivery.generation.path ? "" : "as `names: portable` writes it, "
        return new PermanentError({
          reason: `${file} can't be sent to ${delivery.target.url}: ${written}${refusal}. Give it a shorter name`,
          cause: Option.none()
        })
      }
      const temp = (attempt: number) => temps(delivery.id, attempt)
      return Effect.map(Access.of(current, delivery, bytes), (access) => ({
        ...access,
        temp: temp(delivery.attempts),
        stale:
          delivery.attempts === 0 ? none : Array.from({ length: delivery.attempts }, (_, attempt) => temp(attempt)),
        idempotencyKey: `${journal.id}-${delivery.id}`,
        sync,
        progress: watcher.progress,
        hold: watcher.hold,
        settle: watcher.settle,
        preparing: watcher.preparing,
        pace: bandwidth.pace(delivery, watcher),
        choose: (name) => Effect.mapError(journal.choose(delivery.id, name), toTransient),
        note: (resume) => Effect.mapError(journal.note(delivery.id, resume), toTransient)
      }))
    })

  const open = (name: string) =>
    Effect.gen(function* () {
      const destination = yield* destinations.get(schemeOf(name))
      const concurrency = concurrencyOf(yield* SubscriptionRef.get(settings), name)
      const connect = (concurrency: number) =>
        Option.match(destination, {
          onNone: () => Effect.succeed(noDestination(name)),
          onSome: (found) => found.open(name, { concurrency, sync })
        })
      const { connection, reopen } = yield* Scope.extend(Reopening.make(connect(concurrency)), lanesScope)
      const lane = yield* Lane.make({
        lane: name,
        concurrency,
        paused: paused.get(name) ?? null,
        connection: Transforming.wrap(connection, spool),
        task: taskFor,
        limited: bandwidth.limits,
        conclude: (outcomes) => {
          const now = clock.unsafeCurrentTimeMillis()
          const offered = committer.offer(outcomes.map((outcome) => withLog(outcome, destination, now)))
          const changed = outcomes.filter(
            (outcome) => outcome._tag === "NotDelivered" && outcome.state === "SUPERSEDED"
          )
          return Effect.zipRight(
            offered,
            Effect.forEach(
              changed,
              ({ delivery: { generation } }) => signals.changed(generation.source, generation.path),
              { discard: true }
            )
          )
        }
      }).pipe(Scope.extend(lanesScope), Effect.provide(context))
      lanes.set(name, {
        lane,
        destination,
        concurrency,
        resize: (next) => Effect.zipRight(reopen(connect(next)), lane.resize(next))
      })
      yield* FiberSet.run(fibers, lane.run)
    })

  /** Lanes follow the config: those that it does not change go on as they are, and nothing that is under way stops. */
  const adjust = (current: Settings) =>
    Effect.forEach(
      Array.from(lanes),
      ([name, one]) => {
        const concurrency = concurrencyOf(current, name)
        const resized = concurrency === one.concurrency ? Effect.void : one.resize(concurrency)
        lanes.set(name, { ...one, concurrency })
        // what was wrong may have been put right
        return Effect.zipRight(resized, one.lane.probe)
      },
      { discard: true }
    )

  const opening = yield* Effect.makeSemaphore(1)

  const notify = (names: ReadonlyArray<string>) =>
    Effect.forEach(
      names,
      (name) =>
        lanes.has(name)
          ? Effect.suspend(() => lanes.get(name)?.lane.wake ?? Effect.void)
          : opening.withPermits(1)(Effect.suspend(() => (lanes.has(name) ? Effect.void : open(name)))),
      { discard: true }
    )

  const laneStatus = Effect.suspend(() => Effect.forEach(Array.from(lanes.values()), ({ lane }) => lane.status))

  const quiet = Effect.gen(function* () {
    for (const { lane } of lanes.values()) if (!(yield* lane.idle)) return false
    return (yield* committer.idle) && (yield* dispose.idle)
  })

  /** Whether all that is still owed is owed by lanes that are down or paused. */
  const settledNow = Effect.gen(function* () {
    if (!(yield* quiet)) return false
    const owed = yield* Effect.orElseSucceed(journal.backlog, () => undefined)
    if (owed === undefined) return false
    for (const { lane, open: count } of owed) {
      const known = lanes.get(lane)
      if (count > 0 && (known === undefined || !(yield* known.lane.stuck))) return false
    }
    return yield* quiet
  })

  const settled = settledNow.pipe(
    Effect.repeat({ until: (done) => done, schedule: pollSettled }),
    Effect.zipRight(laneStatus),
    Effect.map((all) => all.filter((lane) => lane.health === "down" || lane.paused !== null))
  )

  /** One at a time, and not while a lane is opened: it would not learn of it. */
  const pauseLane = (lane: string) =>
    Effect.gen(function* () {
      if (paused.has(lane)) return false
      const since = clock.unsafeCurrentTimeMillis()
      yield* pauses.pause("lane", lane, since)
      paused.set(lane, since)
      yield* lanes.get(lane)?.lane.pause(since) ?? Effect.void
      yield* Effect.logInfo(`Lane ${lane} is paused: nothing new is sent there until it is resumed`)
      return true
    }).pipe(Effect.uninterruptible, opening.withPermits(1))

  const resumeLane = (lane: string) =>
    Effect.gen(function* () {
      if (!paused.has(lane)) return false
      yield* pauses.resume("lane", lane)
      paused.delete(lane)
      yield* lanes.get(lane)?.lane.resume ?? Effect.void
      yield* Effect.logInfo(`Lane ${lane} is resumed`)
      return true
    }).pipe(Effect.uninterruptible, opening.withPermits(1))

  const interrupted = yield* Effect.orDie(journal.recover)
  if (interrupted > 0) yield* Effect.logInfo(`${interrupted} deliveries were under way when the program ended last`)

  yield* FiberSet.run(fibers, Effect.withSpan(committer.run, "Dispatcher.commit"))
  yield* FiberSet.run(fibers, Effect.withSpan(dispose.run, "Dispatcher.dispose"))
  yield* FiberSet.run(fibers, Stream.runForEach(signals.lanes, notify).pipe(Effect.zipRight(Effect.never)))
  yield* FiberSet.run(
    fibers,
    Stream.runForEach(settings.changes, (current) => opening.withPermits(1)(adjust(current))).pipe(
      Effect.zipRight(Effect.never)
    )
  )
  yield* notify((yield* Effect.orDie(journal.backlog)).map(({ lane }) => lane))

  yield* FiberSet.run(fibers, Effect.forever(Effect.delay(tellCount, "5 seconds")))

  /** What waits for a time must not wait until the clock is there for the second time. */
  const watchClock = Effect.gen(function* () {
    let last = clock.unsafeCurrentTimeMillis()
    for (;;) {
      yield* Effect.sleep("1 second")
      const now = clock.unsafeCurrentTimeMillis()
      if (now < last) {
        const done = yield* Effect.isSuccess(journal.clockSetBack)
        // otherwise with the next look
        if (!done) continue
        if (last - now > 60_000) yield* Effect.logWarning(`The clock was set back to ${new Date(now).toISOString()}`)
        for (const { lane } of lanes.values()) yield* lane.wake
      }
      last = now
    }
  })
  yield* FiberSet.run(fibers, watchClock)

  /** The start itself comes first. */
  const prepare = Effect.gen(function* () {
    const { routes } = yield* SubscriptionRef.get(settings)
    for (const scheme of new Set(routes.flatMap(({ targets }) => targets.map(({ target }) => target.scheme)))) {
      const destination = yield* destinations.get(scheme)
      yield* Option.getOrUndefined(destination)?.prepare ?? Effect.void
    }
  })
  yield* FiberSet.run(fibers, Effect.zipRight(Effect.delay(prepare, "100 millis"), Effect.never))

  // added last, so that it runs first: before the lanes and the fibers are closed
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      const drained = Effect.forEach(Array.from(lanes.values()), ({ lane }) => lane.drain, {
        concurrency: "unbounded",
        discard: true
      }).pipe(
        Effect.zipRight(Effect.zipLeft(committer.idle, pause(20)).pipe(Effect.repeat({ until: (idle) => idle }))),
        Effect.zipLeft(
          Effect.forEach(Array.from(lanes.values()), ({ lane }) => lane.sweep, {
            concurrency: "unbounded",
            discard: true
          })
        )
      )
      const inTime = yield* Effect.timeoutOption(Effect.interruptible(drained), drainDeadline)
      yield* tellCount
      if (Option.isNone(inTime)) {
        yield* Effect.logWarning("Some deliveries were not finished in time; they are taken up again at the next start")
      }
    })
  )

  return Dispatcher.of({
    notify,
    status: laneStatus,
    settled,
    flows: Effect.sync(flows.status),
    pause: pauseLane,
    resume: resumeLane,
    paused: Effect.sync(() => new Map(paused)),
    tell: (changes) => Effect.asVoid(PubSub.publishAll(events, changes)),
    events: Stream.fromPubSub(events),
    join: FiberSet.join(fibers).pipe(Effect.zipRight(Effect.never))
  })
})

export const layer: Layer.Layer<
  Dispatcher,
  never,
  CurrentSettings | Deliveries | Destinations | FileFacts | Files | Journal | PauseRepo | Signals
> = Layer.scoped(Dispatcher, make)

interface Open {
  readonly lane: Lane.Lane
  readonly destination: Option.Option<Destination>
  readonly concurrency: number
  readonly resize: (concurrency: number) => Effect.Effect<void>
}

const toTransient = (error: JournalError): TransientError =>
  new TransientError({ reason: error.reason, cause: Option.some(error) })

const none: ReadonlyArray<string> = []

const pollSettled = Schedule.spaced("50 millis")

const noDestination = (lane: string): Connection => {
  const down = Effect.fail(
    new LaneDownError({
      reason: `Nothing here can deliver to ${schemeOf(lane)}: register a destination for it, or cancel its deliveries`,
      cause: Option.none()
    })
  )
  return { deliver: () => down, recover: () => Effect.succeed(Option.none()) }
}

/** States that are reported in the log: what is not tried again by itself. */
const logged: ReadonlySet<string> = new Set(["DEAD", "AMBIGUOUS"])

const withLog = (outcome: Lane.Outcome, destination: Option.Option<Destination>, now: number): Conclusion => {
  if (outcome._tag === "NotDelivered") {
    return { ...outcome, log: logged.has(outcome.state) ? logEntry(outcome, destination, now) : null }
  }
  const { delivery, receipt } = outcome
  return { _tag: "Delivered", delivery, receipt, log: logEntry(outcome, destination, now) }
}

const logEntry = (outcome: Lane.Outcome, destination: Option.Option<Destination>, now: number): LogEntry => {
  const { delivery, started } = outcome
  const { generation } = delivery
  const receipt = outcome._tag === "Delivered" ? outcome.receipt : undefined
  const filename = RelPath.display(RelPath.basename(generation.path))
  const { protocol, worker } = Option.getOrElse(destination, () => ({
    protocol: delivery.target.scheme,
    worker: "No worker"
  }))
  return {
    id: uuid(),
    filename,
    source: generation.source,
    destination: delivery.target.url,
    extension: extensionOf(filename),
    worker,
    protocol,
    status: receipt === undefined ? "FAILED" : "SUCCEEDED",
    size: formatSize(generation.size),
    byte_size: generation.size,
    reason: outcome._tag === "Delivered" ? null : outcome.reason,
    created: new Date(now).toISOString(),
    file_created: isoOrNull(generation.born),
    file_modified: isoOrNull(generation.mtime),
    sha256: receipt?.sourceSha256 ?? receipt?.sha256 ?? null,
    ...sentOf(receipt),
    verified: receipt?.verified ?? null,
    route: delivery.route,
    attempts: delivery.attempts + 1,
    duration_ms: now - started,
    delivery: delivery.id
  }
}

/** Null where the source itself was sent. */
const sentOf = (receipt: Receipt | undefined): Pick<LogEntry, "sent_size" | "sent_sha256"> =>
  receipt?.sourceSha256 === undefined
    ? { sent_size: null, sent_sha256: null }
    : { sent_size: receipt.bytes, sent_sha256: receipt.sha256 }

/** A file's time can be beyond what a date can hold. */
const isoOrNull = (time: number): string | null => {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? null : date.toISOString()
}

const toEvent = (conclusion: Conclusion): DispatcherEvent => {
  const { delivery } = conclusion
  return {
    delivery: delivery.id,
    state: conclusion._tag === "Delivered" ? "DELIVERED" : conclusion.state,
    file: RelPath.display(delivery.generation.path),
    destination: shown(delivery.target, RelPath.display(delivery.name)),
    size: delivery.generation.size,
    reason: conclusion._tag === "Delivered" ? null : conclusion.reason
  }
}

const logOutcome = (conclusion: Conclusion): Effect.Effect<void> => {
  const { delivery, destination, file, reason, state } = toEvent(conclusion)
  if (state === "DELIVERED") {
    return Effect.annotateLogs(Effect.logInfo(`Delivered ${file} to ${destination}`), { delivery })
  }
  const line = `${state}: ${file} to ${destination}: ${reason}`
  const level = logged.has(state)
    ? Effect.logError(line)
    : // the lane has said that it is down
      state === "BLOCKED"
      ? Effect.logDebug(line)
      : Effect.logInfo(line)
  return Effect.annotateLogs(level, { delivery })
}
