/**
 * The config file as YAML holds it. Decoding makes milliseconds of durations, bytes of sizes and Redacted of secrets;
 * what depends on more than one value (names, paths, URLs, schemes) is resolved by `Config`.
 *
 * Titles say what is expected of a value, and go into messages; descriptions and defaults go into the JSON Schema, for
 * editors.
 */
import { Option, ParseResult, Schema, SchemaAST } from "effect"
import * as Glob from "../route/Glob.ts"
import { Conflict } from "../domain/Target.ts"
import { formatBytes, formatDuration, parseDuration, parseSize } from "./Quantity.ts"

/** What holds where the file says nothing. Times in milliseconds, sizes in bytes. */
export const defaults = {
  source: {
    recursive: false,
    include: ["**"],
    exclude: [
      "**/.*",
      "**/.*/**",
      "**/*~",
      "**/~$*",
      "**/#*#",
      "**/*.part",
      "**/*.partial",
      "**/*.filepart",
      "**/*.crdownload",
      "**/*.download",
      "**/*.download/**",
      "**/*.opdownload",
      "**/*.aria2",
      "**/*.tmp",
      "**/*.temp",
      "**/*.swp",
      "**/*.swx"
    ],
    settle: 1000,
    watch: "auto",
    pollInterval: 2000,
    rescan: 300_000,
    after: "keep"
  },
  target: {
    conflict: "overwrite",
    retry: { attempts: 10, base: 1000, factor: 2, cap: 600_000 },
    concurrency: 4,
    timeout: 60_000,
    fieldname: "file",
    upload: "multipart"
  },
  http: { host: "127.0.0.1", port: 3001 },
  monitor: { enabled: true, host: "127.0.0.1", port: 50101 },
  log: {
    level: "INFO",
    format: "pretty",
    rotate: { size: 10 * 1024 * 1024, keep: 5 },
    retain: 90 * 86_400_000
  },
  durability: "power"
} as const

// Building blocks

interface Bounds {
  readonly min?: number
  readonly max?: number
}

/** A value that a parser turns into a number. Text is accepted everywhere, for a variable always expands to text. */
const quantity = (
  title: string,
  example: string,
  parse: (input: string | number) => Option.Option<number>,
  format: (value: number) => string | number,
  { max = Number.MAX_SAFE_INTEGER, min = 0 }: Bounds
) =>
  Schema.transformOrFail(
    Schema.Union(Schema.Number, Schema.String).annotations({ title, examples: [example] }),
    Schema.Number,
    {
      strict: true,
      decode: (input, _, ast) =>
        Option.match(
          Option.filter(parse(input), (value) => value >= min && value <= max),
          {
            onNone: () => ParseResult.fail(new ParseResult.Type(ast, input, `expected ${title}`)),
            onSome: ParseResult.succeed
          }
        ),
      encode: (value) => ParseResult.succeed(format(value))
    }
  ).annotations({ title })

const plain = (value: number): number => value

const duration = (bounds: Bounds & { readonly title?: string } = {}) =>
  quantity(
    bounds.title ?? "a duration such as 500ms, 1s, 5m, 2h or 90d (a bare number is seconds)",
    "5m",
    parseDuration,
    formatDuration,
    bounds
  )

const positiveDuration = duration({ min: 1, title: "a duration of more than zero, such as 500ms, 1s, 5m or 2h" })

const interval = duration({ min: 10, title: "a duration of at least 10ms, such as 500ms, 2s or 5m" })

const size = quantity("a size of at least 1KiB, such as 512KB, 10MiB or 1GB", "10MiB", parseSize, formatBytes, {
  min: 1024
})

const integer = (min: number, max: number) =>
  quantity(
    `a whole number from ${min} to ${max}`,
    String(min),
    (input) => {
      const value = typeof input === "number" ? input : /^\d+$/.test(input.trim()) ? Number(input) : NaN
      return Number.isSafeInteger(value) ? Option.some(value) : Option.none()
    },
    plain,
    { min, max }
  )

const factor = quantity(
  "a number from 1 to 100",
  "2",
  (input) => {
    const value = typeof input === "number" ? input : /^\d+(?:\.\d+)?$/.test(input.trim()) ? Number(input) : NaN
    return Number.isFinite(value) ? Option.some(value) : Option.none()
  },
  plain,
  { min: 1, max: 100 }
)

