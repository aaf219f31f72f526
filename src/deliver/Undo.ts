/**
 * Puts files back in their sources that were moved, archived or deleted once they had been delivered.
 *
 * The intent is in the journal before a file is touched: from then on whoever finds the file in its source knows that it
 * is none to be sent. A process that is killed anywhere leaves the intent, and the next one carries it out. What is back
 * is left alone there until it changes, or is sent on purpose.
 */
import { Clock, Context, Effect, Either, Layer, Option, Schema } from "effect"
import { DeliveryId } from "../domain/Delivery.ts"
import { Stamp, type GenerationId } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { Files, type FilesError, type UndoJob } from "../files/Files.ts"
import { below } from "../files/names.ts"
import type { JournalError } from "../store/Journal.ts"
import { LogRepo, type LogError } from "../store/LogRepo.ts"
import { UndoRepo, type Fate } from "../store/UndoRepo.ts"
import { plansOf, type MarkerOf, type Plan } from "./UndoPlan.ts"

/** A delivery by its number, or a log entry by its UUID. */
export type Asked = DeliveryId | string

export interface Outcome {
  /** As it was asked for. */
  readonly id: Asked
  /** `unknown`: there is no such thing. */
  readonly outcome: "undone" | "refused" | "unknown"
  /** The delivery that was asked for; null where there is none. */
  readonly delivery: DeliveryId | null
  /** All deliveries of the file. */
  readonly deliveries: ReadonlyArray<DeliveryId>
  /** The file, where it is again, or would be; readable, absolute. Null where nothing is known of it. */
  readonly file: string | null
  /** Where it was. */
  readonly from: string | null
  /** Why it was refused, as the end of a sentence. */
  readonly reason: string | null
  /** What else is to be known, such as what stays where it was delivered: sentences without their points. */
  readonly notes: ReadonlyArray<string>
}

export interface Options {
  /** Nothing is changed: it is said what would be. */
  readonly dryRun: boolean
}

export class Undo extends Context.Tag("filedispatch/deliver/Undo")<
  Undo,
  {
    /** One outcome for each, in their order. */
    readonly undo: (
      ids: ReadonlyArray<Asked>,
      options: Options
    ) => Effect.Effect<ReadonlyArray<Outcome>, JournalError | LogError>
    /** The files that were taken away from their sources last, newest first. */
    readonly last: (count: number, options: Options) => Effect.Effect<ReadonlyArray<Outcome>, JournalError | LogError>
    /** Carries out what a process had begun that was killed. */
    readonly finish: Effect.Effect<void, JournalError>
  }
>() {}

