/**
 * Multipart uploads: a large file in parts, several at once, that appears when the upload is completed.
 *
 * An upload that breaks is kept and gone on with, after a restart too: the service lists the parts that it has, and
 * those whose checksum or md5 is not that of the source are sent again.
 */
import { createHash } from "node:crypto"
import { Readable } from "node:stream"
import { Cause, Effect, Exit, Option, Runtime, Schema } from "effect"
import { TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import { RelPath } from "../../domain/RelPath.ts"
import type { Task } from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import * as Client from "./S3Client.ts"
import { errorCode, isUnsupported } from "./S3Error.ts"
import { beat, proofOf, type Proof } from "./S3Verify.ts"
import * as Xml from "./S3Xml.ts"
import { targetOf } from "../place.ts"

/** An upload that was begun, as it is noted in the journal. */
const Upload = Schema.Struct({
  upload: Schema.String,
  /** The final name below the target, to which it is bound. */
  name: RelPath,
  /** Bytes of each part but the last. */
  part: Schema.Number,
  /** Whether the service checks each part's sha256. */
  checksums: Schema.Boolean
})
export type Upload = typeof Upload.Type

const Note = Schema.parseJson(Upload)
const encodeNote = Schema.encodeSync(Note)

/** What an earlier attempt has begun. */
export const noted = (task: Task): Option.Option<Upload> =>
  Option.flatMap(Option.fromNullable(task.delivery.resume), Schema.decodeOption(Note))

const mib = 1024 * 1024
const maxParts = 10_000
/** Of one file; more does not make it faster. */
const maxParallel = 4

/** Bytes of a part where the config does not say: S3 takes 10,000 parts of 5 MiB or more. */
export const usualPart = 8 * mib

export const partSize = (size: number, wanted: number | null): number => {
  const least = Math.ceil(size / maxParts)
  const part = wanted ?? usualPart
  return part >= least ? part : Math.ceil(least / mib) * mib
}

/** Begins one, and commits that before it can hold anything. */
export const begin = (
  at: Client.Bucket,
  key: string,
  name: RelPath,
  task: Task,
  headers: Readonly<Record<string, string>>
): Effect.Effect<Upload, DeliveryError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const create = (checksums: boolean) => {
        const algorithm = checksums ? { "x-amz-checksum-algorithm": "SHA256" } : {}
        const call: Client.Call = { method: "POST", key, query: { uploads: "" }, headers: { ...headers, ...algorithm } }
        return Effect.map(at.send({ ...call, body: Client.document("") }), (answer) => ({ answer, call }))
      }
      const asks = at.habits.checksum !== "refused"
      let created = yield* restore(create(asks))
      if (asks && isUnsupported(created.answer)) {
        created = yield* restore(create(false))
        if (Client.isOk(created.answer)) at.habits.checksum = "refused"
      }
      const { answer, call } = created
      if (!Client.isOk(answer)) return yield* at.refused(call, answer)
      const id = Xml.parseUploadId(answer.body)
      if (id === undefined) return yield* Client.unfinished(at, call, answer)
      const upload: Upload = {
        upload: id,
        name,
        part: partSize(task.delivery.generation.size, task.delivery.target.options.partSize),
        checksums: answer.header("x-amz-checksum-algorithm")?.toUpperCase() === "SHA256"
      }
      yield* task.note(encodeNote(upload)).pipe(Effect.tapErrorCause(() => Effect.ignore(abort(at, key, upload))))
      return upload
    })
  )

/** The parts that the service has, by number; undefined: the upload is gone, or can't be asked for. */
export const partsOf = (
  at: Client.Bucket,
  key: string,
  { upload }: Upload
): Effect.Effect<ReadonlyMap<number, Xml.Part> | undefined, DeliveryError> =>
  Effect.gen(function* () {
    const parts = new Map<number, Xml.Part>()
    let marker: string | undefined = "0"
    while (marker !== undefined && parts.size < maxParts) {
      const query: Record<string, string> = { uploadId: upload, "max-parts": "1000" }
      if (marker !== "0") query["part-number-marker"] = marker
      const call: Client.Call = { method: "GET", key, query }
      const answer = yield* at.send(call)
      if (isGone(answer)) return undefined
      if (!Client.isOk(answer)) return isUnsupported(answer) ? undefined : yield* at.refused(call, answer)
      const page = Xml.parseParts(answer.body)
      if (page === undefined) return undefined
      for (const part of page.parts) parts.set(part.PartNumber, part)
      if (page.next === marker) return parts
      marker = page.next
    }
    return parts
  })

const isGone = (answer: Parameters<typeof errorCode>[0]): boolean =>
  errorCode(answer) === "NoSuchUpload" || answer.status === 404

/** Gives its parts up. That it is gone is fine, and so is a service that can't do it. */
export const abort = (at: Client.Bucket, key: string, { upload }: Upload): Effect.Effect<void, DeliveryError> =>
  Effect.gen(function* () {
    const call: Client.Call = { method: "DELETE", key, query: { uploadId: upload } }
    const answer = yield* at.send(call)
    if (Client.isOk(answer) || isGone(answer) || isUnsupported(answer)) return
    return yield* at.refused(call, answer)
  })

