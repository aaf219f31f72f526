/**
 * `--dry-run`: what would be done with the files that are there now. Touches nothing: no database, no lock, no directory.
 * Numbers of templates begin at 1, as the journal is not asked for the last ones.
 */
import { Effect, Either, Stream } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { formatDuration } from "../config/Quantity.ts"
import type { Found } from "../domain/Generation.ts"
import { display, toBytes } from "../domain/RelPath.ts"
import type { Settings, Source } from "../domain/Settings.ts"
import { shown } from "../domain/Target.ts"
import { FileFacts } from "../files/FileFacts.ts"
import * as FileFactsLive from "../files/FileFactsLive.ts"
import { scan } from "../files/FilesDirect.ts"
import * as Marker from "../route/Marker.ts"
import * as Matcher from "../route/Matcher.ts"
import * as Router from "../route/Router.ts"
import * as Output from "./Output.ts"

export const dryRun = Effect.fn("DryRun.dryRun")(function* (settings: Settings) {
  const facts = yield* FileFacts
  const router = Router.compile(settings, { counter: counterFromOne() })
  const totals = { files: 0, deliveries: 0, unmatched: 0, unread: 0, waiting: 0 }
  for (const source of settings.sources) {
    const matcher = Matcher.compile(source)
    const marker = Marker.compile(source)
    yield* scan({ root: source.path, recursive: source.recursive, symlinks: source.symlinks }).pipe(
      Stream.runForEach(({ failed, found }) =>
        Effect.gen(function* () {
          for (const error of failed) yield* Output.note(`warning: ${error.message}`)
          const now = Date.now()
          for (const one of found) {
            if (!matcher.accepts(one.path) || marker?.is(one.path) === true) continue
            totals.files += 1
            const file = join(source.path, display(one.path))
            const waits = waitsFor(source, marker, one, now)
            if (waits !== null) {
              totals.waiting += 1
              yield* Output.line(`${file}: waits ${waits}`)
              continue
            }
            const answer = router.route(source, one, now)
            const decision =
              answer === "read"
                ? yield* Effect.either(router.read(source, one, now, facts.of(source.path, one)))
                : Either.right(answer)
            if (Either.isLeft(decision)) {
              totals.unread += 1
              yield* Output.note(`warning: ${file} can't be judged: ${decision.left.reason}`)
              continue
            }
            const { placed } = decision.right
            totals.deliveries += placed.length
            if (placed.length === 0) {
              totals.unmatched += 1
              yield* Output.line(`${file}: no folder matches`)
            }
            for (const { name, target } of placed) {
              yield* Output.line(`${file} -> ${shown(target, display(name))}`)
            }
          }
        })
      ),
      Effect.catchTag("FilesError", (error) => Output.note(`warning: ${error.message}`))
    )
  }
  const others = [
    ...(totals.waiting === 0 ? [] : [` ${totals.waiting} would wait.`]),
    ...(totals.unread === 0 ? [] : [` ${totals.unread} could not be judged.`])
  ]
  yield* Output.note(
    `${totals.files} files, ${totals.deliveries} deliveries, ${totals.unmatched} files match no folder.${others.join("")} Nothing was done.`
  )
  return 0
}, Effect.provide(FileFactsLive.layer))

const counterFromOne = () => {
  const last = new Map<string, number>()
  return (route: string): number => {
    const next = (last.get(route) ?? 0) + 1
    last.set(route, next)
    return next
  }
}

/** What a file would wait for before it is taken; null: nothing. */
const waitsFor = (source: Source, marker: Marker.Marker | null, file: Found, now: number): string | null => {
  if (now - file.mtime < source.minAge) return `until it is ${formatDuration(source.minAge)} old`
  if (marker === null) return null
  const path = marker.of(file.path)
  return existsSync(Buffer.from(toBytes(join(source.path, path)))) ? null : `for ${display(path)}`
}
