/**
 * One request and its answer, as the destinations over HTTP need them: agents per lane, bodies streamed from the
 * source, and what every outcome means for the delivery.
 *
 * No redirect is followed here. Time-outs are of progress: a connection, a stalled body and a missing answer each get
 * the target's `timeout`.
 */
import { Buffer } from "node:buffer"
import { readFile } from "node:fs/promises"
import type { Socket } from "node:net"
import type { Readable } from "node:stream"
import type { ConnectionOptions } from "node:tls"
import { Clock, Effect, Option, Redacted, type Scope } from "effect"
import { Agent, buildConnector } from "undici"
import {
  AmbiguousError,
  LaneDownError,
  PermanentError,
  TransientError,
  type DeliveryError
} from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Secrets } from "../../domain/Settings.ts"
import type { Target } from "../../domain/Target.ts"
import { codeOf, type SourceReader } from "../SourceReader.ts"
import { isCut, isInsecure, isUnreachable, lastWords } from "./network.ts"

export interface Options {
  /** Sent as `User-Agent: filedispatch/<version>`. */
  readonly version?: string
  /** Beside the target's own `ca`: a private certificate authority, a client certificate. */
  readonly tls?: Pick<ConnectionOptions, "ca" | "cert" | "key" | "passphrase">
}

export interface Request {
  readonly target: Target
  readonly secrets: Secrets
  readonly method: string
  /** The request target: path and query, encoded. */
  readonly path: string
  /** By default that of the target. */
  readonly origin?: string
  /** Names in lower case. They win over those of the config. */
  readonly headers?: Readonly<Record<string, string>>
  /** Whether user, password, token and headers of the config are left out: the request is authorised otherwise. */
  readonly bare?: boolean
  readonly body?: Readable | Uint8Array
  /** Whose stream the body is. Why that failed comes before what the connection made of it. */
  readonly reader?: SourceReader
  /** The file that it is about, for messages. */
  readonly file?: string
  /** Whether it may be sent again where no answer came. */
  readonly idempotent: boolean
  /** Gets the answer's body where that is 2xx; else 1 MiB of it at most is kept in {@link Answer}. */
  readonly receive?: (chunk: Uint8Array) => void
}

export interface Answer {
  readonly status: number
  /** For the receipt and for messages: "201 Created". */
  readonly said: string
  readonly header: (name: string) => string | undefined
  readonly body: Uint8Array
}

export interface Exchange {
  /** Any answer is a success here; see {@link refused}. What failed on the way is a {@link DeliveryError}. */
  readonly send: (request: Request) => Effect.Effect<Answer, DeliveryError>
}

/** The agents are closed with the scope. */
export const make = (options: Options = {}): Effect.Effect<Exchange, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Map<string, Agent>()),
      (agents) => Effect.promise(() => Promise.all(Array.from(agents.values(), (agent) => agent.destroy())))
    ),
    (agents) => ({
      send: (request) => Effect.flatMap(agentFor(agents, options, request.target), exchange(options, request))
    })
  )

/** By time-out, which undici fixes when it connects, and authority; as a rule all targets of a lane have the same. */
const agentFor = (
  agents: Map<string, Agent>,
  options: Options,
  target: Target
): Effect.Effect<Agent, LaneDownError> => {
  const { ca, timeout } = target.options
  const key = `${timeout} ${ca ?? ""}`
  const known = agents.get(key)
  if (known !== undefined) return Effect.succeed(known)
  return Effect.map(authority(target), (own) => {
    const there = agents.get(key)
    if (there !== undefined) return there
    const agent = new Agent({
      connect: connector(timeout, { ...options.tls, ...own }),
      headersTimeout: timeout,
      bodyTimeout: timeout,
      pipelining: 1,
      // Shorter than any common server's: a POST on a connection that the server is just closing is ambiguous.
      keepAliveTimeout: 1000,
      keepAliveMaxTimeout: 1000
    })
    agents.set(key, agent)
    return agent
  })
}

/** The target's own certificate authority, for TLS; empty where it has none. */
export const authority = (target: Target): Effect.Effect<{ readonly ca?: Buffer }, LaneDownError> => {
  const { ca } = target.options
  return ca === null
    ? Effect.succeed({})
    : Effect.tryPromise({
        try: async () => ({ ca: await readFile(ca) }),
        catch: (error) =>
          new LaneDownError({
            reason: `${target.url}: its certificate authority ${ca} can't be read (${codeOf(error) ?? "unknown error"}). Check \`ca\` in the config.`,
            cause: Option.some(error)
          })
      })
}

const exchange =
  (options: Options, request: Request) =>
  (agent: Agent): Effect.Effect<Answer, DeliveryError> => {
    const { reader, target } = request
    let began = false
    return Effect.tryPromise({
      try: async (signal) => {
        const response = await agent.request({
          origin: request.origin ?? originOf(target),
          path: request.path,
          method: request.method,
          headers: {
            ...(request.bare === true
              ? {}
              : { ...configured(request.secrets), ...authorization(target, request.secrets) }),
            "user-agent": options.version === undefined ? "filedispatch" : `filedispatch/${options.version}`,
            ...request.headers
          },
          body: request.body ?? null,
          signal,
          headersTimeout: target.options.timeout,
          bodyTimeout: target.options.timeout
        })
        began = true
        const { headers, statusCode: status } = response
        const kept: Array<Uint8Array> = []
        let size = 0
        const wanted = request.receive !== undefined && status >= 200 && status < 300
        try {
          for await (const chunk of response.body) {
            const bytes: Uint8Array = chunk
            if (wanted) request.receive?.(bytes)
            else if (size < maxKept) kept.push(bytes)
            size += bytes.byteLength
            if (!wanted && size >= maxKept) break
          }
        } catch (error) {
          // the status is the answer; its text only has to be out of the way, unless it is what was asked for
          if (wanted) throw error
        }
        return {
          status,
          said: `${status} ${response.statusText}`.trim(),
          header: (name) => first(headers[name]),
          body: Buffer.concat(kept)
        } satisfies Answer
      },
      catch: (error) =>
        Option.getOrElse(reader?.failure() ?? Option.none(), () =>
          sendError(request, error, {
            began: began || (reader?.begun() ?? false),
            complete: reader?.complete() ?? true
          })
        )
    })
  }