export const layer = (options: {
  readonly sync: boolean
  readonly markerOf: Effect.Effect<MarkerOf>
}): Layer.Layer<Undo, never, Files | LogRepo | UndoRepo> =>
  Layer.effect(
    Undo,
    Effect.gen(function* () {
      const files = yield* Files
      const logs = yield* LogRepo
      const repo = yield* UndoRepo
      // nobody is to take up as left over what another one is about to do
      const turn = yield* Effect.makeSemaphore(1)
      const { sync } = options

      /** Carries out an intent that is committed. */
      const carryOut = (id: GenerationId, intent: Intent, resumed: boolean) =>
        Effect.gen(function* () {
          const { from, job, others } = intent
          const result = yield* files
            .undo({ ...job, sync, resumed })
            .pipe(Effect.catchAll(({ reason }: FilesError) => Effect.succeed({ _tag: "Stuck" as const, reason })))
          switch (result._tag) {
            case "Refused":
              yield* repo.rollBack(id)
              return Either.left(result.reason)
            case "Stuck":
              yield* Effect.logError(
                `${shownFile(job)} could not be put back, and is to be tried again: ${result.reason}`
              )
              return Either.left(`${result.reason}. It is tried again by itself`)
            case "Restored": {
              const stays = new Set(result.left.map(({ place }) => others[place]))
              const taken = [...(from === null ? [] : [from]), ...others.filter((one) => !stays.has(one))]
              const reason = `undone: ${shownFile(job)} was put back from ${RelPath.display(job.from.path)}`
              yield* repo.end(id, {
                stamp: result.stamp,
                marker: result.warning === null ? (job.marker?.path ?? null) : null,
                taken,
                reason
              })
              yield* Effect.logInfo(`Undone: ${shownFile(job)} was put back from ${RelPath.display(job.from.path)}`)
              const notes = [
                ...result.left.map((one) => `${one.reason}, and was left as it is`),
                ...(result.warning === null ? [] : [result.warning]),
                ...(result.stamp === null ? [`${shownFile(job)} has changed since it was put back`] : [])
              ]
              for (const note of notes) yield* Effect.logWarning(note)
              return Either.right(notes)
            }
          }
        })

      /** The first of the plans that would do. */
      const choose = (plans: ReadonlyArray<Plan>) =>
        Effect.gen(function* () {
          const reasons: Array<string> = []
          for (const plan of plans) {
            const { reason, stamp } = yield* files
              .checkUndo({ ...plan.job, sync, resumed: false })
              .pipe(Effect.catchAll(({ reason }: FilesError) => Effect.succeed({ reason, stamp: null })))
            if (stamp !== null) return Either.right({ plan, stamp })
            if (!reasons.includes(reason)) reasons.push(reason)
          }
          return Either.left(reasons.join(", and "))
        })

      const undoFate = (fate: Fate, dryRun: boolean) =>
        Effect.gen(function* () {
          const { generation, origin } = fate
          const plans = plansOf(fate, yield* options.markerOf)
          if (Either.isLeft(plans)) return refused(plans.left)
          const chosen = yield* choose(plans.right)
          if (Either.isLeft(chosen)) return refused(`${chosen.left}${expiry(fate, yield* Clock.currentTimeMillis)}`)
          const { plan, stamp } = chosen.right
          const { from, job, others, stays } = plan
          const done = (notes: ReadonlyArray<string>) => ({
            outcome: "undone" as const,
            from: RelPath.display(job.from.path),
            reason: null,
            notes: [...notes, ...stays]
          })
          if (dryRun) return done([])
          const intent: Intent = { job, from, others }
          const begun = yield* repo.begin(generation.id, { ...origin, stamp }, encodeIntent(intent))
          if (!begun) return refused("something has just become of it: try again in a moment")
          const carried = yield* carryOut(generation.id, intent, false)
          return Either.isLeft(carried) ? refused(carried.left) : done(carried.right)
        })

      const deliveryOf = (id: Asked): Effect.Effect<Either.Either<DeliveryId, string>, LogError> =>
        typeof id === "number"
          ? Effect.succeed(Either.right(id))
          : Effect.map(
              logs.get(id.toLowerCase()),
              Option.match({
                onNone: () => Either.left("there is no such log entry"),
                onSome: ({ delivery }) =>
                  delivery === null
                    ? Either.left("somebody else has stored that log entry: nothing was delivered here")
                    : Either.right(DeliveryId.make(delivery))
              })
            )

      const one = (id: Asked, dryRun: boolean, seen: Map<GenerationId, Outcome>) =>
        Effect.gen(function* () {
          const nothing = {
            id,
            outcome: "unknown",
            delivery: null,
            deliveries: [],
            file: null,
            from: null,
            notes: []
          } as const
          const delivery = yield* deliveryOf(id)
          if (Either.isLeft(delivery)) return { ...nothing, reason: delivery.left }
          const fate = Option.getOrUndefined(yield* repo.find(delivery.right))
          if (fate === undefined) {
            return { ...nothing, reason: "the journal knows no such delivery, or has forgotten it (`log.retain`)" }
          }
          const before = seen.get(fate.generation.id)
          if (before !== undefined) return { ...before, id, delivery: delivery.right }
          const outcome: Outcome = {
            id,
            delivery: delivery.right,
            deliveries: fate.deliveries.map((one) => one.id),
            file: RelPath.display(below(fate.origin.source, fate.origin.path)),
            ...(yield* undoFate(fate, dryRun))
          }
          seen.set(fate.generation.id, outcome)
          return outcome
        })

      const all = (ids: ReadonlyArray<Asked>, { dryRun }: Options) =>
        Effect.suspend(() => {
          const seen = new Map<GenerationId, Outcome>()
          return Effect.forEach(ids, (id) =>
            // what is begun is ended, whoever has asked for it and is gone
            Effect.uninterruptible(turn.withPermits(1)(one(id, dryRun, seen)))
          )
        })

      const finish = Effect.gen(function* () {
        for (const { id, intent } of yield* repo.begun) {
          const known = decodeIntent(intent)
          if (Either.isRight(known)) yield* carryOut(id, known.right, true)
          else yield* Effect.logError(`Generation ${id} was to be put back, in a way that this version can't read`)
        }
      }).pipe(turn.withPermits(1))

      return Undo.of({
        undo: all,
        last: (count, options) => Effect.flatMap(repo.last(count), (ids) => all(ids, options)),
        finish
      })
    })
  )

const refused = (reason: string) => ({ outcome: "refused" as const, from: null, reason, notes: [] })

/** Why an archived file may well be gone. */
const expiry = ({ generation: { after }, since }: Fate, now: number): string =>
  after._tag === "Archive" && after.keepFor !== undefined && since + after.keepFor <= now
    ? ": its time in the archive is over (`keepFor`)"
    : ""

const shownFile = ({ path, root }: Pick<UndoJob, "path" | "root">): string => RelPath.display(below(root, path))

const nullable = Schema.NullOr(Schema.String)
const Place = Schema.Struct({ path: Schema.String, size: nullable, ino: nullable, mtime: nullable, sha256: nullable })

/** What is kept of a plan while it is carried out. */
const Intent = Schema.Struct({
  job: Schema.Struct({
    root: Schema.String,
    path: RelPath.RelPath,
    stamp: Stamp,
    from: Place,
    marker: Schema.NullOr(Schema.Struct({ from: Place, path: RelPath.RelPath })),
    others: Schema.Array(Place)
  }),
  from: Schema.NullOr(DeliveryId),
  others: Schema.Array(DeliveryId)
})
interface Intent extends Schema.Schema.Type<typeof Intent> {}

const encodeIntent = Schema.encodeSync(Schema.parseJson(Intent))
const decodeIntent = Schema.decodeUnknownEither(Schema.parseJson(Intent))
