/**
 * The command without a name: watches and dispatches, in the foreground, as a daemon, or once.
 */
import { Context, Effect, Layer } from "effect"
import type { Overrides } from "../config/Config.ts"
import { fingerprint } from "../config/fingerprint.ts"
import { Reload } from "../config/Reload.ts"
import type { Settings } from "../domain/Settings.ts"
import { Dispatcher } from "../deliver/Dispatcher.ts"
import { Intake } from "../watch/Intake.ts"
import * as Daemon from "./Daemon.ts"
import { from, usage } from "./Failure.ts"
import { noConfig } from "./Flags.ts"
import * as Hangup from "./Hangup.ts"
import { loadAndWarn } from "./Load.ts"
import * as Logging from "./Logging.ts"
import { once } from "./Once.ts"
import * as Output from "./Output.ts"
import * as PidFile from "./PidFile.ts"
import type { Given } from "./RunCommand.ts"
import { stop } from "./Stop.ts"

/** Answers the exit code. */
export const run = Effect.fn("Run.run")(function* (given: Given) {
  const { pidfile } = given
  if (given.exit) {
    if (pidfile === undefined) {
      return yield* usage("Which daemon? Name its pid file: filedispatch -x -p PIDFILE")
    }
    yield* stop(pidfile)
    return 0
  }
  // looked at before it is loaded, so that no change after that is missed
  const seen = given.config === undefined ? "" : fingerprint(given.config)
  const settings = yield* settingsOf(given)
  if (given.dryRun) {
    const { dryRun } = yield* Effect.promise(() => import("./DryRun.ts"))
    return yield* dryRun(settings)
  }
  if (pidfile !== undefined) {
    const old = yield* PidFile.prepare(pidfile)
    if (old !== undefined && !Daemon.isDaemon) yield* Output.note(old)
  }
  if (given.daemon && !Daemon.isDaemon) {
    const pid = yield* Daemon.start(settings.log.file)
    yield* Output.line(String(pid))
    return 0
  }
  return yield* serve(settings, given, seen).pipe(Effect.provide(Logging.layer(settings.log)))
})

/** The config, with what the command line says instead. */
const settingsOf = Effect.fnUntraced(function* (given: Given) {
  const { config, daemon, dryRun, logFile, logLevel, once } = given
  if (daemon && once) return yield* usage("--daemon and --once exclude each other.")
  if (daemon && dryRun) return yield* usage("--daemon and --dry-run exclude each other.")
  if (once && dryRun) return yield* usage("--once and --dry-run exclude each other.")
  if (config === undefined) return yield* usage(noConfig)
  if (logFile !== undefined && !daemon) {
    yield* Output.note("--log-file is for the daemon (-d): messages go to stderr.")
  }
  const settings = yield* loadAndWarn(config, overridesOf(given))
  // a progress display and a line for each delivery say the same better
  const quiet = once && logLevel === undefined && Output.onTerminal("stderr") && settings.log.level === "INFO"
  return quiet ? { ...settings, log: { ...settings.log, level: "WARNING" as const } } : settings
})

const overridesOf = (given: Given): Overrides => ({
  host: given.host,
  port: given.port,
  db: given.db,
  logFile: given.daemon ? given.logFile : undefined,
  logLevel: given.logLevel,
  move: given.move,
  noHttp: given.noWebapp
})

/** Runs until it is interrupted, or with `--once` until all is concluded. `seen`: the config's fingerprint. */
const serve = (settings: Settings, given: Given, seen: string) =>
  Effect.gen(function* () {
    const since = Date.now()
    // from the first moment on: by default the signal ends a process
    const hangup = given.once ? undefined : yield* Hangup.listen
    // first in, last out: the pid file goes when everything else has ended
    const pidFile = given.pidfile === undefined ? undefined : yield* PidFile.hold(given.pidfile)
    const { layer } = yield* Effect.promise(() => import("../App.ts"))
    const reload =
      given.once || given.config === undefined
        ? undefined
        : { file: given.config, overrides: overridesOf(given), seen, watch: true }
    const services = yield* Layer.build(
      layer({ settings, webapp: !given.noWebapp, monitor: !given.noMonitor, reload })
    ).pipe(Effect.mapError(from))
    if (hangup !== undefined) {
      const again = Effect.zipRight(hangup.next, Effect.ignore(Context.get(services, Reload).reload("SIGHUP")))
      yield* Effect.forkScoped(Effect.forever(again))
    }
    if (pidFile !== undefined) yield* pidFile.write
    yield* Daemon.ready
    const page = given.noWebapp
      ? ""
      : ` The dashboard and the API are at http://${settings.http.host}:${settings.http.port}/.`
    yield* Effect.logInfo(`Started; the journal is ${settings.db}.${page}`)

    const broken = Effect.raceFirst(Context.get(services, Dispatcher).join, Context.get(services, Intake).join)
    if (!given.once) return yield* broken
    return yield* Effect.raceFirst(Effect.provide(once(since), services).pipe(Effect.mapError(from)), broken)
  }).pipe(
    Effect.onInterrupt(() => leaving),
    Effect.scoped
  )

/** Said when a signal came, while what is under way is brought to an end. */
const leaving: Effect.Effect<void> = Effect.zipRight(
  Effect.logInfo(
    "Stopping. What is under way has some seconds to end; a second signal ends it at once, and loses nothing"
  ),
  Effect.sync(() => {
    // a promise is not a guarantee: whatever hangs must not keep the process for ever
    setTimeout(() => {
      Output.noteUnsafe("Ended after 15 seconds, although something was still under way. Nothing is lost.")
      process.exit(1)
    }, 15_000).unref()
  })
)
