/**
 * What goes over the wire: parameters, bodies, answers and errors of the HTTP API.
 *
 * Parameters say themselves what they allow, so that a bad one is answered with its name, what was given, and what
 * would do.
 */
import { HttpApiSchema } from "@effect/platform"
import { Data, type ParseResult, Schema } from "effect"
import { DeliveryState, Verified } from "../domain/Delivery.ts"
import { Facts } from "../domain/Facts.ts"
import { LogEntry, LogStatus } from "../domain/LogEntry.ts"

/* Errors: `{ "detail": … }` with the status. */

export class BadRequest extends Data.TaggedError("BadRequest")<{ readonly detail: string }> {
  readonly status = 400
  override get message() {
    return this.detail
  }
}

export class Unauthorized extends Data.TaggedError("Unauthorized")<{ readonly detail: string }> {
  readonly status = 401
  override get message() {
    return this.detail
  }
}

export class NotFound extends Data.TaggedError("NotFound")<{ readonly detail: string }> {
  readonly status = 404
  override get message() {
    return this.detail
  }
}

export class Conflict extends Data.TaggedError("Conflict")<{ readonly detail: string }> {
  readonly status = 409
  override get message() {
    return this.detail
  }
}

export class Failed extends Data.TaggedError("Failed")<{ readonly detail: string }> {
  readonly status = 500
  override get message() {
    return this.detail
  }
}

export class NotReady extends Data.TaggedError("NotReady")<{ readonly detail: string }> {
  readonly status = 503
  override get message() {
    return this.detail
  }
}

/** The errors' body; what tells them apart is the status. */
export const Detail = Schema.Struct({ detail: Schema.String }).annotations({
  identifier: "Error",
  description: "What was wrong, and what to do"
})

const onWire = <A extends { readonly detail: string; readonly status: number }>(
  error: new (fields: { readonly detail: string }) => A,
  status: A["status"]
) =>
  Schema.transform(Detail, Schema.instanceOf(error), {
    strict: true,
    decode: ({ detail }) => new error({ detail }),
    encode: ({ detail }) => ({ detail })
  }).annotations(HttpApiSchema.annotations({ status }))

export const BadRequestBody = onWire(BadRequest, 400)
export const UnauthorizedBody = onWire(Unauthorized, 401)
export const NotFoundBody = onWire(NotFound, 404)
export const ConflictBody = onWire(Conflict, 409)
export const FailedBody = onWire(Failed, 500)
export const NotReadyBody = onWire(NotReady, 503)

/* Parameters */

const allow = (allowed: string) => ({
  description: allowed,
  message: (issue: ParseResult.ParseIssue) => ({
    message: `must be ${allowed}, and was ${JSON.stringify(issue.actual)}`,
    override: true
  })
})

/** One of these words, in any case. */
const word = <A extends string>(words: Schema.Literal<[A, ...Array<A>]>) =>
  Schema.compose(Schema.Uppercase, words, { strict: false }).annotations({
    ...allow(`one of ${words.literals.join(", ")}`),
    jsonSchema: { type: "string", enum: words.literals }
  })

const wholeNumber = (min: number, max: number) =>
  Schema.compose(Schema.NumberFromString, Schema.Int.pipe(Schema.between(min, max))).annotations({
    ...allow(`a whole number from ${min} to ${max}`),
    jsonSchema: { type: "integer", minimum: min, maximum: max }
  })