const maxKept = 1024 * 1024

/** `https://host:port` */
export const originOf = (target: Target): string => {
  const host = target.host.includes(":") && !target.host.startsWith("[") ? `[${target.host}]` : target.host
  return `${target.scheme}://${host}${target.port === null ? "" : `:${target.port}`}`
}

/** One part of a path, percent-encoded, whatever bytes it is made of. */
export const encodeSegment = (segment: string): string =>
  RelPath.isText(segment)
    ? encodeURIComponent(segment)
    : Array.from(RelPath.toBytes(segment), (byte) =>
        /[A-Za-z0-9._~-]/.test(String.fromCharCode(byte))
          ? String.fromCharCode(byte)
          : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
      ).join("")

/** A URL's query is encoded already; this only keeps what a request line can't carry from ending it. */
export const queryOf = (secrets: Secrets): string =>
  Option.match(secrets.query, { onNone: () => "", onSome: Redacted.value }).replace(/[^\x21-\x7e]/gu, (char) =>
    encodeURIComponent(char)
  )

const authorization = (target: Target, secrets: Secrets): { readonly authorization?: string } => {
  if (Option.isSome(secrets.token)) return { authorization: `Bearer ${Redacted.value(secrets.token.value)}` }
  if (target.username === null) return {}
  const password = Option.match(secrets.password, { onNone: () => "", onSome: Redacted.value })
  return { authorization: `Basic ${Buffer.from(`${target.username}:${password}`, "utf8").toString("base64")}` }
}

const configured = (secrets: Secrets): Record<string, string> =>
  Object.fromEntries(secrets.headers.map(([name, value]) => [name, Redacted.value(value)]))

const first = (header: string | Array<string> | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header

/** What follows from an answer that is not a success. */
export const refused = (
  request: Pick<Request, "target" | "file">,
  answer: Answer
): Effect.Effect<never, DeliveryError> =>
  Effect.gen(function* () {
    const cause = Option.none()
    const { status } = answer
    const answered = `${request.target.url} answered ${RelPath.display(answer.said)}`
    const retryAfter = retryAfterMillis(answer.header("retry-after"), yield* Clock.currentTimeMillis)
    const wait = retryAfter === undefined ? {} : { retryAfter }
    if (status === 401 || status === 403 || status === 407) {
      const reason = `${answered}. Check the user and the password in the target's URL, and what they may do there.`
      return yield* new LaneDownError({ reason, cause, ...wait })
    }
    if (status === 507) {
      return yield* new LaneDownError({ reason: `${answered}: it has no room left. Make room there.`, cause, ...wait })
    }
    if (status >= 300 && status < 400) {
      const location = answer.header("location")
      const where = location === undefined ? "elsewhere" : `to ${safeLocation(request.target, location)}`
      const reason = `${answered}, which redirects ${where}. Redirects are not followed: put that URL into the config if it is the right one.`
      return yield* new PermanentError({ reason, cause })
    }
    if (transient.has(status) || (status >= 500 && status !== 501 && status !== 505)) {
      return yield* new TransientError({ reason: `${answered}.`, cause, ...wait })
    }
    const about = request.file === undefined ? "" : ` to ${request.file}`
    return yield* new PermanentError({ reason: `${answered}${about}. ${advice.get(status) ?? general}`, cause })
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
const safeLocation = (target: Target, value: string): string => {
  const base = `${originOf(target)}${target.path.startsWith("/") ? "" : "/"}`
  if (!URL.canParse(value, base)) return "a place that is not a URL"
  const url = new URL(value, base)
  return RelPath.display(`${url.protocol}//${url.host}${url.pathname}${url.search === "" ? "" : "?…"}`)
}

/** What follows from a request that got no answer. */
const sendError = (
  request: Request,
  error: unknown,
  progress: { readonly began: boolean; readonly complete: boolean }
): DeliveryError => {
  const cause = Option.some(error)
  const { url } = request.target
  const code = codeOf(error)
  const because = `${error instanceof Error && error.message !== "" ? error.message : "no reason given"}${code === undefined ? "" : `, ${code}`}`
  if (!progress.began) {
    if (isInsecure(error)) {
      const reason = `${url}: no secure connection (${because}). Check the server's certificate, or name its authority in \`ca\`.`
      return new LaneDownError({ reason, cause })
    }
    if (isUnreachable(error)) {
      const reason = `${url} can't be reached (${because}). Check host and port, and that the server is running.`
      return new LaneDownError({ reason, cause })
    }
    return new TransientError({ reason: `The connection to ${url} failed (${because}).`, cause })
  }
  if (progress.complete && !request.idempotent) {
    const reason = `${request.file ?? "The file"} was sent whole to ${url}, but no answer came (${because}). Look there whether it arrived; retry it if not.`
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