export interface SentPart {
  readonly number: number
  readonly etag: string
  /** Base64, where the service checks it. */
  readonly checksum: string | undefined
  readonly proof: Proof
}

export interface Sending {
  readonly at: Client.Bucket
  readonly key: string
  readonly upload: Upload
  readonly reader: SourceReader.SourceReader
  readonly task: Task
  /** What the service has already. */
  readonly there: ReadonlyMap<number, Xml.Part>
  /** Bytes that this file may hold in memory. */
  readonly memory: number
}

/** Sends what is missing. The parts, in their order. */
export const send = (sending: Sending): Effect.Effect<ReadonlyArray<SentPart>, DeliveryError> =>
  Effect.gen(function* () {
    const { memory, reader, upload } = sending
    const count = Math.ceil(reader.size / upload.part)
    const sent: Array<SentPart> = []
    const reading = yield* Effect.makeSemaphore(1)
    let last = 0
    const workers = Math.max(1, Math.min(maxParallel, count, Math.floor(memory / upload.part)))
    const next =
      upload.part <= memory
        ? (number: number) => readPart(sending, number)
        : (number: number) => streamPart(sending, number)
    const worker = Effect.gen(function* () {
      while (true) {
        const part = yield* reading.withPermits(1)(
          Effect.suspend(() => {
            last += 1
            return last > count ? Effect.succeedNone : Effect.asSome(next(last))
          })
        )
        if (Option.isNone(part)) return
        sent.push(yield* sendPart(sending, part.value))
      }
    })
    yield* Effect.all(
      Array.from({ length: workers }, () => worker),
      { concurrency: "unbounded", discard: true }
    ).pipe(
      // of what failed at the same time, one is the reason
      Effect.catchAllCause((cause) =>
        Option.match(Cause.failureOption(cause), {
          onNone: () => Effect.failCause(cause),
          onSome: (error) => Effect.fail(error)
        })
      )
    )
    return sent.sort((left, right) => left.number - right.number)
  })

interface Part {
  readonly number: number
  readonly body: Client.Body
  /** In hex; of a part that is streamed, once it was sent. */
  readonly md5: () => string
  /** Whether that is known before. */
  readonly inMemory: boolean
}

const readSize = 256 * 1024

const lengthOf = ({ reader, upload }: Sending, number: number): number =>
  Math.min(upload.part, reader.size - (number - 1) * upload.part)

const readPart = (sending: Sending, number: number): Effect.Effect<Part, SourceReader.SourceError> =>
  Effect.gen(function* () {
    const chunks = yield* readChunks(sending.reader, lengthOf(sending, number))
    const sha256 = Client.hashOf("sha256", chunks).toString("hex")
    let md5: string | undefined
    return {
      number,
      body: Client.body(chunks, sha256, sending.task),
      md5: () => (md5 ??= Client.hashOf("md5", chunks).toString("hex")),
      inMemory: true
    }
  })

/** The next bytes of a file, fewer only at its end, in the pieces in which they were read. */
export const readChunks = (
  reader: SourceReader.SourceReader,
  length: number
): Effect.Effect<ReadonlyArray<Uint8Array>, SourceReader.SourceError> =>
  Effect.gen(function* () {
    const chunks: Array<Uint8Array> = []
    let missing = length
    do {
      const chunk = yield* reader.read(Math.min(readSize, missing), { progress: () => undefined })
      missing -= chunk.byteLength
      if (chunk.byteLength > 0) chunks.push(chunk)
    } while (missing > 0 && !reader.complete())
    return chunks
  })

/** A part that is too large to be held: it is read twice, for its hash and to be sent. */
const streamPart = (sending: Sending, number: number): Effect.Effect<Part, SourceReader.SourceError> =>
  Effect.gen(function* () {
    const { reader, task, upload } = sending
    const length = lengthOf(sending, number)
    const start = (number - 1) * upload.part
    const run = Runtime.runPromise(yield* Effect.runtime())
    const sha256 = yield* SourceReader.peek(task.delivery.generation, start, start + length)
    const digest = createHash("md5")
    let md5: string | undefined
    async function* pieces() {
      for (let at = 0; at < length;) {
        const piece = await run(reader.read(Math.min(readSize, length - at), task))
        at += piece.byteLength
        digest.update(piece)
        yield piece
      }
    }
    return {
      number,
      body: { length, sha256, open: () => Readable.from(pieces(), { objectMode: false, highWaterMark: readSize }) },
      md5: () => (md5 ??= digest.digest("hex")),
      inMemory: false
    }
  })

