/**
 * The requests of the S3 API that a delivery needs, signed with AWS Signature Version 4.
 *
 * Every body is hashed before it is sent, and the hash is part of the signature: a service that checks signatures also
 * checks that it got those bytes. Nothing is sent in `aws-chunked` framing, which many services do not know.
 */
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import { Readable } from "node:stream"
import { AwsV4Signer } from "aws4fetch"
import { Clock, Effect, Option, Redacted } from "effect"
import { LaneDownError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { noSecrets } from "../../domain/Settings.ts"
import type { Target } from "../../domain/Target.ts"
import type { Task } from "../Destination.ts"
import type { Answer, Exchange } from "./HttpExchange.ts"
import type { Service } from "./S3Credentials.ts"
import * as S3Error from "./S3Error.ts"
import * as Xml from "./S3Xml.ts"

/** What is sent: its length and its hash are known before. */
export interface Body {
  readonly length: number
  /** Hex. */
  readonly sha256: string
  /** Anew for each request. */
  readonly open: () => Readable | Uint8Array
}

export interface Call {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE"
  /** Undefined: the bucket itself. */
  readonly key?: string
  readonly query?: Readonly<Record<string, string>>
  /** Names in lower case; of those that are undefined there is none. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly body?: Body
  /** Gets the body of a 2xx answer. */
  readonly receive?: (chunk: Uint8Array) => void
}

/**
 * What a service was found to do, so that each file need not find out again. Shared by a lane's deliveries to one
 * service.
 */
export interface Habits {
  /** `x-amz-checksum-sha256`: whether it checks it and says so, knows nothing of it, or won't have it. */
  checksum: "unknown" | "honoured" | "ignored" | "refused"
  /** `If-None-Match: *` with a PUT: whether it keeps to it, or won't have it. */
  conditional: "unknown" | "honoured" | "refused"
  /** Whether an ETag is the md5 of what was put. */
  etag: "unknown" | "md5" | "opaque"
}

export const noHabits = (): Habits => ({ checksum: "unknown", conditional: "unknown", etag: "unknown" })

/** A bucket, with everything that it takes to talk to it. */
export interface Bucket {
  readonly habits: Habits
  readonly name: string
  /** The target and the endpoint, for messages. */
  readonly where: string
  /** Any answer is a success here. */
  readonly send: (call: Call) => Effect.Effect<Answer, DeliveryError>
  /** What follows from an answer that is not what it should be. */
  readonly refused: (call: Call, answer: Answer) => Effect.Effect<never, DeliveryError>
}

export interface Setting {
  readonly exchange: Exchange
  readonly target: Target
  readonly service: Service
  readonly habits: Habits
  /** Derived keys, which are good for a day. */
  readonly signingKeys: Map<string, ArrayBuffer>
}

export const bucket = (setting: Setting): Bucket => {
  const { exchange, habits, service, target } = setting
  const where = `${target.url} at ${service.origin}`
  const shown = { ...target, url: where }
  return {
    habits,
    name: target.host,
    where,
    send: (call) =>
      Effect.gen(function* () {
        const { headers, path } = yield* sign(setting, where, call)
        return yield* exchange.send({
          target: shown,
          secrets: noSecrets,
          method: call.method,
          origin: service.origin,
          path,
          headers,
          bare: true,
          idempotent: true,
          ...(call.body === undefined ? {} : { body: call.body.open() }),
          ...(call.receive === undefined ? {} : { receive: call.receive })
        })
      }),
    refused: (call, answer) => {
      const what = `${call.method} of ${call.key === undefined ? "the bucket" : RelPath.display(call.key)}`
      return S3Error.refused({ where, bucket: target.host, region: service.region, what }, answer)
    }
  }
}

export const isOk = ({ status }: Answer): boolean => status >= 200 && status < 300

const sign = (
  { service, signingKeys }: Setting,
  where: string,
  call: Call
): Effect.Effect<{ readonly path: string; readonly headers: Readonly<Record<string, string>> }, LaneDownError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.tryPromise({
      try: async () => {
        const key = call.key === undefined ? "" : `/${encodeKey(call.key)}`
        const query = Object.entries(call.query ?? {}).map(([name, value]) => `${encode(name)}=${encode(value)}`)
        const { account } = service
        // a derived key for each day: of those that are over none is used again
        if (signingKeys.size > 8) signingKeys.clear()
        const headers = new Headers({ "x-amz-content-sha256": call.body?.sha256 ?? emptySha256 })
        for (const [name, value] of Object.entries(call.headers ?? {}))
          if (value !== undefined) headers.set(name, value)
        const token = Option.getOrUndefined(Option.map(account.sessionToken, Redacted.value))
        const signed = await new AwsV4Signer({
          method: call.method,
          url: `${service.origin}${`${service.base}${key}` || "/"}${query.length === 0 ? "" : `?${query.join("&")}`}`,
          headers,
          accessKeyId: account.accessKeyId,
          secretAccessKey: Redacted.value(account.secretAccessKey),
          ...(token === undefined ? {} : { sessionToken: token }),
          service: "s3",
          region: service.region,
          cache: signingKeys,
          datetime: new Date(now).toISOString().replace(/[:-]|\.\d{3}/g, "")
        }).sign()
        const length = call.body === undefined ? {} : { "content-length": String(call.body.length) }
        return {
          path: `${signed.url.pathname}${signed.url.search}`,
          headers: { ...Object.fromEntries(signed.headers), ...length }
        }
      },
      // its own message could show what it could not use
      catch: () =>
        new LaneDownError({
          reason: `${where}: no request can be signed with these credentials: they have characters that a header can't carry. Check them, and \`region\`.`,
          cause: Option.none()
        })
    })
  )

