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
import type { Socket } from "node:net"
import type { ConnectionOptions } from "node:tls"
import { Clock, Effect, type Layer, Option, Redacted } from "effect"
import { Agent, buildConnector } from "undici"
import type { Receipt } from "../../domain/Delivery.ts"
import {
  AmbiguousError,
  LaneDownError,
  PermanentError,
  TransientError,
  type DeliveryError
} from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { location, type Target } from "../../domain/Target.ts"
import * as Destination from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import { contentType } from "./contentType.ts"
import { isCut, isInsecure, isUnreachable, lastWords } from "./network.ts"

export interface Options {
  /** Sent as `User-Agent: filedispatch/<version>`. */
  readonly version?: string
  /** For `https`: a private certificate authority, a client certificate. */
  readonly tls?: Pick<ConnectionOptions, "ca" | "cert" | "key" | "passphrase">
}

export const make = (options: Options = {}): Effect.Effect<Destination.Destination> =>
  Effect.succeed({
    schemes: ["http", "https"],
    protocol: "http",
    worker: "HTTP worker",
    conflicts: ["overwrite"],
    open: () =>
      Effect.map(openAgents(options), (agentFor) => ({
        deliver: (task) => deliver(agentFor, options, task),
        // What was received under a name cannot be asked of an HTTP server in general: it is sent again.
        recover: () => Effect.succeed(Option.none())
      }))
  })

export const layer = (options: Options = {}): Layer.Layer<never, never, Destination.Destinations> =>
  Destination.layer(make(options))

/** Agents by timeout, which undici fixes when it connects; as a rule all targets of a lane have the same. */
const openAgents = (options: Options) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Map<number, Agent>()),
      (agents) => Effect.promise(() => Promise.all(Array.from(agents.values(), (agent) => agent.destroy())))
    ),
    (agents) =>
      (timeout: number): Agent => {
        const known = agents.get(timeout)
        if (known !== undefined) return known
        const agent = new Agent({
          connect: connector(timeout, options.tls),
          headersTimeout: timeout,
          bodyTimeout: timeout,
          pipelining: 1,
          // Shorter than any common server's: a POST on a connection that the server is just closing is ambiguous.
          keepAliveTimeout: 1000,
          keepAliveMaxTimeout: 1000
        })
        agents.set(timeout, agent)
        return agent
      }
  )

