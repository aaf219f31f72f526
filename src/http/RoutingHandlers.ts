/** The call that explains where a file goes. It looks at rules and names only, never at the file. */
import { HttpApiBuilder } from "@effect/platform"
import { Effect, SubscriptionRef } from "effect"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import * as RelPath from "../domain/RelPath.ts"
import * as Router from "../route/Router.ts"
import { Api } from "./Api.ts"
import { NotFound } from "./ApiSchema.ts"

export const layer = HttpApiBuilder.group(Api, "routing", (handlers) =>
  Effect.map(CurrentSettings, (current) =>
    handlers.handle("explain", ({ payload: { file } }) =>
      Effect.gen(function* () {
        const settings = yield* SubscriptionRef.get(current)
        const path = RelPath.parse(file)
        const sources = settings.sources.filter((source) => path.startsWith(directory(source.path)))
        if (sources.length === 0 || path.endsWith("/")) {
          const names = settings.sources.map((source) => source.path).join(", ")
          return yield* new NotFound({ detail: `${RelPath.display(path)} is in no source; the sources are ${names}` })
        }
        return sources.map((source) =>
          Router.explain(settings, source, RelPath.make(path.slice(directory(source.path).length)))
        )
      })
    )
  )
)

const directory = (path: string): string => (path.endsWith("/") ? path : `${path}/`)
