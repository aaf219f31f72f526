/**
 * One request and its answer, as the destinations over HTTP need them: agents per lane, bodies streamed from the
 * source, and what every outcome means for the delivery.
 *
 * No redirect is followed here. Time-outs are of progress: a connection, a stalled body and a missing answer each get
 * the target's `timeout`.
 */
import { Buffer } from "node:buffer"
import { readFile } from "node:fs/promises"
import type { Agent } from "node:http"
import type { Readable } from "node:stream"
import { Clock, Effect, Option, Redacted, type Scope } from "effect"
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
import { Failure, makeAgent, send, start, type Answer, type Call, type Tls } from "./HttpWire.ts"
import { isInsecure, isUnreachable } from "./network.ts"

export type { Answer } from "./HttpWire.ts"

export interface Options {
  /** Sent as `User-Agent: filedispatch/<version>`. */
  readonly version?: string
  /** Beside the target's own `ca`: a private certificate authority, a client certificate. */
  readonly tls?: Tls
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
  /** Whose stream the body is. */
  readonly reader?: Pick<SourceReader, "begun" | "complete" | "failure">
  /** The file that it is about, for messages. */
  readonly file?: string
  /** Whether it may be sent again where no answer came. */
  readonly idempotent: boolean
  /** Gets the answer's body where that is 2xx; else 1 MiB of it at most is kept in {@link Answer}. */
  readonly receive?: (chunk: Uint8Array) => void
}

export interface Exchange {
  /** Any answer is a success here; see {@link refused}. What failed on the way is a {@link DeliveryError}. */
  readonly send: (request: Request) => Effect.Effect<Answer, DeliveryError>
  /**
   * The same without an effect, for many small requests. Rejects with a {@link DeliveryError}. `stop` ends it, after
   * which nothing is heard of it. Undefined: the agent has to be made first, which `send` does.
   */
  readonly begin: (request: Request) => Begun | undefined
}

export interface Begun {
  readonly answer: Promise<Answer>
  readonly stop: () => void
}

/** The agents are closed with the scope. */
export const make = (options: Options = {}): Effect.Effect<Exchange, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Map<string, Agent>()),
      (agents) => Effect.sync(() => agents.forEach((agent) => agent.destroy()))
    ),
    (agents) => ({
      send: (request) =>
        Effect.suspend(() => {
          const place = placeOf(request)
          return Effect.flatMap(agentFor(agents, options, request.target, place.secure), (agent) =>
            Effect.mapError(send(agent, callOf(options, request, place)), (failure) => errorOf(request, failure))
          )
        }),
      begin: (request) => {
        const place = placeOf(request)
        const agent = agents.get(agentKey(request.target, place.secure))
        if (agent === undefined) return undefined
        let stop = (): void => undefined
        const answer = new Promise<Answer>((resolve, reject) => {
          stop = start(agent, callOf(options, request, place), (result) =>
            result instanceof Failure ? reject(errorOf(request, result)) : resolve(result)
          )
        })
        return { answer, stop }
      }
    })
  )

/** Why its source failed comes before what the connection made of that. */
const errorOf = (request: Request, failure: Failure): DeliveryError =>
  Option.getOrElse(request.reader?.failure() ?? Option.none(), () => sendError(request, failure))

interface Place {
  readonly secure: boolean
  readonly host: string
  readonly port: number
}

const placeOf = ({ origin, target }: Request): Place => {
  if (origin === undefined) {
    const secure = secureSchemes.has(target.scheme)
    return { secure, host: target.host.replace(/^\[|\]$/g, ""), port: target.port ?? (secure ? 443 : 80) }
  }
  const url = new URL(origin)
  const secure = url.protocol === "https:"
  const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port)
  return { secure, host: url.hostname.replace(/^\[|\]$/g, ""), port }
}

const secureSchemes = new Set(["https", "webdavs"])

const agentKey = (target: Target, secure: boolean): string => (secure ? `tls ${target.options.ca ?? ""}` : "")