/** As AWS Signature Version 4 wants it: everything but the unreserved characters of RFC 3986. */
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)

const encodeKey = (key: string): string => key.split("/").map(encode).join("/")

/** Bytes at once on the way to the socket: progress and bandwidth are counted by them. */
const slice = 64 * 1024

/** A body that is in memory, in pieces. */
export const body = (
  chunks: ReadonlyArray<Uint8Array>,
  sha256: string,
  { pace, progress }: Pick<Task, "pace" | "progress">
): Body => {
  const length = lengthOf(chunks)
  async function* pieces() {
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.byteLength;) {
        const piece = chunk.subarray(at, at + Math.min(slice, pace?.chunk() ?? slice))
        await pace?.wait(piece.byteLength)
        progress(piece.byteLength)
        at += piece.byteLength
        yield piece
      }
    }
  }
  return {
    length,
    sha256,
    open: () => {
      const [only] = chunks
      if (only === undefined) return Buffer.alloc(0)
      if (chunks.length > 1 || length > slice || pace !== undefined) {
        return Readable.from(pieces(), { objectMode: false, highWaterMark: slice })
      }
      progress(length)
      return only
    }
  }
}

/** A document of ours. */
export const document = (text: string): Body => {
  const bytes = Buffer.from(text)
  return { length: bytes.byteLength, sha256: hashOf("sha256", [bytes]).toString("hex"), open: () => bytes }
}

const emptySha256 = createHash("sha256").digest("hex")

export const lengthOf = (chunks: ReadonlyArray<Uint8Array>): number =>
  chunks.reduce((sum, { byteLength }) => sum + byteLength, 0)

export const hashOf = (algorithm: "md5" | "sha256", chunks: ReadonlyArray<Uint8Array>): Buffer => {
  const hash = createHash(algorithm)
  for (const chunk of chunks) hash.update(chunk)
  return hash.digest()
}

/** As header fields carry it. */
export const toBase64 = (hex: string): string => Buffer.from(hex, "hex").toString("base64")

/** Without its quotes. */
export const plainTag = (etag: string | undefined): string => (etag ?? "").replace(/^(?:W\/)?"|"$/g, "")

/** Whether an ETag may be an md5 at all: not of what is encrypted by a key of its own. */
export const mayBeMd5 = (etag: string, answer: Pick<Answer, "header">): boolean =>
  /^[0-9a-f]{32}$/.test(etag) &&
  !(answer.header("x-amz-server-side-encryption") ?? "").startsWith("aws:kms") &&
  answer.header("x-amz-server-side-encryption-customer-algorithm") === undefined

/** An object, as a look at it shows it. */
export interface Found {
  readonly size: number | null
  readonly etag: string
  /** Hex; only where it is of the whole object, and not of its parts' checksums. */
  readonly sha256: string | undefined
  /** Milliseconds since the epoch: of the file where that was kept, else of the upload. */
  readonly mtime: number | null
  /** `x-amz-meta-…` */
  readonly meta: (name: string) => string | undefined
}

