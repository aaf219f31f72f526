/**
 * `upload: tus`: resumable uploads by the tus protocol 1.0 (https://tus.io/protocols/resumable-upload).
 *
 * An upload is made by a POST to the target's path, and the URL that the server gives it is committed before the first
 * byte goes there. After a cut, a kill of this process or a restart of the server, the server is asked how much it has,
 * and the rest follows. An upload that is not complete is visible to nobody; one that is given up is terminated where
 * the server can do that, and otherwise expires there. The upload's URL is a capability of its own: it is kept in the
 * journal and shown to nobody.
 *
 * `verify: size` is the offset that the server says to have. `verify: hash` needs the server's checksum extension: the
 * file goes in parts, each with its checksum. Small files have one wherever the server offers it.
 */
import { createHash } from "node:crypto"
import { Effect, Option } from "effect"
import type { Receipt, Verified } from "../../domain/Delivery.ts"
import { PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Task } from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import { contentType } from "./contentType.ts"
import * as Exchange from "./HttpExchange.ts"
import { pathOf } from "./HttpPlan.ts"
import { follow, within, type Hop } from "./HttpRedirect.ts"

export interface Tus {
  readonly deliver: (task: Task) => Effect.Effect<Receipt, DeliveryError>
  readonly recover: (task: Task) => Effect.Effect<Option.Option<Receipt>, DeliveryError>
  readonly discard: (task: Task) => Effect.Effect<void, DeliveryError>
}

/** What the server offers beyond the core, as OPTIONS tells. */
export interface Extensions {
  readonly termination: boolean
  readonly creation: boolean
  readonly checksum: "sha256" | "sha1" | undefined
}

/** Bytes of a part that goes with a checksum. */
const partSize = 8 * 1024 * 1024
/** How often an attempt starts over from where the server says to be. */
const maxTries = 3

interface Lane {
  readonly exchange: Exchange.Exchange
  /** By target. */
  readonly extensions: Map<string, Extensions>
}

export const make = (exchange: Exchange.Exchange): Tus => {
  const lane: Lane = { exchange, extensions: new Map() }
  return {
    deliver: (task) => deliver(lane, task),
    recover: (task) => recover(lane, task),
    discard: (task) => discard(lane, task)
  }
}

const deliver = Effect.fn("Tus.deliver")(function* (lane: Lane, task: Task): Effect.fn.Return<Receipt, DeliveryError> {
  const checksum = yield* checksumFor(lane, task)
  let { resume } = task.delivery
  for (let tries = 1; ; tries++) {
    const outcome = yield* Effect.either(attempt(lane, task, resume, checksum))
    if (outcome._tag === "Right") return outcome.right
    if (outcome.left._tag !== "Again") return yield* outcome.left
    resume = outcome.left.resume
    if (resume === null) yield* task.note(null)
    if (tries >= maxTries) {
      const reason = `${task.delivery.target.url}: ${outcome.left.why}; another attempt goes on from there.`
      return yield* new TransientError({ reason, cause: Option.none() })
    }
  }
})

/** The server has got somewhere else than was thought: it is to be asked anew, about this upload if there is one. */
class Again {
  readonly _tag = "Again"
  constructor(
    readonly resume: string | null,
    readonly why: string
  ) {}
}

const attempt = (
  lane: Lane,
  task: Task,
  resume: string | null,
  checksum: Extensions["checksum"]
): Effect.Effect<Receipt, DeliveryError | Again> =>
  Effect.scoped(
    Effect.gen(function* () {
      const reader = yield* SourceReader.open(task.delivery.generation)
      const there = resume === null ? undefined : yield* offsetAt(lane, task, resume)
      const upload =
        resume !== null && there !== undefined
          ? { path: resume, offset: there }
          : { path: yield* create(lane, task), offset: 0 }
      if (upload.path !== resume) yield* task.note(upload.path)
      if (upload.offset > 0) yield* reader.skip(upload.offset, task)

      const said =
        checksum === undefined
          ? yield* sendRest(lane, task, reader, upload)
          : yield* sendParts(lane, task, reader, upload, checksum)
      // an empty file, and one of which the server had everything, were not read to their end yet
      if (!reader.complete()) yield* reader.read(1, task)
      const sent = yield* reader.sent
      const verified: Verified = checksum !== undefined && upload.offset === 0 ? "hash" : "size"
      const after = upload.offset === 0 ? "" : ` (resumed after ${upload.offset} bytes)`
      return { bytes: sent.bytes, sha256: sent.sha256, said: `${said}${after}`, verified, name: task.delivery.name }
    })
  )

interface Upload {
  readonly path: string
  readonly offset: number
}

/** One PATCH with all that is missing. */
const sendRest = (
  lane: Lane,
  task: Task,
  reader: SourceReader.SourceReader,
  upload: Upload
): Effect.Effect<string, DeliveryError | Again> =>
  Effect.gen(function* () {
    if (upload.offset === reader.size) return "complete at the target"
    const body = reader.stream({ progress: task.progress, pace: task.pace, drains: true })
    const { offset, said } = yield* patch(lane, task, upload, {
      body,
      reader,
      headers: { "content-length": String(reader.size - upload.offset) }
    })
    if (offset === reader.size && reader.complete()) return said
    return yield* Effect.fail(new Again(upload.path, `it answered ${said} with ${offset} of ${reader.size} bytes`))
  })

