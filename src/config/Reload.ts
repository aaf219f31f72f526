/**
 * The config, loaded again while the program runs: checked as a whole, and put in force as a whole or not at all.
 */
import { Clock, Context, Effect, Layer, SubscriptionRef, type Scope } from "effect"
import type { Settings } from "../domain/Settings.ts"
import * as Changes from "./Changes.ts"
import * as Config from "./Config.ts"
import { ConfigError, format, whole } from "./ConfigError.ts"
import type { ConfigText } from "./ConfigText.ts"
import { CurrentSettings } from "./CurrentSettings.ts"
import { fingerprint } from "./fingerprint.ts"

/** What a reload has done. */
export type Reloaded = Pick<Changes.Changes, "applied" | "restart">

export interface ConfigStatus {
  /** The config file. */
  readonly file: string
  /** When the settings in force were loaded, in milliseconds since the epoch. */
  readonly loadedAt: number
  /** Why the file as it is now is not in force; null: it is. One line for each problem. */
  readonly error: string | null
  /** Keys of the file whose values need a restart to take effect. */
  readonly restart: ReadonlyArray<string>
}

/** What came of the last time that the file was loaded again. */
export interface LastReload {
  /** In milliseconds since the epoch. */
  readonly time: number
  readonly why: string
  readonly applied: ReadonlyArray<string>
  readonly error: string | null
}

export class Reload extends Context.Tag("filedispatch/config/Reload")<
  Reload,
  {
    /**
     * Loads the config file again. With a problem in it, the settings in force stay as they are. `why` is for the log.
     */
    readonly reload: (why: string) => Effect.Effect<Reloaded, ConfigError>
    readonly status: Effect.Effect<ConfigStatus>
    /** The file as it was when the settings in force were loaded, without its secrets. */
    readonly text: Effect.Effect<ConfigText>
    /** Null where it was not loaded again since the start. */
    readonly last: Effect.Effect<LastReload | null>
  }
>() {}

export interface Options {
  /** The config file as it was named. */
  readonly file: string
  /** What the command line says instead, today as at the start. */
  readonly overrides: Config.Overrides
  /** What {@link fingerprint} said before the settings in force were loaded. */
  readonly seen: string
  /** Whether the file is loaded whenever it has changed. */
  readonly watch: boolean
  /** What will become of files, in one line; null: there is nothing to say. */
  readonly summary?: (old: Settings, next: Settings) => Effect.Effect<string | null>
}

/** Loads the file that the program was started with. */
export const layer = (options: Options): Layer.Layer<Reload, never, CurrentSettings> =>
  Layer.scoped(Reload, make(options))

/** For settings that come from no file, as in an embedding app. */
export const layerFixed: Layer.Layer<Reload, never, CurrentSettings> = Layer.effect(
  Reload,
  Effect.gen(function* () {
    const settings = yield* Effect.flatMap(CurrentSettings, SubscriptionRef.get)
    const { file } = settings
    const loadedAt = yield* Clock.currentTimeMillis
    const problem = whole(
      "the settings were given by the program, so there is nothing to load",
      "a program that loads it"
    )
    return Reload.of({
      reload: () => new ConfigError({ file, problems: [problem] }),
      status: Effect.succeed({ file, loadedAt, error: null, restart: [] }),
      text: Effect.sync(() => Config.textOf(settings)),
      last: Effect.succeed(null)
    })
  })
)

/**
 * How often the file is looked at. A look takes microseconds, and works where events don't: over a network, and where
 * what changes is a link further up the path. A file that has changed must be the same at the next look, so that one
 * that is being written is not read.
 */
const interval = "1 second"

const make = (
  options: Options
): Effect.Effect<Context.Tag.Service<typeof Reload>, never, CurrentSettings | Scope.Scope> =>
  Effect.gen(function* () {
    const settings = yield* CurrentSettings
    const one = yield* Effect.makeSemaphore(1)
    let seen = options.seen
    /** As it was loaded: what is in force may be put together of this and what needs a restart. */
    let loaded = yield* SubscriptionRef.get(settings)
    let last: LastReload | null = null
    let status: ConfigStatus = {
      file: loaded.file,
      loadedAt: yield* Clock.currentTimeMillis,
      error: null,
      restart: []
    }

    const load = Effect.fn("Reload.reload")(function* (why: string) {
      seen = fingerprint(options.file)
      const { settings: next, warnings } = yield* Config.check(options.file, options.overrides)
      for (const warning of warnings) yield* Effect.logWarning(format(options.file, warning))
      const old = yield* SubscriptionRef.get(settings)
      const { applied, restart, routing } = Changes.between(old, next)
      // as before, where nothing is other, so that nobody has anything to do
      if (applied.length > 0) {
        const summary = routing ? yield* options.summary?.(old, next) ?? Effect.succeed(null) : null
        yield* SubscriptionRef.set(settings, Changes.inForce(old, next))
        yield* Effect.logInfo(`The config was loaded again (${why}): ${applied.join("; ")}`)
        if (summary !== null) yield* Effect.logInfo(`By the new config, of the newest files in the log: ${summary}`)
      } else yield* Effect.logInfo(`The config was loaded again (${why}): nothing has changed that can take effect now`)
      if (restart.length > 0) {
        yield* Effect.logWarning(`${list(restart)} in ${options.file} ${needs(restart)} a restart to take effect`)
      }
      const time = yield* Clock.currentTimeMillis
      status = { file: next.file, loadedAt: time, error: null, restart }
      loaded = next
      last = { time, why, applied, error: null }
      return { applied, restart } satisfies Reloaded
    })

    const reload = (why: string) =>
      load(why).pipe(
        Effect.tapError((error) =>
          Effect.flatMap(Clock.currentTimeMillis, (time) => {
            status = { ...status, error: error.message }
            last = { time, why, applied: [], error: error.message }
            return Effect.logError(
              `The config could not be loaded again (${why}), and the old one stays: ${error.message}`
            )
          })
        ),
        one.withPermits(1)
      )

    if (options.watch) {
      let candidate = seen
      const look = Effect.suspend(() => {
        const now = fingerprint(options.file)
        const isQuiet = now === candidate
        candidate = now
        return now === seen || !isQuiet ? Effect.void : Effect.ignore(reload("the file has changed"))
      })
      yield* Effect.forkScoped(Effect.forever(Effect.delay(look, interval)))
    }

    return Reload.of({
      reload,
      status: Effect.sync(() => status),
      text: Effect.sync(() => Config.textOf(loaded)),
      last: Effect.sync(() => last)
    })
  })

const list = (keys: ReadonlyArray<string>): string => keys.join(", ")

const needs = (keys: ReadonlyArray<string>): string => (keys.length === 1 ? "needs" : "need")