const isDate = (text: string): boolean => {
  const time = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00.000Z`) : Number.NaN
  // the parser takes the 31st of every month
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
}

const date = Schema.String.pipe(Schema.filter(isDate)).annotations({
  ...allow("a date, YYYY-MM-DD"),
  jsonSchema: { type: "string", format: "date" }
})

const text = Schema.String.annotations(allow("given once"))

const extension = Schema.transform(Schema.String, Schema.String, {
  strict: true,
  decode: (value) => value.toLowerCase().replace(/^\./, ""),
  encode: (value) => value
}).annotations({
  ...allow("given once"),
  description: "in any case, with or without its dot",
  jsonSchema: { type: "string" }
})

/** Left out, or given: an undefined that is given would be one more thing that is allowed. */
const optional = <S extends Schema.Schema.All>(schema: S) => Schema.optionalWith(schema, { exact: true })

const strict = { parseOptions: { errors: "all", onExcessProperty: "error" } } as const

const bytes = wholeNumber(0, Number.MAX_SAFE_INTEGER)

const limit = wholeNumber(1, 1000)

const search = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(255)).annotations({
  ...allow("a text of 1 to 255 characters"),
  description: "a part of the file's name, in any case"
})

/** What narrows the log down. */
const logFilter = {
  status: optional(word(LogStatus)),
  destination: optional(text),
  filename: optional(text),
  search: optional(search),
  route: optional(text),
  source: optional(text),
  extension: optional(extension),
  protocol: optional(text),
  byte_size: optional(bytes),
  byte_size__lte: optional(bytes),
  byte_size__gte: optional(bytes),
  created: optional(date),
  created__lte: optional(date),
  created__gte: optional(date),
  ordering: optional(
    Schema.Literal("created", "-created", "byte_size", "-byte_size").annotations(
      allow("one of created, -created, byte_size, -byte_size")
    )
  )
}

export const LogsParams = Schema.Struct({
  ...logFilter,
  total: optional(
    Schema.Literal("exact", "bounded").annotations({
      ...allow("one of exact, bounded"),
      description: "bounded: X-Total-Count ends at 10000, which then means that many or more; it is found sooner"
    })
  ),
  limit: optional(limit),
  cursor: optional(text)
}).annotations(strict)

export const ExportParams = Schema.Struct({
  ...logFilter,
  format: Schema.Literal("csv", "json").annotations(allow("one of csv, json"))
}).annotations(strict)

/** `from` and `to`: days in UTC, both of them included. */
export const StatsParams = Schema.Struct({
  interval: optional(Schema.Literal("day", "week", "month").annotations(allow("one of day, week, month"))),
  from: optional(date),
  to: optional(date)
}).annotations(strict)

/** Words separated by commas. */
const states = Schema.compose(
  Schema.split(","),
  Schema.Array(Schema.compose(Schema.Uppercase, DeliveryState, { strict: false })),
  { strict: false }
).annotations({
  ...allow(`one or more of ${DeliveryState.literals.join(", ")}, separated by commas`),
  jsonSchema: { type: "string" }
})

export const DeliveriesParams = Schema.Struct({
  state: optional(states),
  lane: optional(text),
  limit: optional(limit),
  cursor: optional(bytes)
}).annotations(strict)

export const LogPath = Schema.Struct({ id: Schema.UUID.annotations(allow("the id of a log entry, a UUID")) })

export const AssetPath = Schema.Struct({ file: text })

export const DeliveryPath = Schema.Struct({ id: wholeNumber(1, Number.MAX_SAFE_INTEGER) })

const reroute = optional(
  Schema.transformLiterals(["true", true], ["false", false]).annotations({
    ...allow("true or false"),
    description: "Whether it goes where today's config sends it, and not where it was to go.",
    jsonSchema: { type: "boolean" }
  })
)

export const RetryParams = Schema.Struct({ reroute }).annotations(strict)

export const RetryAllParams = Schema.Struct({
  reroute,
  lane: optional(text).annotations({ description: "only what goes to this destination" })
}).annotations(strict)

export const SourceParams = Schema.Struct({
  name: text.annotations({ description: "the name of a source" })
}).annotations(strict)

export const LaneParams = Schema.Struct({
  lane: text.annotations({ description: "a destination, as GET /destinations names its lane" })
}).annotations(strict)

const dryRun = optional(
  Schema.transformLiterals(["true", true], ["false", false]).annotations({
    ...allow("true or false"),
    description: "Whether it is only said what would be done.",
    jsonSchema: { type: "boolean" }
  })
)

export const UndoParams = Schema.Struct({ dry_run: dryRun }).annotations(strict)

export const UndoLastParams = Schema.Struct({
  last: wholeNumber(1, 1000).annotations({
    description: "how many files, of those that were taken away from their sources, newest first"
  }),
  dry_run: dryRun
}).annotations(strict)

/* Bodies */

const filled = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(8192)).annotations(
  allow("a text of 1 to 8192 characters")
)

const isoTime = Schema.String.pipe(
  Schema.filter((value) => /^\d{4}-\d{2}-\d{2}([T ]|$)/.test(value) && !Number.isNaN(Date.parse(value)))
).annotations(allow("a time in ISO 8601, such as 2026-01-31T12:00:00Z"))

const size = Schema.Int.pipe(Schema.between(0, Number.MAX_SAFE_INTEGER)).annotations(allow("a number of bytes"))

/** An entry to be stored: what is left out is worked out from the rest. */
export const NewLogEntry = Schema.Struct({
  id: optional(Schema.UUID.annotations(allow("a UUID"))),
  filename: filled,
  source: filled,
  destination: filled,
  extension: optional(Schema.String.pipe(Schema.maxLength(255))),
  worker: optional(filled),
  protocol: filled,
  status: word(LogStatus),
  size: optional(filled),
  byte_size: size,
  reason: optional(Schema.NullOr(filled)),
  created: optional(isoTime),
  file_created: optional(Schema.NullOr(isoTime)),
  file_modified: optional(Schema.NullOr(isoTime)),
  sha256: optional(Schema.NullOr(filled)),
  sent_size: optional(Schema.NullOr(size)),
  sent_sha256: optional(Schema.NullOr(filled)),
  verified: optional(Schema.NullOr(Verified)),
  route: optional(Schema.NullOr(filled)),
  attempts: optional(Schema.NullOr(size)),
  duration_ms: optional(Schema.NullOr(Schema.Number.pipe(Schema.nonNegative()))),
  delivery: optional(Schema.NullOr(size))
}).annotations({ ...strict, identifier: "NewLogEntry" })
export type NewLogEntry = typeof NewLogEntry.Type

/** A file to be explained: it need not exist. */
export const FileToExplain = Schema.Struct({
  file: filled.annotations({
    ...allow("a path of 1 to 8192 characters"),
    description:
      "An absolute path, or one below a source, as the log shows it. One that lies in no source is judged as if it lay in the first."
  }),
  source: optional(
    filled.annotations({ ...allow("the name of a source"), description: "Judge it as a file of this source." })
  )
}).annotations({ ...strict, identifier: "FileToExplain" })

/* Answers */

export const LogEntries = Schema.Array(LogEntry.annotations({ identifier: "LogEntry" }))

export const Stats = Schema.Array(
  Schema.Struct({
    start: Schema.String.annotations({ description: "the first day of the interval; weeks begin on Monday" }),
    status: LogStatus,
    destination: Schema.String,
    protocol: Schema.String,
    files: Schema.Number,
    bytes: Schema.Number
  }).annotations({ identifier: "StatsBucket" })
)

const start = Schema.String.annotations({ description: "the first day of the interval; weeks begin on Monday" })

export const FolderStats = Schema.Array(
  Schema.Struct({
    start,
    status: LogStatus,
    folder: Schema.String.annotations({ description: "the name of the config's folder; empty where none is known" }),
    files: Schema.Number,
    bytes: Schema.Number
  }).annotations({ identifier: "FolderStatsBucket" })
)

export const ExtensionStats = Schema.Array(
  Schema.Struct({
    start,
    status: LogStatus,
    extension: Schema.String.annotations({
      description: "in lower case and without its dot; empty for files without one; `*` for unusually long ones"
    }),
    files: Schema.Number,
    bytes: Schema.Number
  }).annotations({ identifier: "ExtensionStatsBucket" })
)

/** How long deliveries took, of those that succeeded; exact to a few per cent. */
export const TimeStats = Schema.Array(
  Schema.Struct({
    start,
    files: Schema.Number,
    median_ms: Schema.Number,
    p95_ms: Schema.Number.annotations({ description: "95 of 100 took no longer" })
  }).annotations({ identifier: "TimeStatsBucket" })
)

const time = Schema.String.annotations({ description: "ISO 8601, in UTC" })

const delivery = {
  id: Schema.Int,
  state: DeliveryState,
  /** The source's directory, and the file's path below it. */
  source: Schema.String,
  path: Schema.String,
  size: Schema.Number,
  modified: time,
  /** Where it goes, without secrets. */
  destination: Schema.String,
  route: Schema.String,
  lane: Schema.String,
  priority: Schema.Int.annotations({ description: "higher ones are sent first" }),
  facts: Schema.NullOr(Facts).annotations({
    description: "what was learnt of the file when it was routed; null where nothing was"
  }),
  attempts: Schema.Int,
  due: Schema.NullOr(time),
  reason: Schema.NullOr(Schema.String),
  receipt: Schema.NullOr(
    Schema.Struct({
      bytes: Schema.Number,
      sha256: Schema.NullOr(Schema.String),
      source_sha256: Schema.NullOr(Schema.String).annotations({
        description: "of the source file, where that was transformed on its way; null: `sha256` is its"
      }),
      said: Schema.String,
      verified: Verified,
      name: Schema.String
    })
  ),
  undone: optional(time).annotations({
    description: "when its file was put back in its source; left out where it was not"
  }),
  created: time,
  updated: time
}

export const DeliveryView = Schema.Struct(delivery).annotations({ identifier: "Delivery" })
export type DeliveryView = typeof DeliveryView.Type

export const DeliveryWithAttempts = Schema.Struct({
  ...delivery,
  /** The attempts that did not succeed, oldest first. */
  history: Schema.Array(
    Schema.Struct({
      number: Schema.Int,
      started: time,
      ended: time,
      outcome: DeliveryState,
      reason: Schema.String
    })
  )
}).annotations({ identifier: "DeliveryWithAttempts" })

export const Undone = Schema.Struct({
  delivery: Schema.NullOr(Schema.Int),
  deliveries: Schema.Array(Schema.Int).annotations({ description: "all deliveries of the file" }),
  undone: Schema.Boolean.annotations({ description: "whether it was put back, or would be" }),
  file: Schema.NullOr(Schema.String).annotations({ description: "the file, where it is again" }),
  from: Schema.NullOr(Schema.String).annotations({ description: "where it was" }),
  reason: Schema.NullOr(Schema.String).annotations({ description: "why it was not put back" }),
  notes: Schema.Array(Schema.String).annotations({
    description: "what else is to be known, such as what stays where it was delivered"
  })
}).annotations({ identifier: "Undone" })
export type Undone = typeof Undone.Type

export const Replayed = Schema.Struct({ replayed: Schema.Int }).annotations({ identifier: "Replayed" })

export const SourceView = Schema.Struct({
  name: Schema.String,
  path: Schema.String,
  health: Schema.Literal("starting", "events", "polling", "missing"),
  reason: Schema.NullOr(Schema.String),
  paused: Schema.NullOr(time).annotations({
    description: "since when nothing new is accepted, because somebody said so; null: it is not paused"
  }),
  settling: Schema.Number,
  /** Files that are quiet, and wait for their marker, for their age, or to be readable. */
  waiting: Schema.Number,
  last_scan: Schema.NullOr(time),
  /** When the system last told of a change. */
  last_event: Schema.NullOr(time),
  /** What proves that events come: that they named new files, or a change that was made to see whether it is told of. */
  proved: Schema.NullOr(Schema.Literal("events", "change")),
  /** Files that scans found since the start, and events should have told of; the least it can be. */
  missed: Schema.Number,
  accepted: Schema.Number,
  unmatched: Schema.Number
}).annotations({ identifier: "Source" })
export type SourceView = typeof SourceView.Type

export const DestinationView = Schema.Struct({
  lane: Schema.String,
  health: Schema.Literal("up", "down"),
  reason: Schema.NullOr(Schema.String),
  probe: Schema.NullOr(time),
  paused: Schema.NullOr(time).annotations({
    description: "since when nothing new is sent, because somebody said so; null: it is not paused"
  }),
  concurrency: Schema.Number,
  /** How many it has under way at once for now: fewer where the server takes no more. */
  limit: Schema.Number,
  queued: Schema.Number,
  sending: Schema.Array(
    Schema.Struct({
      delivery: Schema.Int,
      file: Schema.String,
      destination: Schema.String,
      size: Schema.Number,
      bytes: Schema.Number,
      started: time
    })
  ),
  delivered: Schema.Number,
  failed: Schema.Number,
  /** Of the files that were delivered since the start. */
  bytes: Schema.Number,
  last_error: Schema.NullOr(
    Schema.Struct({ time, file: Schema.String, reason: Schema.String, state: DeliveryState })
  ).annotations({ description: "the last attempt since the start that did not succeed, and why" }),
  /** Deliveries in the journal that are not delivered, by state. */
  waiting: Schema.Record({ key: Schema.String, value: Schema.Number })
}).annotations({ identifier: "Destination" })
export type DestinationView = typeof DestinationView.Type

const keys = Schema.Array(Schema.String)

const configStatus = {
  file: Schema.String,
  loaded: time,
  error: Schema.NullOr(Schema.String).annotations({
    description: "why the file as it is now is not in force, one line for each problem; null: it is"
  }),
  restart: keys.annotations({ description: "keys whose new values need a restart to take effect" })
}

export const Status = Schema.Struct({ config: Schema.Struct(configStatus) }).annotations({ identifier: "Status" })

/** A way that files can take by the config in force, and how many took it since the start. */
export const FlowView = Schema.Struct({
  source: Schema.String.annotations({ description: "its name" }),
  folder: Schema.String,
  lane: Schema.String,
  delivered: Schema.Number,
  failed: Schema.Number,
  bytes: Schema.Number
}).annotations({ identifier: "Flow" })
export type FlowView = typeof FlowView.Type

export const Now = Schema.Struct({
  time,
  version: Schema.String,
  /** When the program started. */
  started: time,
  /** How many deliveries were concluded since the start: where it grew, the log has new entries. */
  concluded: Schema.Number,
  sources: Schema.Array(SourceView),
  destinations: Schema.Array(DestinationView),
  flows: Schema.Array(FlowView),
  config: Schema.Struct(configStatus)
}).annotations({ identifier: "Now" })
export type Now = typeof Now.Type

export const ConfigView = Schema.Struct({
  ...configStatus,
  lines: Schema.Array(Schema.String).annotations({
    description: "the file as it was when it was loaded, line by line, with `***` in place of secrets"
  }),
  marks: Schema.Array(
    Schema.Struct({
      line: Schema.Int.annotations({ description: "counted from 1" }),
      what: Schema.Literal("source", "folder"),
      name: Schema.String
    })
  ).annotations({ description: "where the sources and the folders are in it" }),
  last_reload: Schema.NullOr(
    Schema.Struct({
      time,
      /** What asked for it. */
      why: Schema.String,
      applied: Schema.Array(Schema.String).annotations({ description: "what has changed, in words" }),
      error: Schema.NullOr(Schema.String)
    })
  ).annotations({ description: "null where the config was not loaded again since the start" })
}).annotations({ identifier: "Config" })
export type ConfigView = typeof ConfigView.Type

export const Reloaded = Schema.Struct({
  applied: Schema.Array(Schema.String).annotations({ description: "what has changed, in words" }),
  restart: keys.annotations({ description: "keys whose new values need a restart to take effect" })
}).annotations({ identifier: "Reloaded" })

export const Health = Schema.Struct({ status: Schema.String })