/** Parts in memory, each with its checksum, each taken or refused as a whole. */
const sendParts = (
  lane: Lane,
  task: Task,
  reader: SourceReader.SourceReader,
  upload: Upload,
  checksum: "sha256" | "sha1"
): Effect.Effect<string, DeliveryError | Again> =>
  Effect.gen(function* () {
    let said = "complete at the target"
    let at = upload.offset
    while (at < reader.size) {
      const part = yield* reader.read(partSize, { progress: task.progress, pace: task.pace })
      const digest = createHash(checksum).update(part).digest("base64")
      const result = yield* patch(
        lane,
        task,
        { path: upload.path, offset: at },
        {
          body: part,
          headers: { "content-length": String(part.byteLength), "upload-checksum": `${checksum} ${digest}` }
        }
      )
      at += part.byteLength
      said = result.said
      if (result.offset !== at) {
        const why = `it answered ${said} with ${result.offset} of ${at} bytes`
        return yield* Effect.fail(new Again(upload.path, why))
      }
    }
    return said
  })

const patch = (
  lane: Lane,
  task: Task,
  upload: Upload,
  part: Pick<Exchange.Request, "body" | "reader" | "headers">
): Effect.Effect<{ readonly offset: number; readonly said: string }, DeliveryError | Again> =>
  Effect.gen(function* () {
    const request: Exchange.Request = {
      ...asking(task, "PATCH", upload.path),
      ...part,
      headers: {
        ...version,
        ...part.headers,
        "content-type": "application/offset+octet-stream",
        "upload-offset": String(upload.offset)
      }
    }
    const answer = yield* lane.exchange.send(request)
    if (isMissing(answer)) return yield* Effect.fail(forgotten(answer))
    if (answer.status === 409) {
      return yield* Effect.fail(new Again(upload.path, `it has got to another offset (${answer.said})`))
    }
    if (answer.status < 200 || answer.status > 299) return yield* refused(request, answer)
    const offset = numberIn(answer, "upload-offset") ?? (yield* offsetAt(lane, task, upload.path))
    if (offset === undefined) return yield* Effect.fail(forgotten(answer))
    return { offset, said: answer.said }
  })

const forgotten = (answer: Exchange.Answer): Again => new Again(null, `it has forgotten the upload (${answer.said})`)

/** How many bytes the server has of an upload; undefined: it has no such upload of this file. */
const offsetAt = (lane: Lane, task: Task, path: string): Effect.Effect<number | undefined, DeliveryError> =>
  Effect.gen(function* () {
    const request = { ...asking(task, "HEAD", path), headers: version }
    const answer = yield* lane.exchange.send(request)
    if (isMissing(answer)) return undefined
    if (answer.status < 200 || answer.status > 299) return yield* refused(request, answer)
    const { size } = task.delivery.generation
    const offset = numberIn(answer, "upload-offset")
    const length = numberIn(answer, "upload-length") ?? size
    return offset === undefined || offset > size || length !== size ? undefined : offset
  })

/** A new upload; its path and query at the server. */
const create = (lane: Lane, task: Task): Effect.Effect<string, DeliveryError> =>
  Effect.gen(function* () {
    const { generation, target } = task.delivery
    const headers = {
      ...version,
      "content-length": "0",
      "upload-length": String(generation.size),
      "upload-metadata": metadata(task.delivery.name)
    }
    // an upload without a byte in it is visible to nobody: another one does no harm
    const { answer, request } = yield* follow(target, pathOf(target, task.secrets)(task.delivery.name), (path) => {
      const request = { ...asking(task, "POST", path), headers }
      return Effect.map(lane.exchange.send(request), (answer): Hop => ({ request, answer }))
    })
    if (answer.status === 413) {
      const most = answer.header("tus-max-size")
      return yield* new PermanentError({
        reason: `${target.url} answered ${RelPath.display(answer.said)}: ${request.file ?? "the file"} with its ${generation.size} bytes is too large for it${most === undefined ? "" : `, which takes ${RelPath.display(most)}`}. Raise the server's limit, or keep such files from this route.`,
        cause: Option.none()
      })
    }
    if (answer.status < 200 || answer.status > 299) return yield* refused(request, answer)
    const location = answer.header("location")
    const path = within(target, request.path, location)
    if (answer.status === 201 && path !== undefined) return path
    const reason =
      location === undefined || answer.status !== 201
        ? `${target.url} answered ${RelPath.display(answer.said)} and made no upload: it does not speak tus there. Check the path, or use another \`upload\`.`
        : `${target.url} wants the upload to go to ${Exchange.safeLocation(target, location)}, which is not in its own origin. If that is a proxy's doing, let the server heed the forwarded scheme and host.`
    return yield* new PermanentError({ reason, cause: Option.none() })
  })

