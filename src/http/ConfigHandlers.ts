/** The calls about the config in force. */
import { HttpApiBuilder } from "@effect/platform"
import { Effect } from "effect"
import { Reload } from "../config/Reload.ts"
import { Api } from "./Api.ts"
import { Conflict } from "./ApiSchema.ts"
import { configStatusView, iso } from "./Views.ts"

export const layer = HttpApiBuilder.group(Api, "config", (handlers) =>
  Effect.map(Reload, ({ last, reload, status, text }) =>
    handlers
      .handle("status", () => Effect.map(status, (config) => ({ config: configStatusView(config) })))
      .handle("config", () =>
        Effect.gen(function* () {
          const { lines, marks } = yield* text
          const before = yield* last
          return {
            ...configStatusView(yield* status),
            lines,
            marks,
            last_reload: before === null ? null : { ...before, time: iso(before.time) }
          }
        })
      )
      .handle("reload", () =>
        Effect.mapError(reload("asked for over HTTP"), (error) => new Conflict({ detail: error.message }))
      )
  )
)
