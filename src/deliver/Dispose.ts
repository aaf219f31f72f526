/**
 * What happens to a source file when nothing more is to be sent of it: all its targets have proved that they have it, or
 * one of them never will.
 *
 * The intent is in the journal before anything is touched, and is taken out when it is carried out, so that a process
 * that is killed anywhere between does it once more. That finds what was done before: the names that a file has on its
 * way are made from the generation, and so are those of its templates, whose now is the time of the intent.
 */
import { Clock, Effect, Schedule, type Scope } from "effect"
import { noFacts, type Facts } from "../domain/Facts.ts"
import type { Found, Generation, GenerationId } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { asidePath } from "../files/dispose.ts"
import { FileFacts } from "../files/FileFacts.ts"
import { Files, type DisposeJob, type DisposeResult } from "../files/Files.ts"
import * as Template from "../route/Template.ts"
import { Journal, type Disposal, type JournalError } from "../store/Journal.ts"
import * as Retention from "./Retention.ts"

export interface Dispose {
  /** These sources were moved to their only target, and have no marker: they are where they belong already. */
  readonly moved: (ids: ReadonlyArray<GenerationId>) => Effect.Effect<void>
  /** There are committed intents. */
  readonly wake: Effect.Effect<void>
  readonly idle: Effect.Effect<boolean>
  /** Carries out what the journal says is to be disposed of, for ever; and removes what was archived long enough ago. */
  readonly run: Effect.Effect<never>
}

