/** The calls that explain where files go. Files in sources are read where a rule asks for it; others never are. */
import { HttpApiBuilder } from "@effect/platform"
import { Clock, Effect, Either, Option, SubscriptionRef } from "effect"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import * as RelPath from "../domain/RelPath.ts"
import { FileFacts } from "../files/FileFacts.ts"
import { Files } from "../files/Files.ts"
import { explainFile, explainPath } from "../route/ExplainFile.ts"
import { locate } from "../route/Locate.ts"
import { Deliveries } from "../store/Deliveries.ts"
import { explainEntry } from "../store/explainEntry.ts"
import { LogRepo } from "../store/LogRepo.ts"
import { Api } from "./Api.ts"
import { BadRequest, Failed, NotFound } from "./ApiSchema.ts"

export const layer = HttpApiBuilder.group(Api, "routing", (handlers) =>
  Effect.gen(function* () {
    const current = yield* CurrentSettings
    const files = yield* Files
    const facts = yield* FileFacts
    const logs = yield* LogRepo
    const deliveries = yield* Deliveries
    return handlers
      .handle("explain", ({ payload: { file, source } }) =>
        Effect.gen(function* () {
          const settings = yield* SubscriptionRef.get(current)
          if (source !== undefined && !settings.sources.some(({ name }) => name === source)) {
            const names = settings.sources.map(({ name }) => name).join(", ")
            return yield* new NotFound({ detail: `there is no source ${RelPath.display(source)}; there are ${names}` })
          }
          const places = locate(settings, RelPath.parse(file), { source, directory: null })
          if (Either.isLeft(places)) return yield* new BadRequest({ detail: places.left })
          const now = yield* Clock.currentTimeMillis
          return yield* Effect.forEach(places.right, (place) =>
            place.contained
              ? explainFile({ look: files.look, facts }, settings, place, now)
              : explainPath(settings, place, now)
          ).pipe(Effect.mapError((error) => new Failed({ detail: error.message })))
        })
      )
      .handle("explainLog", ({ path: { id } }) =>
        Effect.flatMap(
          explainEntry({ logs, deliveries }, id).pipe(
            Effect.tapError((error) => Effect.logError(error.message)),
            Effect.mapError((error) => new Failed({ detail: error.message }))
          ),
          Option.match({
            onNone: () => Effect.fail(new NotFound({ detail: `there is no log entry with the id ${id}` })),
            onSome: Either.match({
              onLeft: (reason) => Effect.fail(new NotFound({ detail: reason })),
              onRight: Effect.succeed
            })
          })
        )
      )
  })
)