const boolean = Schema.transformOrFail(
  Schema.Union(Schema.Boolean, Schema.Literal("true", "false")).annotations({ title: "true or false" }),
  Schema.Boolean,
  {
    strict: true,
    decode: (input) => ParseResult.succeed(input === true || input === "true"),
    encode: ParseResult.succeed
  }
).annotations({ title: "true or false" })

/** Text that says something. `title` says what. */
const text = (title: string) =>
  Schema.String.pipe(Schema.filter((value) => value.trim() !== "")).annotations({ title, jsonSchema: { minLength: 1 } })

const oneOf = <const Values extends readonly [string, ...ReadonlyArray<string>]>(...values: Values) =>
  Schema.Literal(...values).annotations({ title: `one of ${values.join(", ")}` })

const anyCase = <const Values extends readonly [string, ...ReadonlyArray<string>]>(
  values: Values,
  aliases: Readonly<Record<string, Values[number]>> = {}
) => {
  const title = `one of ${values.join(", ")}`
  const target = Schema.Literal(...values)
  const is = Schema.is(target)
  return Schema.transformOrFail(Schema.String.annotations({ title, examples: [...values] }), target, {
    strict: false,
    decode: (input, _, ast) => {
      const upper = input.trim().toUpperCase()
      const value = aliases[upper] ?? upper
      return is(value)
        ? ParseResult.succeed(value)
        : ParseResult.fail(new ParseResult.Type(ast, input, `expected ${title}`))
    },
    encode: (value: string) => ParseResult.succeed(value)
  }).annotations({ title })
}

const list = <A, I>(item: Schema.Schema<A, I>, title: string, min = 0) =>
  Schema.Array(item)
    .annotations({ title })
    .pipe(Schema.filter((values) => values.length >= min))
    .annotations({ title, ...(min > 0 ? { jsonSchema: { minItems: min } } : {}) })

/** A key that may be left out. */
const key = <A, I>(schema: Schema.Schema<A, I>, description: string, value?: A) =>
  Schema.optionalWith(schema, { exact: true }).annotations({
    description,
    ...(value === undefined ? {} : { default: value })
  })

// Values

const glob = Schema.String.pipe(
  Schema.filter((value) =>
    Option.match(Glob.fault(value), {
      onNone: () => true,
      onSome: ({ expected, message }) => `${message}; expected ${expected}`
    })
  )
).annotations({ title: "a glob, such as **/*.pdf" })

/** An extension as the file may write it: any case, a leading dot tolerated. */
const extension = Schema.String.pipe(
  Schema.filter((value) => /^\.?[^./\\*?,\s](?:[^./\\*?,]*[^./\\*?,\s])?(?:\.[^./\\*?,\s]+)*$/.test(value))
).annotations({
  title: "an extension such as pdf or tar.gz, without wildcards",
  // YAML reads 7 and 001 as numbers; they are taken as they are written
  jsonSchema: { type: ["string", "number"] }
})

const globs = list(glob, 'a list of globs, such as ["**/*.pdf"]')

export const LogLevel = anyCase(["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "FATAL", "NONE"], {
  WARN: "WARNING",
  CRITICAL: "FATAL",
  OFF: "NONE"
})

const after = Schema.Union(
  Schema.Literal("keep", "delete"),
  Schema.Struct({
    archive: text("a path, such as ./archive/{date:yyyy-MM-dd}/{relpath}").annotations({
      description:
        "A template for the path that the file is moved to, relative to the config file: {name} {stem} {ext} {dir} {relpath} {source} {date:yyyy-MM-dd} (UTC). A plain directory gets /{relpath} appended."
    })
  })
).annotations({ title: "keep, delete, or { archive: a path }" })

// Sections

