/**
 * `--once`: deliver what is there, say what became of it, and end.
 */
import { Effect, Fiber, Option, Stream } from "effect"
import { DeliveryId, open as openStates } from "../domain/Delivery.ts"
import { formatSize, type LogEntry } from "../domain/LogEntry.ts"
import { display } from "../domain/RelPath.ts"
import { Dispatcher, type LaneStatus } from "../deliver/Dispatcher.ts"
import { Deliveries } from "../store/Deliveries.ts"
import { LogRepo } from "../store/LogRepo.ts"
import { Intake, type SourceStatus } from "../watch/Intake.ts"
import * as Output from "./Output.ts"

/**
 * Waits until all is concluded. On a terminal it shows how far it is, otherwise a line for each concluded delivery.
 * `since`: when the run began, in milliseconds since the epoch. Answers the exit code: 1 where a delivery is dead, a
 * lane is down or has something that waits for it to be resumed, or a source is missing or paused.
 */
export const once = Effect.fn("Once.once")(function* (since: number) {
  const told = new Set<number>()
  let bytes = 0
  const events = (yield* Dispatcher).events.pipe(
    Stream.runForEach((event) => {
      if (event.state === "DELIVERED") bytes += event.size
      if (!isOutcome(event.state) || told.has(event.delivery)) return Effect.void
      told.add(event.delivery)
      return tell(event.state, event.file, event.destination, event.reason)
    }),
    Effect.zipRight(Effect.never)
  )
  const watching = yield* Effect.fork(Effect.all([events, progress(() => bytes)], { concurrency: "unbounded" }))
  const stopped = yield* settled
  yield* Fiber.interrupt(watching)
  yield* Output.status("")

  // events may have been missed; the log has them all
  const deliveries = yield* Deliveries
  const outcome = { delivered: 0, failed: 0, bytes: 0 }
  yield* entriesSince(since, (entry) =>
    Effect.gen(function* () {
      const succeeded = entry.status === "SUCCEEDED"
      if (succeeded) {
        outcome.delivered += 1
        outcome.bytes += entry.byte_size
      } else {
        outcome.failed += 1
      }
      if (entry.delivery === null || told.has(entry.delivery)) return
      const delivery = Option.getOrUndefined(yield* deliveries.get(DeliveryId.make(entry.delivery)))
      const file = delivery === undefined ? entry.filename : display(delivery.generation.path)
      const state = succeeded ? "DELIVERED" : delivery?.state === "AMBIGUOUS" ? "AMBIGUOUS" : "DEAD"
      yield* tell(state, file, entry.destination, entry.reason)
    })
  )
  return yield* summary(outcome, stopped, yield* (yield* Intake).status)
})

/** Nothing is settling, and nothing is left that a lane could do now. Answers the lanes that are down or paused. */
const settled = Effect.gen(function* () {
  const intake = yield* Intake
  const dispatcher = yield* Dispatcher
  while (true) {
    yield* intake.settled
    const stopped = yield* dispatcher.settled
    // a delivery that found its file changed gave it back
    const sources = yield* intake.status
    if (sources.every((source) => source.settling === 0)) return stopped
  }
})

type Outcome = "DELIVERED" | "DEAD" | "AMBIGUOUS"

const isOutcome = (state: string): state is Outcome =>
  state === "DELIVERED" || state === "DEAD" || state === "AMBIGUOUS"

/** A line of data, where a program reads it; on a terminal the failures are enough. */
const tell = (state: Outcome, file: string, destination: string, reason: string | null): Effect.Effect<void> =>
  Output.onTerminal("stderr") && Output.onTerminal("stdout") && state === "DELIVERED"
    ? Effect.void
    : Output.line(`${state} ${file} -> ${destination}${reason === null ? "" : `: ${reason}`}`)

