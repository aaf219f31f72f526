/**
 * The HTTP API as a definition only: the server, the derived client and the OpenAPI document all come from it, and it
 * imports nothing but the domain.
 */
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { Explanation } from "../domain/Explanation.ts"
import { LogEntry } from "../domain/LogEntry.ts"
import * as Wire from "./ApiSchema.ts"

const page = HttpApiSchema.Text({ contentType: "text/html" })

const logs = HttpApiGroup.make("logs")
  .add(
    HttpApiEndpoint.get("list", "/logs")
      .setUrlParams(Wire.LogsParams)
      .addSuccess(Wire.LogEntries)
      .annotate(OpenApi.Summary, "The log, filtered and ordered")
      .annotate(
        OpenApi.Description,
        "Filters must all match; dates are whole days in UTC. The newest entries come first unless `ordering` says otherwise. The header X-Total-Count has the number of all that match, and Link the next page."
      )
  )
  .add(
    HttpApiEndpoint.post("create", "/logs")
      .setPayload(Wire.NewLogEntry)
      .addSuccess(LogEntry, { status: 201 })
      .addError(Wire.ConflictBody)
      .annotate(OpenApi.Summary, "Store an entry")
  )
  .add(
    HttpApiEndpoint.get("export", "/logs/export")
      .setUrlParams(Wire.ExportParams)
      .addSuccess(HttpApiSchema.Text({ contentType: "text/csv; charset=utf-8" }))
      .annotate(OpenApi.Summary, "All entries that match, as CSV or as a JSON array, as a file to keep")
  )
  .add(
    HttpApiEndpoint.get("get", "/logs/:id")
      .setPath(Wire.LogPath)
      .addSuccess(LogEntry)
      .addError(Wire.NotFoundBody)
      .annotate(OpenApi.Summary, "One entry")
  )
  .add(
    HttpApiEndpoint.del("remove", "/logs/:id")
      .setPath(Wire.LogPath)
      .addSuccess(HttpApiSchema.NoContent)
      .addError(Wire.NotFoundBody)
      .annotate(OpenApi.Summary, "Remove an entry")
  )
  .add(
    HttpApiEndpoint.get("stats", "/stats")
      .setUrlParams(Wire.StatsParams)
      .addSuccess(Wire.Stats)
      .annotate(OpenApi.Summary, "Files and bytes by day, week or month, status, destination and protocol")
  )
  .add(
    HttpApiEndpoint.get("folderStats", "/stats/folders")
      .setUrlParams(Wire.StatsParams)
      .addSuccess(Wire.FolderStats)
      .annotate(OpenApi.Summary, "Files and bytes by day, week or month, status and folder")
  )
  .add(
    HttpApiEndpoint.get("extensionStats", "/stats/extensions")
      .setUrlParams(Wire.StatsParams)
      .addSuccess(Wire.ExtensionStats)
      .annotate(OpenApi.Summary, "Files and bytes by day, week or month, status and extension")
  )
  .add(
    HttpApiEndpoint.get("timeStats", "/stats/times")
      .setUrlParams(Wire.StatsParams)
      .addSuccess(Wire.TimeStats)
      .annotate(OpenApi.Summary, "How long deliveries took by day, week or month: the median and the 95th percentile")
  )
  .prefix("/api/v1")

const deliveries = HttpApiGroup.make("deliveries")
  .add(
    HttpApiEndpoint.get("list", "/deliveries")
      .setUrlParams(Wire.DeliveriesParams)
      .addSuccess(Schema.Array(Wire.DeliveryView))
      .annotate(OpenApi.Summary, "What is in the journal, newest first")
      .annotate(OpenApi.Description, "The header Link has the next page.")
  )
  .add(
    HttpApiEndpoint.get("get", "/deliveries/:id")
      .setPath(Wire.DeliveryPath)
      .addSuccess(Wire.DeliveryWithAttempts)
      .addError(Wire.NotFoundBody)
      .annotate(OpenApi.Summary, "One delivery, with its attempts")
  )
  .add(
    HttpApiEndpoint.post("retryAll", "/deliveries/retry")
      .setUrlParams(Wire.RetryAllParams)
      .addSuccess(Wire.Replayed)
      .annotate(OpenApi.Summary, "Try everything again that was given up: dead, ambiguous, skipped or cancelled")
      .annotate(OpenApi.Description, "With `reroute` the files go where today's config sends them.")
  )
  .add(
    HttpApiEndpoint.post("retry", "/deliveries/:id/retry")
      .setPath(Wire.DeliveryPath)
      .setUrlParams(Wire.RetryParams)
      .addSuccess(Wire.DeliveryView)
      .addError(Wire.NotFoundBody)
      .addError(Wire.ConflictBody)
      .annotate(OpenApi.Summary, "Try a delivery again that was given up: dead, ambiguous, skipped or cancelled")
      .annotate(
        OpenApi.Description,
        "With `reroute` its file goes where today's config sends it: what was given up of it is cancelled, and the answer is the new delivery, or the first of them."
      )
  )
  .add(
    HttpApiEndpoint.post("cancel", "/deliveries/:id/cancel")
      .setPath(Wire.DeliveryPath)
      .addSuccess(Wire.DeliveryView)
      .addError(Wire.NotFoundBody)
      .addError(Wire.ConflictBody)
      .annotate(OpenApi.Summary, "Give a delivery up that is not under way")
  )
  .prefix("/api/v1")