/** By authority; as a rule all targets of a lane have the same. */
const agentFor = (
  agents: Map<string, Agent>,
  options: Options,
  target: Target,
  secure: boolean
): Effect.Effect<Agent, LaneDownError> => {
  const key = agentKey(target, secure)
  const known = agents.get(key)
  if (known !== undefined) return Effect.succeed(known)
  return Effect.map(secure ? authority(target) : Effect.succeed({}), (own) => {
    const there = agents.get(key)
    if (there !== undefined) return there
    const agent = makeAgent(secure, { ...options.tls, ...own })
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

const callOf = (options: Options, request: Request, place: Place): Call => {
  const { body, secrets, target } = request
  const headers: Record<string, string> = {
    ...(request.bare === true ? {} : { ...configured(secrets), ...authorization(target, secrets) }),
    "user-agent": options.version === undefined ? "filedispatch" : `filedispatch/${options.version}`,
    ...request.headers
  }
  return {
    ...place,
    method: request.method,
    path: request.path,
    headers,
    body,
    timeout: target.options.timeout,
    expect: target.options.expect && body !== undefined && headers["content-length"] !== "0",
    receive: request.receive
  }
}

/** `https://host:port`; `webdav` and `webdavs` are spoken over these two. */
export const originOf = (target: Target): string => {
  const host = target.host.includes(":") && !target.host.startsWith("[") ? `[${target.host}]` : target.host
  return `${target.scheme.replace(/^webdav/, "http")}://${host}${target.port === null ? "" : `:${target.port}`}`
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
      return yield* new LaneDownError({ reason, cause, phase: "authenticated", ...wait })
    }
    if (status === 507) {
      return yield* new LaneDownError({ reason: `${answered}: it has no room left. Make room there.`, cause, ...wait })
    }
    if (status >= 300 && status < 400) {
      const location = answer.header("location")
      const where = location === undefined ? "elsewhere" : `to ${safeLocation(request.target, location)}`
      const reason = `${answered}, which redirects ${where}. Only 307 and 308 within the same origin are followed: put that URL into the config if it is the right one.`
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
  [417, "It does not understand `expect: true`: take that out of the config."],
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
export const safeLocation = (target: Target, value: string): string => {
  const base = `${originOf(target)}${target.path.startsWith("/") ? "" : "/"}`
  if (!URL.canParse(value, base)) return "a place that is not a URL"
  const url = new URL(value, base)
  return RelPath.display(`${url.protocol}//${url.host}${url.pathname}${url.search === "" ? "" : "?…"}`)
}

/** What follows from a request that got no answer. */
const sendError = (request: Request, { connected, error, whole }: Failure): DeliveryError => {
  const cause = Option.some(error)
  const { url } = request.target
  const code = codeOf(error)
  if (code === "ERR_INVALID_CHAR" || code === "ERR_UNESCAPED_CHARACTERS") {
    const reason = `${url}: a header or the path has a character that HTTP can't carry. Check \`headers\`, \`token\` and the URL in the config.`
    return new PermanentError({ reason, cause })
  }
  const words = wordsOf(error)
  const because = code === undefined || words.includes(code) ? words : `${words}, ${code}`
  if (!connected) {
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
  if (whole && !request.idempotent) {
    const reason = `${request.file ?? "The file"} was sent whole to ${url}, but no answer came (${because}). Look there whether it arrived; retry it if not.`
    return new AmbiguousError({ reason, cause })
  }
  const after = whole ? "before it answered" : "before the whole file was sent"
  return new TransientError({ reason: `The connection to ${url} broke ${after} (${because}).`, cause })
}

/** Where a host has several addresses, node's error has no words of its own. */
const wordsOf = (error: unknown): string => {
  if (error instanceof AggregateError && error.message === "") return wordsOf(error.errors[0])
  return error instanceof Error && error.message !== "" ? error.message : "no reason given"
}