const deliver = Effect.fn("Http.deliver")(function* (
  agentFor: (timeout: number) => Agent,
  options: Options,
  task: Destination.Task
): Effect.fn.Return<Receipt, DeliveryError> {
  const { generation, name, target } = task.delivery
  const plan = yield* planOf(task)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const reader = yield* SourceReader.open(generation)
      let began = false
      const body = reader.stream({
        ...plan.frame,
        progress: (bytes) => {
          began = true
          task.progress(bytes)
        }
      })
      const frame = (plan.frame.before?.byteLength ?? 0) + (plan.frame.after?.byteLength ?? 0)
      const answer = yield* Effect.tryPromise({
        try: async (signal) => {
          const response = await agentFor(target.options.timeout).request({
            origin: originOf(target),
            path: plan.path,
            method: plan.method,
            headers: {
              ...plan.headers,
              ...authorization(task),
              "content-length": String(reader.size + frame),
              "idempotency-key": task.idempotencyKey,
              "user-agent": options.version === undefined ? "filedispatch" : `filedispatch/${options.version}`
            },
            body,
            signal,
            headersTimeout: target.options.timeout,
            bodyTimeout: target.options.timeout
          })
          // The status is the answer; its text only has to be out of the way.
          await response.body.dump({ limit: 64 * 1024, signal }).catch(() => undefined)
          return response
        },
        catch: (error) =>
          Option.getOrElse(reader.failure(), () =>
            sendError(task, plan.method, error, { began, complete: reader.complete() })
          )
      })
      const said = `${answer.statusCode} ${answer.statusText}`.trim()
      if (answer.statusCode < 200 || answer.statusCode > 299) {
        return yield* statusError(task, answer.statusCode, said, {
          retryAfter: first(answer.headers["retry-after"]),
          location: first(answer.headers["location"])
        })
      }
      if (!reader.complete()) {
        return yield* new TransientError({
          reason: `${placeOf(task)} answered ${said} before it had the whole file.`,
          cause: Option.none()
        })
      }
      // One consistent state of the file went out; what became of it since is the next generation's matter.
      const sent = yield* reader.sent
      return { bytes: sent.bytes, sha256: sent.sha256, said, verified: "status" as const, name }
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
  const query = Option.match(task.secrets.query, { onNone: () => "", onSome: (value) => Redacted.value(value) })
  // A URL's query is encoded already; this only keeps what a request line can't carry from ending it.
  const path = (value: string) => `${value}${query.replace(/[^\x21-\x7e]/gu, (char) => encodeURIComponent(char))}`
  const type = contentType(name)
  const root = `/${target.path.replace(/^\/+/, "")}`.split("/").map(encodeSegment).join("/")
  const segments = name.split("/")
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) {
    return refuse(task, "its name has an empty part, . or ..")
  }
  if (target.options.upload === "raw") {
    return Effect.succeed({
      method: target.options.method ?? "PUT",
      path: path(`${root.endsWith("/") ? root : `${root}/`}${segments.map(encodeSegment).join("/")}`),
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

const encodeSegment = (segment: string): string =>
  RelPath.isText(segment)
    ? encodeURIComponent(segment)
    : Array.from(RelPath.toBytes(segment), (byte) =>
        /[A-Za-z0-9._~-]/.test(String.fromCharCode(byte))
          ? String.fromCharCode(byte)
          : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
      ).join("")

const originOf = (target: Target): string => {
  const host = target.host.includes(":") && !target.host.startsWith("[") ? `[${target.host}]` : target.host
  return `${target.scheme}://${host}${target.port === null ? "" : `:${target.port}`}`
}

const authorization = (task: Destination.Task): { readonly authorization?: string } => {
  const username = task.delivery.target.username
  if (username === null) return {}
  const password = Option.match(task.secrets.password, { onNone: () => "", onSome: (value) => Redacted.value(value) })
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}` }
}

const placeOf = (task: Destination.Task): string => RelPath.display(location(task.delivery.target, task.delivery.name))

const first = (header: string | Array<string> | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header

/** What follows from an answer that is not a success. */
const statusError = (
  task: Destination.Task,
  status: number,
  said: string,
  headers: { readonly retryAfter: string | undefined; readonly location: string | undefined }
): Effect.Effect<never, DeliveryError> =>
  Effect.gen(function* () {
    const cause = Option.none()
    const answered = `${task.delivery.target.url} answered ${RelPath.display(said)}`
    const retryAfter = retryAfterMillis(headers.retryAfter, yield* Clock.currentTimeMillis)
    const wait = retryAfter === undefined ? {} : { retryAfter }
    if (status === 401 || status === 403 || status === 407) {
      const reason = `${answered}. Check the user and the password in the target's URL, and what they may do there.`
      return yield* new LaneDownError({ reason, cause, ...wait })
    }
    if (status === 507) {
      return yield* new LaneDownError({ reason: `${answered}: it has no room left. Make room there.`, cause, ...wait })
    }
    if (status >= 300 && status < 400) {
      const where = headers.location === undefined ? "elsewhere" : `to ${safeLocation(task, headers.location)}`
      const reason = `${answered}, which redirects ${where}. Redirects are not followed: put that URL into the config if it is the right one.`
      return yield* new PermanentError({ reason, cause })
    }
    if (transient.has(status) || (status >= 500 && status !== 501 && status !== 505)) {
      return yield* new TransientError({ reason: `${answered}.`, cause, ...wait })
    }
    const file = SourceReader.describe(task.delivery.generation)
    return yield* new PermanentError({ reason: `${answered} to ${file}. ${advice.get(status) ?? general}`, cause })
  })

const transient = new Set([408, 425, 429, 500, 502, 503, 504])

const general = "The server refuses it as it is; its own log may say why."
const advice = new Map([
  [404, "There is nothing at that path: check the target's URL."],
  [405, "It does not take this method there: check `upload` and `method`."],
  [409, "It conflicts with what is there; for a `raw` upload, the folder may be missing."],
  [410, "There is nothing at that path any more: check the target's URL."],
  [413, "The file is too large for it: raise the server's limit, or keep such files from this route."],
  [415, "It does not take this type of file: check `upload` and the route's extensions."],
  [422, "It does not accept the form: check `fieldname`."]
])

/** `Retry-After` in seconds or as a date, as milliseconds from now; nonsense is ignored, an age cut to an hour. */
export const retryAfterMillis = (header: string | undefined, now: number): number | undefined => {
  if (header === undefined) return undefined
  const text = header.trim()
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(wait, 0), 3_600_000)
}