const undoAbout =
  "Refused where something else is at its old place, or where the file has changed or is gone since. It is left alone there until it changes, or its delivery is retried. With `dry_run` nothing is changed."

const undo = HttpApiGroup.make("undo")
  .add(
    HttpApiEndpoint.post("last", "/deliveries/undo")
      .setUrlParams(Wire.UndoLastParams)
      .addSuccess(Schema.Array(Wire.Undone))
      .annotate(OpenApi.Summary, "Put the files back that were moved, archived or deleted last")
      .annotate(OpenApi.Description, "Each is answered by itself, those that were refused, too.")
  )
  .add(
    HttpApiEndpoint.post("delivery", "/deliveries/:id/undo")
      .setPath(Wire.DeliveryPath)
      .setUrlParams(Wire.UndoParams)
      .addSuccess(Wire.Undone)
      .addError(Wire.NotFoundBody)
      .addError(Wire.ConflictBody)
      .annotate(OpenApi.Summary, "Put the file of a delivery back in its source")
      .annotate(OpenApi.Description, undoAbout)
  )
  .add(
    HttpApiEndpoint.post("log", "/logs/:id/undo")
      .setPath(Wire.LogPath)
      .setUrlParams(Wire.UndoParams)
      .addSuccess(Wire.Undone)
      .addError(Wire.NotFoundBody)
      .addError(Wire.ConflictBody)
      .annotate(OpenApi.Summary, "Put the file of a log entry back in its source")
      .annotate(OpenApi.Description, undoAbout)
  )
  .prefix("/api/v1")

const health = HttpApiGroup.make("health")
  .add(
    HttpApiEndpoint.get("sources", "/sources")
      .addSuccess(Schema.Array(Wire.SourceView))
      .annotate(OpenApi.Summary, "The watched directories and how they are")
  )
  .add(
    HttpApiEndpoint.get("destinations", "/destinations")
      .addSuccess(Schema.Array(Wire.DestinationView))
      .annotate(OpenApi.Summary, "The lanes, how they are, and what waits there")
  )
  .add(
    HttpApiEndpoint.post("pauseSource", "/sources/pause")
      .setUrlParams(Wire.SourceParams)
      .addSuccess(Wire.SourceView)
      .addError(Wire.NotFoundBody)
      .annotate(OpenApi.Summary, "Accept no new files of a source until it is resumed, over restarts too")
      .annotate(OpenApi.Description, "What was accepted goes on. What comes meanwhile is accepted once it is resumed.")
  )
  .add(
    HttpApiEndpoint.post("resumeSource", "/sources/resume")
      .setUrlParams(Wire.SourceParams)
      .addSuccess(Wire.SourceView)
      .addError(Wire.NotFoundBody)
      .annotate(OpenApi.Summary, "Accept the files of a source again")
  )
  .add(
    HttpApiEndpoint.post("pauseDestination", "/destinations/pause")
      .setUrlParams(Wire.LaneParams)
      .addSuccess(Wire.DestinationView)
      .addError(Wire.NotFoundBody)
      .annotate(OpenApi.Summary, "Send nothing new to a destination until it is resumed, over restarts too")
      .annotate(OpenApi.Description, "What is under way is finished.")
  )
  .add(
    HttpApiEndpoint.post("resumeDestination", "/destinations/resume")
      .setUrlParams(Wire.LaneParams)
      .addSuccess(Wire.DestinationView)
      .addError(Wire.NotFoundBody)
      .annotate(OpenApi.Summary, "Send to a destination again")
  )
  .add(
    HttpApiEndpoint.get("now", "/now")
      .addSuccess(Wire.Now)
      .annotate(OpenApi.Summary, "Sources, destinations and the flow between them, at this moment")
  )
  .add(
    HttpApiEndpoint.get("live", "/live")
      .addSuccess(HttpApiSchema.Text({ contentType: "text/event-stream" }))
      .annotate(
        OpenApi.Summary,
        "The same as server-sent events named `now`: at once, and then whenever it has changed, once a second at most"
      )
  )
  .add(
    HttpApiEndpoint.get("events", "/events")
      .addSuccess(HttpApiSchema.Text({ contentType: "text/event-stream" }))
      .annotate(OpenApi.Summary, "Deliveries as they change, as server-sent events named `delivery`")
  )
  .prefix("/api/v1")