/** The status line, four times a second. */
const progress = (bytes: () => number) =>
  Effect.gen(function* () {
    if (!Output.onTerminal("stderr")) return yield* Effect.never
    const dispatcher = yield* Dispatcher
    const deliveries = yield* Deliveries
    const started = Date.now()
    const show = Effect.gen(function* () {
      const lanes = yield* dispatcher.status
      const counts = yield* deliveries.counts
      const open = counts.reduce((sum, count) => (openStates.includes(count.state) ? sum + count.count : sum), 0)
      const done = lanes.reduce((sum, lane) => sum + lane.delivered + lane.failed, 0)
      const sending = lanes.flatMap((lane) => lane.sending)
      const sent = bytes() + sending.reduce((sum, one) => sum + one.bytes, 0)
      const rate = (sent * 1000) / Math.max(1, Date.now() - started)
      const current = sending[0] === undefined ? "" : `  ${sending[0].file}`
      yield* Output.status(`${done}/${done + open} deliveries  ${formatSize(sent)}  ${formatSize(rate)}/s${current}`)
    })
    return yield* show.pipe(Effect.zipRight(Effect.sleep("250 millis")), Effect.forever)
  })

/** The log's entries since then, newest first. */
const entriesSince = Effect.fnUntraced(function* <E, R>(
  since: number,
  each: (entry: LogEntry) => Effect.Effect<void, E, R>
) {
  const log = yield* LogRepo
  const start = new Date(since).toISOString()
  let cursor: string | undefined
  while (true) {
    const page = yield* log.query({
      filter: { created__gte: start.slice(0, 10) },
      order: "-created",
      limit: 1000,
      cursor
    })
    if (page._tag === "None") return
    for (const entry of page.value.entries) {
      if (entry.created < start) return
      yield* each(entry)
    }
    if (page.value.next === null) return
    cursor = page.value.next
  }
})

const summary = Effect.fnUntraced(function* (
  outcome: { readonly delivered: number; readonly failed: number; readonly bytes: number },
  stopped: ReadonlyArray<LaneStatus>,
  sources: ReadonlyArray<SourceStatus>
) {
  const counts = yield* (yield* Deliveries).counts
  const waiting = counts.reduce((sum, count) => (openStates.includes(count.state) ? sum + count.count : sum), 0)
  const unmatched = sources.reduce((sum, source) => sum + source.unmatched, 0)
  for (const lane of stopped) {
    if (lane.health === "down") yield* Output.note(`${lane.lane} is down: ${lane.reason ?? "it gave no reason"}`)
    if (lane.paused !== null)
      yield* Output.note(`${lane.lane} is paused${since(lane.paused)}: nothing was sent there. ${resume}`)
  }
  const paused = sources.filter((source) => source.paused !== null)
  for (const source of paused) {
    yield* Output.note(
      `The source ${source.path} is paused${since(source.paused)}: nothing was taken from it. ${resume}`
    )
  }
  const missing = sources.filter((source) => source.health === "missing" && source.paused === null)
  for (const source of missing) {
    yield* Output.note(`The source ${source.path} could not be read: ${source.reason ?? "it is not there"}`)
  }
  const parts = [`${outcome.delivered} delivered (${formatSize(outcome.bytes)})`]
  if (outcome.failed > 0) parts.push(`${outcome.failed} failed`)
  if (waiting > 0) parts.push(`${waiting} waiting`)
  if (unmatched > 0) parts.push(`${unmatched} matched no folder`)
  const held = sources.reduce((sum, source) => sum + source.waiting, 0)
  if (held > 0) parts.push(`${held} not taken yet: they wait for a marker, for their age, or to be readable`)
  yield* Output.note(parts.join(", "))
  const unable = stopped.some(({ health }) => health === "down") || missing.length > 0 || paused.length > 0
  return outcome.failed > 0 || unable || waiting > 0 ? 1 : 0
})

const since = (time: number | null): string => (time === null ? "" : ` since ${new Date(time).toISOString()}`)

const resume = "Resume it on the page, or by the API, of a program that runs with this config"
