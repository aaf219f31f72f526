/**
 * `http` and `https`: one request per delivery, its body streamed from the file in constant memory.
 *
 * `upload: multipart` POSTs a form with one file part to the target's path; `upload: raw` PUTs the bare bytes to the
 * target's path with the file's own path below it. HTTP has no rename: whether a partial upload can be seen is up to
 * the server, but it always knows the full length beforehand, and a body that could not be completed is cut short of
 * it. No redirect is followed, because it would carry the file and the password to a place that nobody configured.
 *
 * A POST whose body went out whole and whose answer was lost is ambiguous: it carries an `Idempotency-Key`, but not
 * every server keeps it. A PUT may simply be sent again.
 */
import { Buffer } from "node:buffer"
import { randomUUID } from "node:crypto"
import { Effect, type Layer, Option } from "effect"
import type { Receipt } from "../../domain/Delivery.ts"
import { PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { location } from "../../domain/Target.ts"
import * as Destination from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import { contentType } from "./contentType.ts"
import * as Exchange from "./HttpExchange.ts"

export type Options = Exchange.Options

export const make = (options: Options = {}): Effect.Effect<Destination.Destination> =>
  Effect.succeed({
    schemes: ["http", "https"],
    protocol: "http",
    worker: "HTTP worker",
    conflicts: ["overwrite"],
    open: () =>
      Effect.map(Exchange.make(options), (exchange) => ({
        deliver: (task) => deliver(exchange, task),
        // What was received under a name cannot be asked of an HTTP server in general: it is sent again.
        recover: () => Effect.succeed(Option.none())
      }))
  })

export const layer = (options: Options = {}): Layer.Layer<never, never, Destination.Destinations> =>
  Destination.layer(make(options))

const deliver = Effect.fn("Http.deliver")(function* (
  { send }: Exchange.Exchange,
  task: Destination.Task
): Effect.fn.Return<Receipt, DeliveryError> {
  const { generation, name, target } = task.delivery
  const plan = yield* planOf(task)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const reader = yield* SourceReader.open(generation)
      const body = reader.stream({ ...plan.frame, progress: task.progress, pace: task.pace })
      const frame = (plan.frame.before?.byteLength ?? 0) + (plan.frame.after?.byteLength ?? 0)
      const request: Exchange.Request = {
        target,
        secrets: task.secrets,
        method: plan.method,
        path: plan.path,
        headers: {
          ...plan.headers,
          "content-length": String(reader.size + frame),
          "idempotency-key": task.idempotencyKey
        },
        body,
        reader,
        file: SourceReader.describe(generation),
        idempotent: plan.method === "PUT" || target.options.idempotency
      }
      const answer = yield* send(request)
      if (answer.status < 200 || answer.status > 299) return yield* Exchange.refused(request, answer)
      if (!reader.complete()) {
        return yield* new TransientError({
          reason: `${placeOf(task)} answered ${answer.said} before it had the whole file.`,
          cause: Option.none()
        })
      }
      // One consistent state of the file went out; what became of it since is the next generation's matter.
      const sent = yield* reader.sent
      return { bytes: sent.bytes, sha256: sent.sha256, said: answer.said, verified: "status" as const, name }
    })
  )
})

interface Plan {
  readonly method: "POST" | "PUT" | "PATCH"
  readonly path: string
  readonly headers: { readonly [name: string]: string }
  readonly frame: { readonly before?: Uint8Array; readonly after?: Uint8Array }
}

/** Where and how it is sent; fails before anything is sent. */
const planOf = (task: Destination.Task): Effect.Effect<Plan, PermanentError> => {
  const { name, target } = task.delivery
  const path = (value: string) => `${value}${Exchange.queryOf(task.secrets)}`
  const type = contentType(name)
  const root = `/${target.path.replace(/^\/+/, "")}`.split("/").map(Exchange.encodeSegment).join("/")
  const segments = name.split("/")
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) {
    return refuse(task, "its name has an empty part, . or ..")
  }
  if (target.options.upload === "raw") {
    return Effect.succeed({
      method: target.options.method ?? "PUT",
      path: path(`${root.endsWith("/") ? root : `${root}/`}${segments.map(Exchange.encodeSegment).join("/")}`),
      headers: { "content-type": type },
      frame: {}
    })
  }
  if (!RelPath.isText(name)) {
    return refuse(task, "its name is not UTF-8, which a form can't carry. Rename the file, or use `upload: raw`")
  }
  const boundary = `----filedispatch-${randomUUID()}`
  const before =
    `--${boundary}\r\n` +
    `Content-Disposition: form-data; name="${quoted(target.options.fieldname)}"; ` +
    `filename="${quoted(RelPath.basename(name))}"\r\n` +
    `Content-Type: ${type}\r\n\r\n`
  return Effect.succeed({
    method: target.options.method ?? "POST",
    path: path(root),
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
    frame: { before: Buffer.from(before), after: Buffer.from(`\r\n--${boundary}--\r\n`) }
  })
}

const refuse = (task: Destination.Task, why: string): Effect.Effect<never, PermanentError> =>
  Effect.fail(
    new PermanentError({
      reason: `${SourceReader.describe(task.delivery.generation)} can't be sent to ${task.delivery.target.url}: ${why}.`,
      cause: Option.none()
    })
  )

/** As browsers escape names in a form (WHATWG HTML, multipart/form-data encoding algorithm). */
const quoted = (value: string): string =>
  value.replace(/["\r\n]/g, (char) => (char === '"' ? "%22" : char === "\r" ? "%0D" : "%0A"))

const placeOf = (task: Destination.Task): string => RelPath.display(location(task.delivery.target, task.delivery.name))