const sendPart = (sending: Sending, part: Part): Effect.Effect<SentPart, DeliveryError> =>
  Effect.gen(function* () {
    const { at, key, reader, task, there, upload } = sending
    const { body, number } = part
    const checksum = upload.checksums ? Client.toBase64(body.sha256) : undefined
    const kept = there.get(number)
    if (kept !== undefined && isSame(kept, part, checksum)) {
      if (part.inMemory) task.progress(body.length)
      else yield* drain(part)
      return { number, etag: Client.plainTag(kept.ETag), checksum, proof: "yes" }
    }
    const call: Client.Call = {
      method: "PUT",
      key,
      query: { partNumber: String(number), uploadId: upload.upload },
      headers:
        checksum !== undefined
          ? { "x-amz-checksum-sha256": checksum }
          : part.inMemory
            ? { "content-md5": Client.toBase64(part.md5()) }
            : {},
      body
    }
    const answer = yield* at.send(call).pipe(
      // why the file could not be read comes before what the connection made of that
      Effect.mapError((error) => Option.getOrElse<DeliveryError, DeliveryError>(reader.failure(), () => error))
    )
    if (!Client.isOk(answer)) return yield* at.refused(call, answer)
    const { etag, proof } = proofOf(at.habits, answer, body.sha256, part.md5)
    if (proof === "no") {
      return yield* new TransientError({
        reason: `${targetOf(task)}: part ${number} arrived as something else than was sent; it will be sent again.`,
        cause: Option.none()
      })
    }
    return { number, etag, checksum, proof }
  })

/** A part that is there is compared by what the service hashed itself. */
const isSame = (kept: Xml.Part, part: Part, checksum: string | undefined): boolean => {
  if (kept.Size !== part.body.length) return false
  if (checksum !== undefined && kept.ChecksumSHA256 !== undefined) return kept.ChecksumSHA256 === checksum
  return part.inMemory && Client.plainTag(kept.ETag) === part.md5()
}

/** Brings the reader behind a part that need not be sent. */
const drain = ({ body }: Part): Effect.Effect<void, DeliveryError> =>
  Effect.tryPromise({
    try: async () => {
      const stream = body.open()
      if (stream instanceof Readable) for await (const _ of stream) continue
    },
    catch: (error) => new TransientError({ reason: "The file could not be read.", cause: Option.some(error) })
  })

/** `occupied`: somebody has taken the name meanwhile. `gone`: there is no such upload; it may have been completed. */
export type Completed =
  { readonly _tag: "done"; readonly said: string; readonly proof: Proof } | { readonly _tag: "occupied" | "gone" }

/** Makes an object of the parts; with `create`, only where there is none, if the service can do that. */
export const complete = (
  { at, key, task, upload }: Sending,
  parts: ReadonlyArray<SentPart>,
  create: boolean
): Effect.Effect<Completed, DeliveryError> =>
  Effect.gen(function* () {
    const request = (condition: boolean) => {
      const call: Client.Call = {
        method: "POST",
        key,
        query: { uploadId: upload.upload },
        headers: { "content-type": "application/xml", ...(condition ? { "if-none-match": "*" } : {}) },
        body: Client.document(Xml.completeUpload(parts))
      }
      return Effect.map(Client.slow(at, call, beat(task)), (answer) => ({ answer, call }))
    }
    const conditional = create && at.habits.conditional !== "refused"
    let done = yield* request(conditional)
    if (conditional && isUnsupported(done.answer)) {
      done = yield* request(false)
      if (Client.isOk(done.answer)) at.habits.conditional = "refused"
    }
    const { answer, call } = done
    // the answer may begin before the work is done
    const code = errorCode(answer)
    if (code === "NoSuchUpload" || answer.status === 404) return { _tag: "gone" }
    if (answer.status === 412 || code === "PreconditionFailed") {
      at.habits.conditional = "honoured"
      return { _tag: "occupied" }
    }
    if (!Client.isOk(answer)) return yield* at.refused(call, answer)
    const result = Xml.parseDone(answer.body)
    if (result === undefined) return yield* Client.unfinished(at, call, answer)
    return { _tag: "done", said: answer.said, proof: proofOfAll(parts, result) }
  })

/** Each part is proved, and the whole is made of them: by its ETag or checksum, which are those of the parts' own. */
const proofOfAll = (
  parts: ReadonlyArray<SentPart>,
  { ChecksumSHA256: checksum, ETag: tag }: NonNullable<ReturnType<typeof Xml.parseDone>>
): Proof => {
  if (parts.some(({ proof }) => proof === "doubtful")) return "doubtful"
  if (parts.some(({ proof }) => proof !== "yes")) return "unknown"
  const count = `-${parts.length}`
  const tags = parts.map(({ etag }) => Buffer.from(etag, "hex"))
  const sums = parts.flatMap((part) => (part.checksum === undefined ? [] : [Buffer.from(part.checksum, "base64")]))
  const etag = `${Client.hashOf("md5", tags).toString("hex")}${count}`
  const sum = `${Client.hashOf("sha256", sums).toString("base64")}${count}`
  const whole = tags.every(({ byteLength }) => byteLength === 16) && Client.plainTag(tag) === etag
  return whole || (sums.length === parts.length && checksum === sum) ? "yes" : "unknown"
}

/** Whether what was begun is worth going on with after this end of an attempt. */
export const isResumable = (exit: Exit.Exit<unknown, DeliveryError>): boolean => {
  if (Exit.isSuccess(exit)) return false
  const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
  return (
    error === undefined ||
    error._tag === "TransientError" ||
    error._tag === "LaneDownError" ||
    error._tag === "CrowdedError"
  )
}