const config = HttpApiGroup.make("config")
  .add(
    HttpApiEndpoint.get("status", "/status")
      .addSuccess(Wire.Status)
      .annotate(OpenApi.Summary, "The config in force, and why the file as it is now is not, if so")
  )
  .add(
    HttpApiEndpoint.get("config", "/config")
      .addSuccess(Wire.ConfigView)
      .annotate(OpenApi.Summary, "The config file that is in force, without its secrets")
  )
  .add(
    HttpApiEndpoint.post("reload", "/reload")
      .addSuccess(Wire.Reloaded)
      .addError(Wire.ConflictBody)
      .annotate(OpenApi.Summary, "Load the config file again; with a problem in it, the old config stays")
  )
  .prefix("/api/v1")

const routing = HttpApiGroup.make("routing")
  .add(
    HttpApiEndpoint.post("explain", "/explain")
      .setPayload(Wire.FileToExplain)
      .addSuccess(Schema.Array(Explanation))
      .addError(Wire.NotFoundBody)
      .annotate(OpenApi.Summary, "Where a file goes, and why: one explanation for each source that it is in")
      .annotate(
        OpenApi.Description,
        "A file that is there is read where a rule asks for it; of one that is not, it is said what can be said of its name."
      )
  )
  .add(
    HttpApiEndpoint.get("explainLog", "/logs/:id/explain")
      .setPath(Wire.LogPath)
      .addSuccess(Explanation)
      .addError(Wire.NotFoundBody)
      .annotate(OpenApi.Summary, "Why the file of a log entry went where it went: by the rules of when it was accepted")
  )
  .prefix("/api/v1")

const schema = HttpApiGroup.make("schema")
  .add(HttpApiEndpoint.get("page", "/schema").addSuccess(page).annotate(OpenApi.Summary, "This page"))
  .add(
    HttpApiEndpoint.get("spec", "/schema/spec")
      .addSuccess(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
      .annotate(OpenApi.Summary, "The API as an OpenAPI 3.1 document")
  )
  .prefix("/api/v1")

const system = HttpApiGroup.make("system", { topLevel: true })
  .add(HttpApiEndpoint.get("home", "/").addSuccess(page).annotate(OpenApi.Summary, "The dashboard"))
  .add(
    HttpApiEndpoint.get("asset", "/dashboard/:file")
      .setPath(Wire.AssetPath)
      .addSuccess(HttpApiSchema.Text({ contentType: "text/javascript" }))
      .addError(Wire.NotFoundBody)
      .annotate(OpenApi.Summary, "What the dashboard is made of")
  )
  .add(
    HttpApiEndpoint.get("healthz", "/healthz")
      .addSuccess(Wire.Health)
      .annotate(OpenApi.Summary, "Whether the process lives")
  )
  .add(
    HttpApiEndpoint.get("readyz", "/readyz")
      .addSuccess(Wire.Health)
      .addError(Wire.NotReadyBody)
      .annotate(OpenApi.Summary, "Whether every source has been scanned and all is at work")
  )
  .add(
    HttpApiEndpoint.get("metrics", "/metrics")
      .addSuccess(HttpApiSchema.Text({ contentType: "text/plain; version=0.0.4; charset=utf-8" }))
      .annotate(OpenApi.Summary, "Figures for Prometheus")
  )

/** Every error has a JSON body with `detail`. */
const plainErrors = (spec: Record<string, unknown>): Record<string, unknown> => {
  const replace = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(replace)
    if (typeof value !== "object" || value === null) return value
    if ("$ref" in value && value.$ref === "#/components/schemas/HttpApiDecodeError") {
      return { $ref: "#/components/schemas/Error" }
    }
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, replace(inner)]))
  }
  const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null
  const replaced = replace(spec)
  if (!isRecord(replaced)) return spec
  if (isRecord(replaced["components"]) && isRecord(replaced["components"]["schemas"])) {
    delete replaced["components"]["schemas"]["HttpApiDecodeError"]
    delete replaced["components"]["schemas"]["Issue"]
    delete replaced["components"]["schemas"]["PropertyKey"]
  }
  return replaced
}

export class Api extends HttpApi.make("filedispatch")
  .add(logs)
  .add(deliveries)
  .add(undo)
  .add(health)
  .add(config)
  .add(routing)
  .add(schema)
  .add(system)
  .addError(Wire.BadRequestBody)
  .addError(Wire.UnauthorizedBody)
  .addError(Wire.FailedBody)
  .annotate(OpenApi.Title, "filedispatch")
  .annotate(
    OpenApi.Description,
    "Watches directories and dispatches every file that arrives to where it belongs. On loopback no token is needed; elsewhere send `Authorization: Bearer <token>`. Errors are JSON with a `detail`."
  )
  .annotate(OpenApi.Version, "1")
  .annotate(OpenApi.Transform, plainErrors) {}
