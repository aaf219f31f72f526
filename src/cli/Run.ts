/**
 * The command without a name: watches and dispatches, in the foreground, as a daemon, or once.
 */
import { Context, Effect, Layer } from "effect"
import type { Settings } from "../domain/Settings.ts"
import { Dispatcher } from "../deliver/Dispatcher.ts"
import { Intake } from "../watch/Intake.ts"
import * as Arguments from "./Arguments.ts"
import * as Daemon from "./Daemon.ts"
import { from, usage } from "./Failure.ts"
import { loadAndWarn } from "./Load.ts"
import * as Logging from "./Logging.ts"
import { once } from "./Once.ts"
import * as Output from "./Output.ts"
import * as PidFile from "./PidFile.ts"
import { stop } from "./Stop.ts"

type Given = Arguments.Given<typeof Arguments.root.flags>

/** `args` is the command line as it was, for the daemon. Answers the exit code. */
export const run = Effect.fn("Run.run")(function* (given: Given, args: ReadonlyArray<string>) {
  const pidfile = given.text("pidfile")
  if (given.on("exit")) {
    if (pidfile === undefined) {
      return yield* usage("Which daemon? Name its pid file: filedispatch -x -p PIDFILE")
    }
    yield* stop(pidfile)
    return 0
  }
  const settings = yield* settingsOf(given)
  if (given.on("dry-run")) {
    const { dryRun } = yield* Effect.promise(() => import("./DryRun.ts"))
    return yield* dryRun(settings)
  }
  if (pidfile !== undefined) {
    const old = yield* PidFile.prepare(pidfile)
    if (old !== undefined && !Daemon.isDaemon) yield* Output.note(old)
  }
  if (given.on("daemon") && !Daemon.isDaemon) {
    const pid = yield* Daemon.start(args, settings.log.file)
    yield* Output.line(String(pid))
    return 0
  }
  return yield* serve(settings, given).pipe(Effect.provide(Logging.layer(settings.log)))
})

/** The config, with what the command line says instead. */
const settingsOf = Effect.fnUntraced(function* (given: Given) {
  const daemon = given.on("daemon")
  const alone = (["once", "dry-run"] as const).filter((name) => given.on(name))
  if (daemon && alone[0] !== undefined) return yield* usage(`--daemon and --${alone[0]} exclude each other.`)
  if (alone.length > 1) return yield* usage("--once and --dry-run exclude each other.")

  const file = yield* Arguments.required(Arguments.root, "config", given.text("config"))
  const port = given.text("port")
  const level = given.text("log-level")
  const logLevel = level === undefined ? undefined : Logging.parseLevel(level)
  if (level !== undefined && logLevel === undefined) {
    return yield* usage(
      `--log-level is "${level}", but must be one of TRACE, DEBUG, INFO, WARNING, ERROR, FATAL, NONE.`
    )
  }
  const logFile = given.text("log-file")
  if (logFile !== undefined && !daemon) {
    yield* Output.note("--log-file is for the daemon (-d): messages go to stderr.")
  }
  const settings = yield* loadAndWarn(file, {
    host: given.text("host"),
    port: port === undefined ? undefined : yield* Arguments.integer(Arguments.root, "port", port, 0, 65_535),
    db: given.text("db"),
    logFile: daemon ? logFile : undefined,
    logLevel,
    move: given.on("move"),
    noHttp: given.on("no-webapp")
  })
  // a progress display and a line for each delivery say the same better
  const quiet = given.on("once") && level === undefined && Output.onTerminal("stderr") && settings.log.level === "INFO"
  return quiet ? { ...settings, log: { ...settings.log, level: "WARNING" as const } } : settings
})

/** Runs until it is interrupted, or with `--once` until all is concluded. */
const serve = (settings: Settings, given: Given) =>
  Effect.gen(function* () {
    const since = Date.now()
    const isOnce = given.on("once")
    const file = given.text("pidfile")
    // first in, last out: the pid file goes when everything else has ended
    const pidFile = file === undefined ? undefined : yield* PidFile.hold(file)
    const { layer } = yield* Effect.promise(() => import("../App.ts"))
    const services = yield* Layer.build(
      layer({ settings, webapp: !given.on("no-webapp"), monitor: !given.on("no-monitor") })
    ).pipe(Effect.mapError(from))
    if (pidFile !== undefined) yield* pidFile.write
    yield* Daemon.ready

    const broken = Effect.raceFirst(Context.get(services, Dispatcher).join, Context.get(services, Intake).join)
    if (!isOnce) return yield* broken
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