export const SourceEntry = Schema.Struct({
  path: text("a directory"),
  name: key(text("a name"), "What logs and folders call it; by default the last part of its path."),
  recursive: key(boolean, "Whether files in directories below it are taken, too.", defaults.source.recursive),
  include: key(globs, "Globs on the path relative to the source: only these files are taken.", defaults.source.include),
  exclude: key(
    globs,
    "Globs on the path relative to the source: these files are never taken. By default dot files and the usual names of unfinished files; [] clears the list.",
    defaults.source.exclude
  ),
  settle: key(
    duration(),
    "How long a file must have been quiet before it is taken; 0s: no waiting.",
    defaults.source.settle
  ),
  watch: key(
    oneOf("auto", "events", "poll"),
    "How changes are noticed; auto falls back to polling where events can't be had, and says so.",
    defaults.source.watch
  ),
  pollInterval: key(
    interval,
    "How often the source is looked through where it is polled.",
    defaults.source.pollInterval
  ),
  rescan: key(interval, "How often the source is looked through to find what events missed.", defaults.source.rescan),
  after: key(after, "What happens to a file when all its targets have it.", defaults.source.after)
}).annotations({ title: "a source: a map with path" })
export type SourceEntry = typeof SourceEntry.Type

const sources = Schema.Union(
  text("a directory"),
  SourceEntry,
  list(
    Schema.Union(text("a directory"), SourceEntry).annotations({ title: "a directory, or a map with path" }),
    "a list of directories",
    1
  )
).annotations({ title: "a directory, a map with path, or a list of these" })

const retry = Schema.Struct({
  attempts: key(
    integer(1, 1_000_000),
    "How often a delivery is tried before it is given up.",
    defaults.target.retry.attempts
  ),
  base: key(duration(), "How long the first wait is.", defaults.target.retry.base),
  factor: key(factor, "By how much each wait is longer than the one before.", defaults.target.retry.factor),
  cap: key(duration(), "How long a wait is at most.", defaults.target.retry.cap)
}).annotations({ title: "a map of attempts, base, factor, cap" })

const options = {
  conflict: key(
    Conflict.annotations({ title: `one of ${Conflict.literals.join(", ")}` }),
    "What to do where a file of that name is there already. http and https can only overwrite; ftp can overwrite, skip, rename and fail.",
    defaults.target.conflict
  ),
  retry: key(retry, "How a failed delivery is tried again."),
  concurrency: key(
    integer(1, 1024),
    "How many deliveries to one server, or one file system, are under way at once.",
    defaults.target.concurrency
  ),
  timeout: key(positiveDuration, "How long an attempt may go without progress.", defaults.target.timeout),
  fieldname: key(text("the name of a form field"), "http: the multipart field of the file.", defaults.target.fieldname),
  upload: key(
    oneOf("multipart", "raw"),
    "http: whether the file is one part of a form, or the bare body.",
    defaults.target.upload
  ),
  method: key(anyCase(["POST", "PUT", "PATCH"]), "http: the method. By default POST for multipart, PUT for raw."),
  secure: key(
    oneOf("none", "explicit", "implicit"),
    "ftp: how the connection is secured. By default none for ftp:// and implicit for ftps://."
  )
}

const targetText = text("a directory or a URL, such as ftp://user:password@host/path").annotations({
  examples: ["./outbox", "ftp://user:password@ftp.example.org/videos", "https://example.org/upload"]
})

export const TargetEntry = Schema.Struct({ path: targetText, ...options }).annotations({
  title: "a target: a map with path"
})
export type TargetEntry = typeof TargetEntry.Type

export const FolderEntry = Schema.Struct({
  name: key(text("a name"), "What the log calls it; by default the last part of its path."),
  path: key(targetText, "Where the files go: a directory, or a file, http, https, ftp or ftps URL."),
  paths: key(
    list(
      Schema.Union(targetText, TargetEntry).annotations({ title: "a directory, a URL, or a map with path" }),
      "a list of directories and URLs",
      1
    ),
    "Several places, each of which gets every file; as maps, with options of their own."
  ),
  extensions: key(
    list(extension, "a list of extensions, such as [pdf, tar.gz]", 1),
    "The files that go there, by the end of their name, in any case. Without it: all files."
  ),
  ...options
}).annotations({ title: "a folder: a map with path" })
export type FolderEntry = typeof FolderEntry.Type

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
    description: "Where files go. Every folder that matches gets the file."
  }),
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

/** What a schema expects, in words: its title, or its own description of itself. */
export const expectedOf = (ast: SchemaAST.AST): string =>
  Option.getOrElse(SchemaAST.getTitleAnnotation(ast), () => String(ast))