/** A location without what may be secret in it. */
const safeLocation = (task: Destination.Task, value: string): string => {
  const base = `${originOf(task.delivery.target)}${task.delivery.target.path.startsWith("/") ? "" : "/"}`
  if (!URL.canParse(value, base)) return "a place that is not a URL"
  const url = new URL(value, base)
  return RelPath.display(`${url.protocol}//${url.host}${url.pathname}${url.search === "" ? "" : "?…"}`)
}

/** What follows from a request that got no answer. */
const sendError = (
  task: Destination.Task,
  method: Plan["method"],
  error: unknown,
  progress: { readonly began: boolean; readonly complete: boolean }
): DeliveryError => {
  const cause = Option.some(error)
  const url = task.delivery.target.url
  const code = SourceReader.codeOf(error)
  const because = `${error instanceof Error && error.message !== "" ? error.message : "no reason given"}${code === undefined ? "" : `, ${code}`}`
  if (!progress.began) {
    if (isInsecure(error)) {
      const reason = `${url}: no secure connection (${because}). Check the server's certificate, or name its authority in NODE_EXTRA_CA_CERTS.`
      return new LaneDownError({ reason, cause })
    }
    if (isUnreachable(error)) {
      const reason = `${url} can't be reached (${because}). Check host and port, and that the server is running.`
      return new LaneDownError({ reason, cause })
    }
    return new TransientError({ reason: `The connection to ${url} failed (${because}).`, cause })
  }
  if (progress.complete && method !== "PUT") {
    const reason = `${SourceReader.describe(task.delivery.generation)} was sent whole to ${url}, but no answer came (${because}). Look there whether it arrived; retry it if not.`
    return new AmbiguousError({ reason, cause })
  }
  const after = progress.complete ? "before it answered" : "before the whole file was sent"
  return new TransientError({ reason: `The connection to ${url} broke ${after} (${because}).`, cause })
}

const connector = (timeout: number, tls: Options["tls"]): buildConnector.connector => {
  const connect = buildConnector({ ...tls, timeout, allowH2: false })
  return (options, callback) =>
    connect(options, (...result) => {
      if (result[0] === null) readBeforeFailing(result[1])
      callback(...result)
    })
}

/**
 * A server that refuses an upload answers early and closes. The next write then fails with EPIPE, and node would throw
 * the socket away together with the answer that waits in it; so such a failure is held back until it can be read.
 */
const readBeforeFailing = (socket: Socket): void => {
  const late =
    (done: (error?: Error | null) => void) =>
    (error?: Error | null): void => {
      if (isCut(error)) setTimeout(() => done(error), lastWords).unref()
      else done(error)
    }
  const write = socket._write.bind(socket)
  socket._write = (chunk, encoding, done) => write(chunk, encoding, late(done))
  const writev = socket._writev?.bind(socket)
  if (writev !== undefined) socket._writev = (chunks, done) => writev(chunks, late(done))
}