/** Undefined: there is nothing. */
export const head = (at: Bucket, key: string): Effect.Effect<Found | undefined, DeliveryError> =>
  Effect.flatMap(at.send(lookCall(key)), (answer) => found(at, key, answer))

export const lookCall = (key: string): Call => ({
  method: "HEAD",
  key,
  headers: { "x-amz-checksum-mode": "ENABLED" }
})

/** What the answer to {@link lookCall} says. */
export const found = (at: Bucket, key: string, answer: Answer): Effect.Effect<Found | undefined, DeliveryError> =>
  Effect.gen(function* () {
    if (answer.status === 404) return undefined
    if (isOk(answer)) return foundOf(answer)
    // an answer to HEAD has no body that could say why; the one to the same question by GET has
    const again = yield* at.send({ method: "GET", key, headers: { range: "bytes=0-0" } })
    const silent = isOk(again) || again.status === 404 || again.status === 416
    return yield* at.refused(lookCall(key), silent ? answer : again)
  })

const foundOf = (answer: Answer): Found => {
  const length = answer.header("content-length")
  const kept = Number(answer.header("x-amz-meta-mtime") ?? Number.NaN)
  const modified = Date.parse(answer.header("last-modified") ?? "")
  const sum = answer.header("x-amz-checksum-sha256")
  return {
    size: length !== undefined && /^\d+$/.test(length) ? Number(length) : null,
    etag: plainTag(answer.header("etag")),
    sha256: sum !== undefined && !sum.includes("-") ? Buffer.from(sum, "base64").toString("hex") : undefined,
    mtime: Number.isFinite(kept) && kept > 0 ? kept * 1000 : Number.isNaN(modified) ? null : modified,
    meta: (name) => answer.header(`x-amz-meta-${name}`)
  }
}

/** That it is not there is fine. */
export const remove = (at: Bucket, key: string): Effect.Effect<void, DeliveryError> =>
  Effect.gen(function* () {
    const call: Call = { method: "DELETE", key }
    const answer = yield* at.send(call)
    if (!isOk(answer) && answer.status !== 404) return yield* at.refused(call, answer)
  })

/** The sha256 of an object in hex, by reading it. `beat` is called as it goes. */
export const readBack = (at: Bucket, key: string, beat: () => void): Effect.Effect<string, DeliveryError> =>
  Effect.gen(function* () {
    const digest = createHash("sha256")
    const receive = (chunk: Uint8Array) => {
      digest.update(chunk)
      beat()
    }
    const call: Call = { method: "GET", key, receive }
    const answer = yield* at.send(call)
    return isOk(answer) ? digest.digest("hex") : yield* at.refused(call, answer)
  })

/** Makes the service copy an object, with all that belongs to it. */
export const copy = (at: Bucket, from: string, to: string, beat: () => void): Effect.Effect<void, DeliveryError> =>
  Effect.gen(function* () {
    const source = `/${encode(at.name)}/${encodeKey(from)}`
    const call: Call = { method: "PUT", key: to, headers: { "x-amz-copy-source": source }, body: document("") }
    const answer = yield* slow(at, call, beat)
    if (!isOk(answer)) return yield* at.refused(call, answer)
    if (Xml.parseDone(answer.body) === undefined) return yield* unfinished(at, call, answer)
  })

/**
 * A request whose work may take minutes: the service answers 200 at once, sends spaces while it works, and says in the
 * body how it ended. `beat` is called for each of its signs of life.
 */
export const slow = (at: Bucket, call: Call, beat: () => void): Effect.Effect<Answer, DeliveryError> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    const receive = (chunk: Uint8Array) => {
      beat()
      size += chunk.byteLength
      if (size <= maxDocument) chunks.push(chunk)
    }
    return Effect.map(at.send({ ...call, receive }), (answer) =>
      isOk(answer) ? { ...answer, body: Buffer.concat(chunks) } : answer
    )
  })

const maxDocument = 1024 * 1024

/** An answer of success to {@link slow} that was none. */
export const unfinished = (at: Bucket, call: Call, answer: Answer): Effect.Effect<never, DeliveryError> =>
  Xml.parseError(answer.body) === undefined
    ? Effect.fail(
        new TransientError({
          reason: `${at.where} answered ${answer.said} to the ${call.method} of ${RelPath.display(call.key ?? "")}, but not that it is done.`,
          cause: Option.none()
        })
      )
    : at.refused(call, { ...answer, status: 500, said: `${answer.said} with an error in it` })
