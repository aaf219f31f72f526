/**
 * Where the program's own messages go: to stderr, for people on a terminal and as plain lines or JSON otherwise, or to
 * a file.
 */
import { Cause, Effect, HashMap, Inspectable, Layer, List, Logger, LogLevel } from "effect"
import type { Settings } from "../domain/Settings.ts"
import type { Failure } from "./Failure.ts"
import * as LogFile from "./LogFile.ts"
import { noteUnsafe, onTerminal } from "./Output.ts"

/** The level of that name, in any case; also by the names that other programs use. */
export const parseLevel = (text: string): Settings["log"]["level"] | undefined => levels[text.toUpperCase()]

/** The loggers that the settings ask for, with their minimum level. */
export const layer = (log: Settings["log"]): Layer.Layer<never, Failure> =>
  Layer.mergeAll(
    log.file === undefined
      ? Logger.replace(Logger.defaultLogger, toStderr(log.format))
      : Logger.replaceScoped(
          Logger.defaultLogger,
          Effect.map(LogFile.open(log.file, log.rotate), ({ append }) => Logger.map(lines(log.format), append))
        ),
    Logger.minimumLogLevel(minimum[log.level])
  )

/** For commands that are over in a moment: what is worth a warning, on stderr. */
export const layerWarnings: Layer.Layer<never> = Layer.suspend(() =>
  Layer.mergeAll(Logger.replace(Logger.defaultLogger, toStderr("pretty")), Logger.minimumLogLevel(LogLevel.Warning))
)

/** One line: time, level, message, annotations as `key=value`. What would break the line is escaped. */
export const plainLogger: Logger.Logger<unknown, string> = Logger.make(
  (options) => `${options.date.toISOString()} ${options.logLevel.label.padEnd(5)} ${body(options)}`
)

const body = ({ annotations, cause, date, message, spans }: Logger.Logger.Options<unknown>): string => {
  const texts = Array.isArray(message) ? message : [message]
  const parts = texts.map((each) => oneLine(Inspectable.toStringUnknown(each, 0)))
  for (const [key, value] of HashMap.entries(annotations)) {
    parts.push(`${key}=${quoted(Inspectable.toStringUnknown(value, 0))}`)
  }
  for (const span of List.toArray(spans)) parts.push(`${span.label}=${date.getTime() - span.startTime}ms`)
  if (!Cause.isEmpty(cause)) parts.push(`cause=${quoted(Cause.pretty(cause, { renderErrorCause: true }))}`)
  return parts.join(" ")
}

const lines = (format: Settings["log"]["format"]): Logger.Logger<unknown, string> =>
  format === "json" ? Logger.jsonLogger : plainLogger

const toStderr = (format: Settings["log"]["format"]): Logger.Logger<unknown, void> =>
  format === "pretty" && onTerminal("stderr") && process.env["NO_COLOR"] === undefined
    ? Logger.map(colored, noteUnsafe)
    : Logger.map(lines(format), noteUnsafe)

const colored: Logger.Logger<unknown, string> = Logger.make((options) => {
  const time = options.date.toTimeString().slice(0, 8)
  const level = `\u001b[${colors[options.logLevel._tag]}m${options.logLevel.label.padEnd(5)}\u001b[0m`
  return `\u001b[2m${time}\u001b[0m ${level} ${body(options)}`
})

const colors: { readonly [Tag in LogLevel.LogLevel["_tag"]]: number } = {
  All: 2,
  Trace: 2,
  Debug: 36,
  Info: 32,
  Warning: 33,
  Error: 31,
  Fatal: 31,
  None: 2
}

// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g

const oneLine = (text: string): string =>
  text.replace(control, (char) => (char === "\n" ? "\\n" : `\\u{${char.charCodeAt(0).toString(16)}}`))

const quoted = (text: string): string => (/^[^\s"=]+$/.test(text) ? oneLine(text) : JSON.stringify(text))

const minimum: { readonly [Level in Settings["log"]["level"]]: LogLevel.LogLevel } = {
  TRACE: LogLevel.Trace,
  DEBUG: LogLevel.Debug,
  INFO: LogLevel.Info,
  WARNING: LogLevel.Warning,
  ERROR: LogLevel.Error,
  FATAL: LogLevel.Fatal,
  NONE: LogLevel.None
}

const levels: { readonly [name: string]: Settings["log"]["level"] } = {
  TRACE: "TRACE",
  ALL: "TRACE",
  DEBUG: "DEBUG",
  INFO: "INFO",
  WARNING: "WARNING",
  WARN: "WARNING",
  ERROR: "ERROR",
  FATAL: "FATAL",
  CRITICAL: "FATAL",
  NONE: "NONE",
  OFF: "NONE"
}