/** The base name and the type as tus clients send them, and the path below the target where it has folders. */
const metadata = (name: RelPath.RelPath): string => {
  const base64 = (text: string) => Buffer.from(text, "utf8").toString("base64")
  const path = name.includes("/") ? `,relativePath ${base64(name)}` : ""
  return `filename ${base64(RelPath.basename(name))},filetype ${base64(contentType(name))}${path}`
}

/** With what checksum the parts go, if any. */
const checksumFor = (lane: Lane, task: Task): Effect.Effect<Extensions["checksum"], DeliveryError> =>
  Effect.gen(function* () {
    const { generation, target } = task.delivery
    const { verify } = target.options
    if (verify === "size" || (verify === "auto" && generation.size > partSize)) return undefined
    const { checksum } = yield* extensionsOf(lane, task)
    if (checksum !== undefined || verify === "auto") return checksum
    return yield* new PermanentError({
      reason: `${target.url} has no checksums (tus extension \`checksum\`), so that \`verify: hash\` can't be kept. Use \`verify: size\`.`,
      cause: Option.none()
    })
  })

const extensionsOf = (lane: Lane, task: Task): Effect.Effect<Extensions, DeliveryError> =>
  Effect.gen(function* () {
    const { target } = task.delivery
    const known = lane.extensions.get(target.url)
    if (known !== undefined) return known
    const request = asking(task, "OPTIONS", pathOf(target, task.secrets)(task.delivery.name))
    const answer = yield* lane.exchange.send(request)
    if (answer.status >= 500 || answer.status === 429) return yield* refused(request, answer)
    const found = extensionsIn(answer)
    lane.extensions.set(target.url, found)
    return found
  })

export const extensionsIn = (answer: Exchange.Answer): Extensions => {
  const list = (name: string) => (answer.header(name) ?? "").split(",").map((word) => word.trim().toLowerCase())
  const offered = list("tus-extension")
  const algorithms = offered.includes("checksum") ? list("tus-checksum-algorithm") : []
  return {
    creation: offered.includes("creation"),
    termination: offered.includes("termination"),
    checksum: algorithms.includes("sha256") ? "sha256" : algorithms.includes("sha1") ? "sha1" : undefined
  }
}

/** After a restart: an upload that the server has all of is the delivery. */
const recover = Effect.fn("Tus.recover")(function* (
  lane: Lane,
  task: Task
): Effect.fn.Return<Option.Option<Receipt>, DeliveryError> {
  const { generation, name, resume } = task.delivery
  if (resume === null) return Option.none()
  const offset = yield* offsetAt(lane, task, resume)
  return offset !== generation.size
    ? Option.none()
    : Option.some({
        bytes: offset,
        sha256: null,
        said: "found complete at the target after a restart",
        verified: "size" as const,
        name
      })
})

/** Terminates the upload, where the server can do that; where it can't, it expires there. */
const discard = Effect.fn("Tus.discard")(function* (lane: Lane, task: Task): Effect.fn.Return<void, DeliveryError> {
  const { resume } = task.delivery
  if (resume === null) return
  const request = { ...asking(task, "DELETE", resume), headers: version }
  const answer = yield* lane.exchange.send(request)
  // what the server does not do, or has never let anybody do, is no reason to try it again
  if (answer.status >= 500 || later.has(answer.status)) return yield* refused(request, answer)
})

/** Of a DELETE that may do better another time. */
const later = new Set([401, 407, 408, 423, 425, 429])

/** What every request but OPTIONS has to say. */
export const version = { "tus-resumable": "1.0.0" }

const asking = (task: Task, method: string, path: string) =>
  ({
    target: task.delivery.target,
    secrets: task.secrets,
    method,
    path,
    file: SourceReader.describe(task.delivery.generation),
    idempotent: true
  }) satisfies Exchange.Request

const isMissing = (answer: Exchange.Answer): boolean => answer.status === 404 || answer.status === 410

const numberIn = (answer: Exchange.Answer, name: string): number | undefined => {
  const text = answer.header(name)
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** Beside what HTTP says: another offset, an upload that somebody else writes to, a part that arrived damaged. */
const refused = (request: Exchange.Request, answer: Exchange.Answer): Effect.Effect<never, DeliveryError> => {
  const meaning = transient.get(answer.status)
  if (meaning !== undefined) {
    return new TransientError({ reason: `${request.target.url}: ${meaning} (${answer.said}).`, cause: Option.none() })
  }
  if (answer.status === 412) {
    const spoken = RelPath.display(answer.header("tus-version") ?? "another version")
    return new PermanentError({
      reason: `${request.target.url} speaks ${spoken} of tus, and this program 1.0.0. Use another \`upload\`.`,
      cause: Option.none()
    })
  }
  return Exchange.refused(request, answer)
}

const transient = new Map([
  [423, "the upload is locked by another request, as a rule an earlier one that was cut"],
  [460, "a part arrived damaged"]
])
