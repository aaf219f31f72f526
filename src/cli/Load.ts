/**
 * The config, read for a command.
 */
import { Effect } from "effect"
import type { Overrides } from "../config/Config.ts"
import type { Settings } from "../domain/Settings.ts"
import { from, type Failure } from "./Failure.ts"
import * as Output from "./Output.ts"

/** The settings; fails with every problem of the config at once. */
export const load = (file: string, overrides: Overrides = {}): Effect.Effect<Settings, Failure> =>
  Effect.map(check(file, overrides), ({ settings }) => settings)

/** As {@link load}; says on stderr what is not wrong, but hardly meant. */
export const loadAndWarn = (file: string, overrides: Overrides = {}): Effect.Effect<Settings, Failure> =>
  Effect.gen(function* () {
    const { settings, warnings } = yield* check(file, overrides)
    const { format } = yield* Effect.promise(() => import("../config/ConfigError.ts"))
    for (const warning of warnings) yield* Output.note(`warning: ${format(file, warning)}`)
    return settings
  })

const check = (file: string, overrides: Overrides) =>
  Effect.promise(() => import("../config/Config.ts")).pipe(
    Effect.flatMap((config) => config.check(file, overrides)),
    Effect.mapError(from)
  )
