/**
 * `--dry-run`: what would be done with the files that are there now. Touches nothing: no database, no lock, no directory.
 */
import { Effect, Stream } from "effect"
import { join } from "node:path"
import { display } from "../domain/RelPath.ts"
import type { Settings } from "../domain/Settings.ts"
import { shown } from "../domain/Target.ts"
import { scan } from "../files/FilesDirect.ts"
import * as Matcher from "../route/Matcher.ts"
import * as Router from "../route/Router.ts"
import * as Output from "./Output.ts"

export const dryRun = Effect.fn("DryRun.dryRun")(function* (settings: Settings) {
  const router = Router.compile(settings)
  const totals = { files: 0, deliveries: 0, unmatched: 0 }
  for (const source of settings.sources) {
    const matcher = Matcher.compile(source)
    yield* scan({ root: source.path, recursive: source.recursive }).pipe(
      Stream.runForEach(({ failed, found }) =>
        Effect.gen(function* () {
          for (const error of failed) yield* Output.note(`warning: ${error.message}`)
          for (const { path } of found) {
            if (!matcher.accepts(path)) continue
            const placements = router.route(source, path)
            totals.files += 1
            totals.deliveries += placements.length
            const file = join(source.path, display(path))
            if (placements.length === 0) {
              totals.unmatched += 1
              yield* Output.line(`${file}: no folder matches`)
            }
            for (const { name, target } of placements) {
              yield* Output.line(`${file} -> ${shown(target, display(name))}`)
            }
          }
        })
      ),
      Effect.catchTag("FilesError", (error) => Output.note(`warning: ${error.message}`))
    )
  }
  yield* Output.note(
    `${totals.files} files, ${totals.deliveries} deliveries, ${totals.unmatched} files match no folder. Nothing was done.`
  )
  return 0
})
