/**
 * Archived files whose time is over: removed soon after the start, and once an hour.
 *
 * Only a file that still is the one that was archived is removed. What can't be removed now is tried again an hour later.
 */
import { Clock, Duration, Effect, Either, Schema, type Context } from "effect"
import * as RelPath from "../domain/RelPath.ts"
import { identityOf as fileIdentity } from "../files/disposeExpired.ts"
import type { Files, Moved } from "../files/Files.ts"
import type { Archived, Journal, JournalError } from "../store/Journal.ts"
import type { GenerationId } from "../domain/Generation.ts"
import * as Leap from "./Leap.ts"

const startDelay = Duration.seconds(10)
const interval = Duration.hours(1)

/** What is kept with the archived file's path: by what it and its marker are known again, and the root of the template. */
const Identity = Schema.parseJson(
  Schema.Struct({
    root: Schema.String,
    file: Schema.String,
    marker: Schema.NullOr(Schema.Struct({ path: Schema.String, file: Schema.String }))
  })
)

/** By what an archived file is known again; `root`: the directory that stays when it goes. */
export const identityOf = ({ marker, stamp }: Moved, root: string): string =>
  encode({
    root,
    file: fileIdentity(stamp),
    marker: marker === null ? null : { path: marker.path, file: fileIdentity(marker.stamp) }
  })

const encode = Schema.encodeSync(Identity)
const decode = Schema.decodeUnknownEither(Identity)

type FilesService = Context.Tag.Service<typeof Files>
type JournalService = Context.Tag.Service<typeof Journal>

export const run = (files: FilesService, journal: JournalService, sync: boolean): Effect.Effect<never> =>
  Effect.flatMap(Leap.make("archived files are not removed"), (leap) => {
    const trusted = Effect.flatMap(leap.recently, (yes) => (yes ? Effect.void : sweep(files, journal, sync)))
    return Effect.forever(Effect.zipRight(trusted, Effect.sleep(interval))).pipe(Effect.delay(startDelay))
  })

/** All whose time is over now. */
export const sweep = (files: FilesService, journal: JournalService, sync: boolean): Effect.Effect<void> =>
  Effect.gen(function* () {
    let removed = 0
    for (;;) {
      const now = yield* Clock.currentTimeMillis
      const all = yield* journal.expired(now, batchSize)
      const outcomes = yield* Effect.forEach(
        all,
        (one) => Effect.map(expire(files, one, sync), (outcome) => ({ one, outcome })),
        {
          concurrency: 4
        }
      )
      const over = outcomes.filter(({ outcome }) => outcome !== "later")
      yield* journal.expunged(over.map(({ one }) => one.id))
      // put off, so that what can't be removed is not in the way of what can
      for (const { one, outcome } of outcomes) {
        if (outcome === "later")
          yield* journal.archived(one.id, one.path, one.identity, now + Duration.toMillis(interval))
      }
      removed += outcomes.filter(({ outcome }) => outcome === "removed").length
      if (all.length < batchSize) break
    }
    if (removed > 0) yield* Effect.logInfo(`Removed ${removed} archived files whose time was over`)
  }).pipe(
    Effect.catchAll((error: JournalError) =>
      Effect.logError(`Archived files whose time is over wait to be removed: ${error.reason}`)
    )
  )

const expire = (
  files: FilesService,
  { identity, path }: Archived & { readonly id: GenerationId },
  sync: boolean
): Effect.Effect<"removed" | "kept" | "later"> =>
  Effect.gen(function* () {
    const known = decode(identity)
    if (Either.isLeft(known)) return "kept" as const
    const { file, marker, root } = known.right
    const outcome = yield* files.expire({ path, identity: file, root }, sync)
    const shown = RelPath.display(path)
    if (outcome === "unreachable") {
      yield* Effect.logWarning(
        `The archived file ${shown} should be removed by now, but ${RelPath.display(root)} is not there`
      )
      return "later" as const
    }
    if (outcome === "other") {
      yield* Effect.logWarning(
        `The archived file ${shown} is not removed: another file, or a changed one, is there by now`
      )
    }
    if (marker !== null) yield* files.expire({ path: marker.path, identity: marker.file, root }, sync)
    return outcome === "removed" ? ("removed" as const) : ("kept" as const)
  }).pipe(
    Effect.catchAll((error) =>
      Effect.as(
        Effect.logWarning(`The archived file ${RelPath.display(path)} could not be removed: ${error.reason}`),
        "later" as const
      )
    )
  )

const batchSize = 128
