/**
 * What a server has under a path, as HEAD and GET tell it: the proof of an upload, and what conflict policies ask.
 */
import { createHash } from "node:crypto"
import { Effect, Option } from "effect"
import type { Verified } from "../../domain/Delivery.ts"
import { PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import type { ExamineTask, Task } from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import * as Exchange from "./HttpExchange.ts"
import { follow, type Hop } from "./HttpRedirect.ts"

export interface Found {
  /** Bytes; null where the server does not tell. */
  readonly size: number | null
  /** `Last-Modified` in milliseconds since the epoch; null where the server does not tell. */
  readonly modified: number | null
  /** In hex, where the server gives it. */
  readonly sha256: string | undefined
}

/** Undefined: there is nothing. */
export const look = (
  exchange: Exchange.Exchange,
  task: Task,
  path: string
): Effect.Effect<Found | undefined, DeliveryError> =>
  Effect.gen(function* () {
    const { answer, request } = yield* head(exchange, askedOf(task), path)
    if (isMissing(answer)) return undefined
    if (answer.status >= 200 && answer.status < 300) return foundIn(answer)
    if (answer.status !== 405 && answer.status !== 501) return yield* Exchange.refused(request, answer)
    return yield* new PermanentError({
      reason: `${request.target.url} answered ${answer.said} to HEAD, so that \`conflict: ${task.delivery.target.options.conflict}\` can't be kept. Use \`conflict: overwrite\`.`,
      cause: Option.none()
    })
  })

/** What the answer to an upload itself proves. In that to a PUT a digest can be of its own text: only a right one counts. */
export const provenBy = (answer: Exchange.Answer, sent: SourceReader.Sent): "hash" | "status" =>
  digestOf(answer) === sent.sha256 ? "hash" : "status"

/** The ladder of proofs: a sha256, where the server gives one or one is asked for; the size; that it said so. */
export const prove = (
  exchange: Exchange.Exchange,
  task: Task,
  { answer, request }: Hop,
  sent: SourceReader.Sent
): Effect.Effect<Verified, DeliveryError> =>
  Effect.gen(function* () {
    const { verify } = task.delivery.target.options
    const proven = provenBy(answer, sent)
    if (proven === "hash" || verify === "auto") return proven
    const there = yield* head(exchange, askedOf(task), request.path)
    if (isMissing(there.answer)) {
      return yield* new TransientError({
        reason: `${there.request.target.url}: ${request.file ?? "the file"} was sent, but it is not there (${there.answer.said}).`,
        cause: Option.none()
      })
    }
    if (there.answer.status < 200 || there.answer.status > 299) {
      if (there.answer.status >= 500 || there.answer.status === 429) {
        return yield* Exchange.refused(there.request, there.answer)
      }
      return yield* unprovable(task, `it answers ${there.answer.said} to HEAD`)
    }
    const found = foundIn(there.answer)
    if (found.size !== null && found.size !== sent.bytes) {
      return yield* mismatch(task, `${found.size} bytes instead of ${sent.bytes}`)
    }
    if (verify === "hash") {
      const sha256 = found.sha256 ?? (yield* contentAt(exchange, task, request.path))
      return sha256 === sent.sha256 ? "hash" : yield* mismatch(task, `sha256 ${sha256} instead of ${sent.sha256}`)
    }
    return found.size === null ? yield* unprovable(task, "its answer to HEAD has no Content-Length") : "size"
  })

/** What is asked about. */
export interface Asked extends Pick<ExamineTask, "target" | "secrets" | "progress"> {
  /** The file, for messages. */
  readonly file: string
}

const askedOf = ({ delivery, progress, secrets }: Task): Asked => ({
  target: delivery.target,
  secrets,
  progress,
  file: SourceReader.describe(delivery.generation)
})

export const head = (exchange: Exchange.Exchange, asked: Asked, path: string): Effect.Effect<Hop, DeliveryError> =>
  follow(asked.target, path, (path) => {
    const request = { ...asking(asked, "HEAD", path), headers: { ...identity, "want-repr-digest": "sha-256=1" } }
    return Effect.map(exchange.send(request), (answer) => ({ request, answer }))
  })

/** The sha256, in hex, of what is there, read back; or the answer of a server that does not let it be read. */
export const readBack = (
  exchange: Exchange.Exchange,
  asked: Asked,
  path: string
): Effect.Effect<string | Exchange.Answer, DeliveryError> =>
  Effect.gen(function* () {
    let digest = createHash("sha256")
    const { answer, request } = yield* follow(asked.target, path, (path) => {
      digest = createHash("sha256")
      const request = {
        ...asking(asked, "GET", path),
        headers: identity,
        receive: (chunk: Uint8Array) => {
          asked.progress(chunk.byteLength)
          digest.update(chunk)
        }
      }
      return Effect.map(exchange.send(request), (answer) => ({ request, answer }))
    })
    if (answer.status === 200) return digest.digest("hex")
    if (answer.status >= 500 || answer.status === 429) return yield* Exchange.refused(request, answer)
    return answer
  })

const contentAt = (exchange: Exchange.Exchange, task: Task, path: string): Effect.Effect<string, DeliveryError> =>
  Effect.flatMap(readBack(exchange, askedOf(task), path), (read) =>
    typeof read === "string" ? Effect.succeed(read) : unprovable(task, `it answers ${read.said} to GET`)
  )

/** The sha256, in hex, of what is there, read back; undefined where it may not be read. */
export const contentOf = (
  exchange: Exchange.Exchange,
  task: Task,
  path: string
): Effect.Effect<string | undefined, DeliveryError> =>
  Effect.catchTag(contentAt(exchange, task, path), "PermanentError", () => Effect.sync(() => undefined))

/** As it lies there, not packed for the way. */
const identity = { "accept-encoding": "identity" }

const asking = ({ file, secrets, target }: Asked, method: string, path: string): Exchange.Request => ({
  target,
  secrets,
  method,
  path,
  file,
  idempotent: true
})

/** In an answer to HEAD. */
export const foundIn = (answer: Exchange.Answer): Found => {
  const length = answer.header("content-length")
  const modified = Date.parse(answer.header("last-modified") ?? "")
  return {
    size: length !== undefined && /^\d+$/.test(length) ? Number(length) : null,
    modified: Number.isNaN(modified) ? null : modified,
    sha256: digestOf(answer)
  }
}

export const isMissing = (answer: Exchange.Answer): boolean => answer.status === 404 || answer.status === 410

/** `sha-256=:…:` of `Repr-Digest` or `Content-Digest` (RFC 9530), in hex. */
const digestOf = (answer: Exchange.Answer): string | undefined => {
  const digests = `${answer.header("repr-digest") ?? ""},${answer.header("content-digest") ?? ""}`
  const base64 = /(?:^|[\s,])sha-256=:([A-Za-z0-9+/]{43}=):/.exec(digests)?.[1]
  return base64 === undefined ? undefined : Buffer.from(base64, "base64").toString("hex")
}

/** The field's value (RFC 9530) of a sha256 in hex. */
export const digestField = (sha256: string): string => `sha-256=:${Buffer.from(sha256, "hex").toString("base64")}:`

const mismatch = (task: Task, what: string): Effect.Effect<never, TransientError> =>
  new TransientError({
    reason: `${task.delivery.target.url}: the server has something else than what was sent (${what}); it will be sent again.`,
    cause: Option.none()
  })

const unprovable = (task: Task, why: string): Effect.Effect<never, PermanentError> => {
  const { options, url } = task.delivery.target
  return new PermanentError({
    reason: `${SourceReader.describe(task.delivery.generation)} was sent to ${url}, but \`verify: ${options.verify}\` can't be kept: ${why}. Use \`verify: auto\`, or give the user leave to read what it sends.`,
    cause: Option.none()
  })
}
