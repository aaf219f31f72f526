/**
 * The config file as YAML holds it. Decoding makes milliseconds of durations, bytes of sizes and Redacted of secrets;
 * what depends on more than one value (names, paths, URLs, schemes) is resolved by `Config`.
 *
 * Titles say what is expected of a value, and go into messages; descriptions and defaults go into the JSON Schema, for
 * editors.
 */
import { Schema } from "effect"
import { defaults } from "./defaults.ts"
import { FolderEntry } from "./FolderFile.ts"
import { SourceEntry } from "./SourceFile.ts"
import { anyCase, boolean, integer, key, list, oneOf, positiveDuration, size, text } from "./Values.ts"

export { defaults } from "./defaults.ts"
export { FolderEntry, TargetEntry } from "./FolderFile.ts"
export { SourceEntry } from "./SourceFile.ts"

export const LogLevel = anyCase(["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "FATAL", "NONE"], {
  WARN: "WARNING",
  CRITICAL: "FATAL",
  OFF: "NONE"
})

const sources = Schema.Union(
  text("a directory"),
  SourceEntry,
  list(
    Schema.Union(text("a directory"), SourceEntry).annotations({ title: "a directory, or a map with path" }),
    "a list of directories",
    1
  )
).annotations({ title: "a directory, a map with path, or a list of these" })

const http = Schema.Struct({
  host: key(text("a host name or IP address"), "The address that the web page and API listen on.", defaults.http.host),
  port: key(integer(0, 65_535), "Their port; 0: any free one.", defaults.http.port),
  token: key(
    Schema.NullOr(Schema.Redacted(text("a text (in quotes, if it looks like a number)"))).annotations({
      title: "a text (in quotes, if it looks like a number)"
    }),
    "What a client must send as bearer token. Needed on any address but loopback."
  )
}).annotations({ title: "a map of host, port, token" })

const monitor = Schema.Union(
  boolean,
  Schema.Struct({
    enabled: key(boolean, "Whether there is a console.", defaults.monitor.enabled),
    host: key(text("a loopback address"), "The loopback address it listens on.", defaults.monitor.host),
    port: key(integer(0, 65_535), "Its port; 0: any free one.", defaults.monitor.port)
  })
).annotations({ title: "a map of host, port, enabled; or false" })

const log = Schema.Struct({
  level: key(LogLevel, "The least important messages that are written; any case.", defaults.log.level),
  format: key(oneOf("pretty", "json"), "For people, or for programs.", defaults.log.format),
  file: key(Schema.NullOr(text("a path")).annotations({ title: "a path" }), "The daemon's log file."),
  rotate: key(
    Schema.Struct({
      size: key(size, "How large the log file may get.", defaults.log.rotate.size),
      keep: key(integer(0, 10_000), "How many old ones are kept.", defaults.log.rotate.keep)
    }).annotations({ title: "a map of size, keep" }),
    "When the log file is put aside for a new one."
  ),
  retain: key(positiveDuration, "For how long the entries of concluded deliveries are kept.", defaults.log.retain)
}).annotations({ title: "a map of level, format, file, rotate, retain" })

export const ConfigFile = Schema.Struct({
  source: key(sources, "The directory that is watched; or `sources`."),
  sources: key(sources, "The directories that are watched; or `source`."),
  folders: Schema.propertySignature(list(FolderEntry, "a list of folders, each with a path", 1)).annotations({
    description: "Where files go."
  }),
  dispatch: key(
    oneOf("all", "first"),
    "all: every folder that matches gets the file; first: the first one only.",
    defaults.dispatch
  ),
  http: key(http, "The web page and API."),
  monitor: key(monitor, "A small text console on a loopback port (nc 127.0.0.1 50101); false: none."),
  log: key(log, "What is written down."),
  db: key(text("a path"), "The journal's database file. By default below ~/.local/state/filedispatch."),
  durability: key(
    oneOf("power", "crash"),
    "power: synced before it counts as delivered; crash: survives a kill, not a power cut.",
    defaults.durability
  )
}).annotations({ title: "a map with source and folders" })
export type ConfigFile = typeof ConfigFile.Type
