/** The calls about the config in force. */
import { HttpApiBuilder } from "@effect/platform"
import { Effect } from "effect"
import { Reload } from "../config/Reload.ts"
import { Api } from "./Api.ts"
import { Conflict } from "./ApiSchema.ts"

export const layer = HttpApiBuilder.group(Api, "config", (handlers) =>
  Effect.map(Reload, ({ reload, status }) =>
    handlers
      .handle("status", () =>
        Effect.map(status, ({ loadedAt, ...config }) => ({
          config: { ...config, loaded: new Date(loadedAt).toISOString() }
        }))
      )
      .handle("reload", () =>
        Effect.mapError(reload("asked for over HTTP"), (error) => new Conflict({ detail: error.message }))
      )
  )
)
