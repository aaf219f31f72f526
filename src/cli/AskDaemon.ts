/**
 * What the commands share that change the journal: they do so in the journal itself, or, where a daemon has it, ask that.
 */
import { FetchHttpClient } from "@effect/platform"
import { Effect, type Duration } from "effect"
import { existsSync } from "node:fs"
import type { Settings } from "../domain/Settings.ts"
import * as Client from "../http/Client.ts"
import { Failure } from "./Failure.ts"
import { load } from "./Load.ts"

export interface Given {
  readonly config: string
  readonly db: string | undefined
  readonly host: string | undefined
  readonly port: number | undefined
}

/** The settings of a journal that is there; `what` was to be done with it. */
export const settingsOf = (given: Given, what: string) =>
  Effect.gen(function* () {
    const settings = yield* load(given.config, {
      db: given.db,
      host: given.host,
      port: given.port,
      // no server is started here
      noHttp: true
    })
    if (!existsSync(settings.db)) {
      return yield* new Failure({ code: 1, message: `There is nothing to ${what}: ${settings.db} does not exist.` })
    }
    return settings
  })

/** By the daemon that has the journal, if it can be reached and is done within that time. */
export const askDaemon = <A, E extends { readonly message: string }>(
  settings: Settings,
  within: Duration.DurationInput,
  ask: (client: Client.Client) => Effect.Effect<A, E>
): Effect.Effect<A, Failure> => {
  const baseUrl = Client.localUrl(settings.http)
  return Effect.flatMap(Client.make({ baseUrl, token: settings.http.token }), ask).pipe(
    Effect.timeout(within),
    Effect.mapError(
      (error) =>
        new Failure({
          code: 1,
          message: `A daemon uses ${settings.db}, and its HTTP API at ${baseUrl} did not help (${error.message}). Say where it listens with -H and -P, or stop the daemon and try again.`
        })
    ),
    Effect.provide(FetchHttpClient.layer)
  )
}
