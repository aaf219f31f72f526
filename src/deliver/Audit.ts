/**
 * Goes back to the targets with receipts, and says of each what it is worth. Lanes are asked at once, each by as many as
 * the config lets deliver there; one that is dead is given up after some tries and holds up no other. Nothing is written
 * anywhere.
 */
import { Array as Arr, Cause, Effect, Option, Schedule, Scope, Stream } from "effect"
import { TransientError, type DeliveryError } from "../domain/DeliveryError.ts"
import type { Settings } from "../domain/Settings.ts"
import { schemeOf, type Verify } from "../domain/Target.ts"
import { FileFacts } from "../files/FileFacts.ts"
import type { Delivered } from "../store/Receipts.ts"
import * as Access from "./Access.ts"
import { concurrencyOf } from "./asConfigured.ts"
import { Destinations, type Connection, type Examination, type ExamineTask } from "./Destination.ts"
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

      const judge = ({ receipt }: Delivered, answer: Examination): Examine.Verdict => {
        answered = true
        failures = 0
        return Examine.judge(receipt, answer)
      }

      const ask = (delivered: Delivered): Effect.Effect<Examine.Verdict, DeliveryError> =>
        Effect.gen(function* () {
          const examine = connection?.examine
          if (examine === undefined) return unaskable(lane)
          const { delivery, secrets } = yield* Access.of(settings, delivered, bytes)
          const { target } = delivery
          const answer = yield* watched(target.options.timeout, target.url, (progress) =>
            examine({ target, secrets, receipt: delivered.receipt, verify, progress })
          )
          return judge(delivered, answer)
        })

      /** Undefined: that one is to be asked about by itself, which also says why it can't be asked. */
      const askAll = (all: ReadonlyArray<Delivered>): Effect.Effect<ReadonlyArray<Examine.Verdict | undefined>> =>
        Effect.gen(function* () {
          const several = connection?.examineAll
          if (several === undefined || all.length < 2 || down !== undefined) return []
          const tasks = yield* Effect.forEach(all, (delivered) =>
            Effect.map(Access.of(settings, delivered, bytes), ({ delivery: { target }, secrets }): ExamineTask => {
              return { target, secrets, receipt: delivered.receipt, verify, progress: () => undefined }
            })
          )
          const timeout = Math.max(...tasks.map(({ target }) => target.options.timeout))
          const answers = yield* watched(timeout, lane, () => several.examine(tasks))
          return all.map((delivered, index) => {
            const answer = answers[index]
            return answer === undefined ? undefined : judge(delivered, answer)
          })
        }).pipe(
          Effect.orElseSucceed(() => []),
          Effect.catchAllCause((cause) => bug(cause, lane, []))
        )

      const verdictOf = (delivered: Delivered): Effect.Effect<Examine.Verdict> =>
        Effect.suspend(() => (down === undefined ? ask(delivered) : Effect.succeed(unknown(down)))).pipe(
          Effect.retry({ while: mayHelp, schedule: once }),
          Effect.catchAll((error) => Effect.sync(() => failed(error))),
          Effect.catchAllCause((cause) =>
            bug(
              cause,
              delivered.target.url,
              unknown("The question itself failed, which is a bug in filedispatch. Please report it.")
            )
          )
        )

      yield* Stream.runForEach(pages, (page) =>
        Effect.forEach(
          batches(page, connection?.examineAll),
          (all) =>
            Effect.flatMap(askAll(all), (verdicts) =>
              Effect.forEach(
                all,
                (delivered, index) => {
                  const verdict = verdicts[index]
                  return Effect.flatMap(
                    verdict === undefined ? verdictOf(delivered) : Effect.succeed(verdict),
                    (verdict) => found(delivered, verdict)
                  )
                },
                { discard: true }
              )
            ),
          { concurrency, discard: true }
        )
      )
    })
  )

/** What is said instead, where a question has failed as none should. */
const bug = <A>(cause: Cause.Cause<never>, asked: string, answer: A): Effect.Effect<A> =>
  Cause.isInterruptedOnly(cause)
    ? Effect.interrupt
    : Effect.as(Effect.logError(`This is a bug in filedispatch: ${asked} could not be asked`, cause), answer)

/** Those that are asked about together; each of the others is one by itself. */
const batches = (
  page: ReadonlyArray<Delivered>,
  several: Connection["examineAll"]
): ReadonlyArray<ReadonlyArray<Delivered>> => {
  if (several === undefined) return page.map(Arr.of)
  const [slow, quick] = Arr.partition(page, ({ receipt }) => several.accepts(receipt))
  return [...Arr.chunksOf(quick, several.size), ...slow.map(Arr.of)]
}

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
