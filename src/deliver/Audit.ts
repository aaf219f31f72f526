/**
 * Goes back to the targets with receipts, and says of each what it is worth. Lanes are asked at once, each by as many as
 * the config lets deliver there; one that is dead is given up after some tries and holds up no other. Nothing is written
 * anywhere.
 */
import { Cause, Effect, Option, Schedule, Scope, Stream } from "effect"
import { TransientError, type DeliveryError } from "../domain/DeliveryError.ts"
import type { Settings } from "../domain/Settings.ts"
import { schemeOf, type Verify } from "../domain/Target.ts"
import { FileFacts } from "../files/FileFacts.ts"
import type { Delivered } from "../store/Receipts.ts"
import * as Access from "./Access.ts"
import { concurrencyOf } from "./asConfigured.ts"
import { Destinations, type Connection, type ExamineTask } from "./Destination.ts"
import * as Examine from "./Examine.ts"

/** The receipts of one lane, in pages that are held in memory one at a time. */
export interface Lane<E> {
  readonly lane: string
  readonly pages: Stream.Stream<ReadonlyArray<Delivered>, E>
}

export interface Options<E> {
  readonly settings: Settings
  readonly lanes: ReadonlyArray<Lane<E>>
  readonly verify: Verify
  /** Called for each receipt, in no order. */
  readonly found: (delivered: Delivered, verdict: Examine.Verdict) => Effect.Effect<void, E>
}

/** Lanes that are asked at once. */
const lanesAtOnce = 16
/** How much later than the destination's own timers a question is given up that makes no progress, in milliseconds. */
const grace = 5_000
/** What is not answered is asked once more after so long, in milliseconds, where that may help. */
const again = 1_000
/** So many failures in a row, and nothing more is asked there: before it has ever answered, and after that. */
const patience = { silent: 3, answered: 20 }
/** How long a farewell may take, in milliseconds. */
const closing = 5_000

export const run = <E>(options: Options<E>): Effect.Effect<void, E, Destinations | FileFacts> =>
  Effect.forEach(options.lanes, (lane) => examineLane(options, lane), { concurrency: lanesAtOnce, discard: true })

const examineLane = <E>(
  { found, settings, verify }: Options<E>,
  { lane, pages }: Lane<E>
): Effect.Effect<void, E, Destinations | FileFacts> =>
  Effect.scoped(
    Effect.gen(function* () {
      const bytes = yield* FileFacts
      const concurrency = concurrencyOf(settings, lane)
      const connection = yield* connect(lane, concurrency)
      let failures = 0
      let answered = false
      let down: string | undefined

      const failed = (error: DeliveryError): Examine.Verdict => {
        if (error._tag === "PermanentError") return unknown(error.reason)
        failures += 1
        if (failures >= (answered ? patience.answered : patience.silent)) down = error.reason
        return unknown(error.reason)
      }

      const ask = (delivered: Delivered): Effect.Effect<Examine.Verdict, DeliveryError> =>
        Effect.gen(function* () {
          const examine = connection?.examine
          if (examine === undefined) return unaskable(lane)
          const { delivery, secrets } = yield* Access.of(settings, delivered, bytes)
          const { receipt } = delivered
          const answer = yield* watched(delivery.target.options.timeout, delivery.target.url, (progress) =>
            examine({ target: delivery.target, secrets, receipt, verify, progress })
          )
          answered = true
          failures = 0
          return Examine.judge(receipt, answer)
        })

      const verdictOf = (delivered: Delivered): Effect.Effect<Examine.Verdict> =>
        Effect.suspend(() => (down === undefined ? ask(delivered) : Effect.succeed(unknown(down)))).pipe(
          Effect.retry({ while: mayHelp, schedule: once }),
          Effect.catchAll((error) => Effect.sync(() => failed(error))),
          Effect.catchAllCause((cause) =>
            Cause.isInterruptedOnly(cause)
              ? Effect.interrupt
              : Effect.as(
                  Effect.logError(`This is a bug in filedispatch: ${delivered.target.url} could not be asked`, cause),
                  unknown("The question itself failed, which is a bug in filedispatch. Please report it.")
                )
          )
        )

      yield* Stream.runForEach(pages, (page) =>
        Effect.forEach(
          page,
          (delivered) => Effect.flatMap(verdictOf(delivered), (verdict) => found(delivered, verdict)),
          { concurrency, discard: true }
        )
      )
    })
  )

/** What a lane's receipts are asked over; a server may hang at the farewell, too. */
const connect = (
  lane: string,
  concurrency: number
): Effect.Effect<Connection | undefined, never, Destinations | Scope.Scope> =>
  Effect.gen(function* () {
    const destinations = yield* Destinations
    const destination = Option.getOrUndefined(yield* destinations.get(schemeOf(lane)))
    if (destination === undefined) return undefined
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) =>
      Effect.ignore(Effect.timeout(Effect.interruptible(Effect.disconnect(Scope.close(scope, exit))), closing))
    )
    return yield* Scope.extend(destination.open(lane, { concurrency, sync: false }), scope)
  })

/** Ends what has made no progress for so long. */
const watched = <A>(
  timeout: number,
  url: string,
  ask: (progress: ExamineTask["progress"]) => Effect.Effect<A, DeliveryError>
): Effect.Effect<A, DeliveryError> =>
  Effect.suspend(() => {
    let bytes = 0
    let seen = -1
    const silence = Effect.suspend(() => {
      if (bytes === seen) {
        const reason = `${url} gave no answer within ${timeout / 1000} s. Check that it works.`
        return Effect.fail(new TransientError({ reason, cause: Option.none() }))
      }
      seen = bytes
      return Effect.void
    }).pipe(Effect.zipRight(Effect.sleep(timeout + grace)), Effect.forever)
    return Effect.raceFirst(
      Effect.disconnect(
        ask((more) => {
          bytes += more
        })
      ),
      silence
    )
  })

/** Asked once more. */
const once = Schedule.intersect(Schedule.spaced(again), Schedule.recurs(1))

const mayHelp = ({ _tag }: DeliveryError): boolean => _tag === "TransientError" || _tag === "CrowdedError"

const unknown = (reason: string): Examine.Verdict => ({ status: "unknown", reason })

const unaskable = (lane: string): Examine.Verdict => ({
  status: "unverifiable",
  reason: `Nothing here can look at what a target of ${schemeOf(lane)} has.`
})