export const make = (options: {
  readonly sync: boolean
  /** The name of the source with that directory, for templates. */
  readonly sourceName: (directory: string) => Effect.Effect<string>
}): Effect.Effect<Dispose, never, FileFacts | Files | Journal | Scope.Scope> =>
  Effect.gen(function* () {
    const files = yield* Files
    const journal = yield* Journal
    const bytes = yield* FileFacts
    const bell = yield* Effect.makeLatch(true)
    let working = true
    /** How often it was asked for. */
    let wakes = 0
    /** Open while something is put off. */
    const waits = yield* Effect.makeLatch(false)
    /** Sources of which something was, and nothing could be done since. */
    const stuck = new Set<string>()
    let pause = shortestPause

    const jobOf = ({ marker, path, source, stamp }: Generation): DisposeJob => ({
      root: source,
      path,
      stamp,
      marker,
      sync: options.sync
    })

    /** What a template asks for and nobody has learnt is read now, from wherever a process that was killed left it. */
    const factsFor = ({ facts, generation }: Disposal, needs: Template.Needs) =>
      Effect.gen(function* () {
        const known = facts ?? noFacts
        const lacks = { mime: needs.mime && known.mime === null, sha256: needs.sha256 && known.sha256 === null }
        if (!(lacks.mime || lacks.sha256)) return known
        const { path, source, stamp } = generation
        const found = yield* files.look(source, [asidePath(path, source, stamp), path])
        const at: Found | undefined = found.find((one) => one !== null) ?? undefined
        if (at === undefined) return known
        const read = bytes.of(source, at)
        const learnt = Effect.gen(function* () {
          return {
            ...known,
            mime: lacks.mime ? yield* read.mime : known.mime,
            sha256: lacks.sha256 ? yield* read.sha256 : known.sha256
          } satisfies Facts
        })
        // one that is on its way must not be left there
        return yield* at.path === path ? learnt : Effect.orElseSucceed(learnt, () => known)
      })

    /** Where the templates of the source's config send it; and the directory that it can't leave. */
    const placeOf = (disposal: Disposal, text: string) =>
      Effect.gen(function* () {
        const { generation, origin, since } = disposal
        const template = yield* Template.compile(text)
        const path = template.render({
          path: origin.path,
          source: yield* options.sourceName(origin.source),
          time: since,
          size: generation.size,
          mtime: generation.mtime,
          facts: yield* factsFor(disposal, template.needs)
        })
        return { path, root: template.root }
      })

    const left = ({ path }: Generation, why: string): DisposeResult => ({
      note: `The source file ${RelPath.display(path)} was left where it is: ${why}`,
      moved: null,
      warning: null
    })

    /** Answers where it was moved to, if it was. */
    const act = (disposal: Disposal) =>
      Effect.gen(function* () {
        const { because, generation } = disposal
        const { after, onDead } = generation
        if (because === "done" && after._tag === "Delete")
          return { ...(yield* files.remove(jobOf(generation))), root: "" }
        const text =
          because === "done"
            ? after._tag === "Archive"
              ? after.template
              : null
            : onDead?._tag === "Move"
              ? onDead.template
              : null
        if (text === null) return { note: null, moved: null, warning: null, later: false, root: "" }
        const to = yield* placeOf(disposal, text)
        return { ...(yield* files.archive(jobOf(generation), to.path)), root: to.root }
      }).pipe(Effect.catchAll((error) => Effect.succeed({ ...left(disposal.generation, error.message), root: "" })))

    /** Says it once for each source, and not for each file, until something could be done there again. */
    const putOff = (source: string, note: string) =>
      Effect.suspend(() => {
        waits.unsafeOpen()
        if (stuck.has(source)) return Effect.void
        stuck.add(source)
        return Effect.logWarning(`${note}. This, and others like it, are tried again by themselves`)
      })

    const progress = (source: string): void => {
      stuck.delete(source)
      pause = shortestPause
    }

    /** What was put off is looked at again, after longer and longer while nothing can be done. */
    const again = waits.await.pipe(
      Effect.zipRight(Effect.suspend(() => Effect.sleep(pause))),
      Effect.zipRight(
        Effect.suspend(() => {
          pause = Math.min(pause * 2, longestPause)
          waits.unsafeClose()
          return Effect.matchEffect(journal.retryDisposals, {
            onFailure: () => waits.open,
            onSuccess: () => bell.open
          })
        })
      )
    )

    /** Answers what is still to be recorded; null: nothing. */
    const dispose = (disposal: Disposal) =>
      Effect.gen(function* () {
        const { because, generation } = disposal
        const { after, id } = generation
        const { later, moved, note, root, warning } = yield* act(disposal)
        if (later === true && note !== null) {
          yield* putOff(generation.source, note)
          return { id, note, later }
        }
        progress(generation.source)
        for (const line of [note, warning]) if (line !== null) yield* Effect.logWarning(line)
        if (because === "dead") {
          if (note !== null) return { id, note }
          if (moved === null) return { id, note: `The source file ${RelPath.display(generation.path)} was gone` }
          const directory = moved.path.slice(0, moved.path.lastIndexOf("/")) || "/"
          yield* journal.moved(id, {
            source: directory,
            path: RelPath.basename(moved.path),
            stamp: moved.stamp,
            marker: moved.marker === null ? null : RelPath.basename(moved.marker.path)
          })
          yield* Effect.logInfo(
            `${RelPath.display(generation.path)} could not be delivered everywhere, and was moved to ${RelPath.display(moved.path)}`
          )
          return null
        }
        if (note !== null || moved === null || after._tag !== "Archive") return { id, note }
        if (after.keepFor !== undefined) {
          const until = (yield* Clock.currentTimeMillis) + after.keepFor
          yield* journal.archived(id, moved.path, Retention.identityOf(moved, root), until)
        }
        return { id, note, archived: moved }
      })

    const step = Effect.gen(function* () {
      yield* bell.await
      yield* bell.close
      working = true
      const asked = wakes
      for (;;) {
        const disposals = yield* journal.disposals(batchSize)
        if (disposals.length === 0) break
        const results = yield* Effect.forEach(disposals, dispose, { concurrency: 8 })
        yield* journal.disposed(results.filter((one) => one !== null))
      }
      working = wakes !== asked
    }).pipe(
      Effect.tapError((error: JournalError) =>
        Effect.logError(`Sources wait to be removed, archived or moved: ${error.reason}`)
      ),
      Effect.retry(Schedule.spaced("5 seconds").pipe(Schedule.tapInput(() => bell.open))),
      Effect.orDie
    )

    return {
      moved: (ids) =>
        ids.length === 0
          ? Effect.void
          : Effect.catchAll(journal.disposed(ids.map((id) => ({ id, note: null }))), () => bell.open),
      wake: Effect.zipRight(
        Effect.sync(() => {
          working = true
          wakes += 1
        }),
        bell.open
      ),
      idle: Effect.sync(() => !working),
      // what a cancelled delivery was the last to hold up, nobody tells of
      run: Effect.zipRight(
        // what an earlier run has put off
        Effect.ignoreLogged(journal.retryDisposals),
        Effect.all(
          [
            Effect.forever(step),
            Effect.forever(Effect.delay(bell.open, "5 minutes")),
            Effect.forever(again),
            Retention.run(files, journal, options.sync)
          ],
          {
            concurrency: "unbounded"
          }
        )
      ).pipe(Effect.zipRight(Effect.never))
    }
  })

const batchSize = 128

/** Between two looks at what was put off, in milliseconds. */
const shortestPause = 5000
const longestPause = 300_000
