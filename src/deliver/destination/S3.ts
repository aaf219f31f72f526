/**
 * `s3`: objects in a bucket of Amazon S3 or of any service with its API (`endpoint`).
 *
 * `s3://accessKey:secretKey@bucket/prefix`; where the keys are not in the URL, see S3Credentials. A file of up
 * to 8 MiB (`partSize`) is put at once, a larger one in parts. Either appears whole or not at all, by the protocol
 * itself, so that there are no temp names. An upload in parts that breaks is gone on with, and one that is given up is
 * aborted; a process that is killed in the moment in which it begins one leaves it empty behind, as does a service that
 * can't abort.
 *
 * Proof: the service's own sha256 of what it got (`x-amz-checksum-sha256`), or an md5 in its ETag; else the size; and
 * reading it back with `verify: hash` where the service has neither. Services that don't know these checksums are sent
 * a `Content-MD5` instead.
 *
 * Conflicts: under `fail`, `skip` and `rename` the name is looked at first, and then taken with `If-None-Match: *`
 * where the service knows that. Where it doesn't, somebody who takes the name between the look and the end of the
 * upload loses. `backup` copies at the service, which S3 does up to 5 GiB. `newer` compares with the file's time as
 * kept in `x-amz-meta-mtime` (seconds, as rclone has it), else with that of the upload.
 *
 * Each object says in `x-amz-meta-filedispatch-delivery` which delivery made it, so that a lost answer is no question:
 * an object that says so is delivered.
 *
 * Names are UTF-8, 1,024 bytes at most with the prefix. Control characters in them are kept, though some services' lists
 * can't show them.
 */
import { createHash } from "node:crypto"
import { Effect, Exit, type Layer, Option, type Scope } from "effect"
import type { Receipt } from "../../domain/Delivery.ts"
import { PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Secrets } from "../../domain/Settings.ts"
import type { Target } from "../../domain/Target.ts"
import * as Destination from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import * as about from "./about.ts"
import { contentType } from "./contentType.ts"
import * as Exchange from "./HttpExchange.ts"
import * as Client from "./S3Client.ts"
import * as S3Credentials from "./S3Credentials.ts"
import { isUnsupported } from "./S3Error.ts"
import { examine } from "./S3Examine.ts"
import * as Multipart from "./S3Multipart.ts"
import { adopted, commit, keyOf, maxKey, pickName, type Claimed, type Pick } from "./S3Naming.ts"
import { probe } from "./S3Probe.ts"
import { proofOf, verify } from "./S3Verify.ts"
import { targetOf } from "../place.ts"

export interface Options extends Exchange.Options {
  /** Where credentials and settings are looked for that the config does not have; by default the process's own. */
  readonly environment?: S3Credentials.Environment
}

const mib = 1024 * 1024
/** Of all deliveries of a lane together, for what they read: one half is shared out, the other is for who comes first. */
const memory = 48 * mib
/** How long aborting an upload may hold up the end of an attempt. */
const cleanupTimeout = 5_000

export const make = (options: Options = {}): Effect.Effect<Destination.Destination> =>
  Effect.succeed({
    ...about.s3,
    open: (_, open) => openLane(options, open)
  })

export const layer = (options: Options = {}): Layer.Layer<never, never, Destination.Destinations> =>
  Destination.layer(make(options))

const openLane = (
  options: Options,
  { concurrency }: Destination.OpenOptions
): Effect.Effect<Destination.Connection, never, Scope.Scope> =>
  Effect.gen(function* () {
    const exchange = yield* Exchange.make(options)
    const environment = options.environment ?? process.env
    const profile = yield* Effect.cachedWithTTL(S3Credentials.readProfile(environment), "10 seconds")
    const habits = new Map<string, Client.Habits>()
    const signingKeys = new Map<string, ArrayBuffer>()
    const bucketOf = (target: Target, secrets: Secrets) =>
      Effect.map(S3Credentials.resolve(target, secrets, environment, profile), (service) => {
        const known = habits.get(service.origin) ?? Client.noHabits()
        habits.set(service.origin, known)
        return Client.bucket({ exchange, target, service, habits: known, signingKeys })
      })
    const lane: Lane = {
      bucketOf,
      share: Math.floor(memory / 2 / Math.max(1, concurrency)),
      spare: memory / 2,
      claimed: new Set()
    }
    return {
      deliver: (task) => deliver(lane, task),
      recover: (task) => recover(lane, task),
      discard: (task) => discard(lane, task),
      probe: (task) => probe(bucketOf(task.target, task.secrets), keyOf(task.target, task.temp), task),
      examine: (task) => examine(bucketOf(task.target, task.secrets), task)
    }
  })

interface Lane {
  readonly bucketOf: (target: Target, secrets: Secrets) => Effect.Effect<Client.Bucket, DeliveryError>
  /** Bytes that each delivery may hold. */
  readonly share: number
  /** Bytes that are left for who needs more. */
  spare: number
  readonly claimed: Claimed
}

const deliver = Effect.fn("S3.deliver")(function* (
  lane: Lane,
  task: Destination.Task
): Effect.fn.Return<Receipt, DeliveryError> {
  yield* checkName(task)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const { generation, target } = task.delivery
      const reader = yield* SourceReader.open(generation)
      const at = yield* lane.bucketOf(target, task.secrets)
      const small = reader.size <= Math.min(Multipart.partSize(reader.size, target.options.partSize), lane.share)
      if (small && Option.isNone(Multipart.noted(task))) return yield* putWhole(lane, at, reader, task)
      return yield* putParts(lane, at, reader, task)
    })
  )
})

/** A small file, in one request. */
const putWhole = (
  lane: Lane,
  at: Client.Bucket,
  reader: SourceReader.SourceReader,
  task: Destination.Task
): Effect.Effect<Receipt, DeliveryError, Scope.Scope> =>
  Effect.gen(function* () {
    const chunks = yield* Multipart.readChunks(reader, reader.size)
    const sent = yield* reader.sent
    const body = Client.body(chunks, sent.sha256, task)
    const md5 = () => Client.hashOf("md5", chunks).toString("hex")
    for (let round = 0; round < 10; round++) {
      const pick = yield* pickName(lane.claimed, at, task)
      if (pick._tag === "ours") return pick.receipt
      const { create, name } = pick
      yield* commit(at, pick, task)
      const key = keyOf(task.delivery.target, name)
      const headers = { ...metadata(task), "x-amz-meta-sha256": sent.sha256 }
      const stored = yield* put(at, { method: "PUT", key, headers, body }, create, md5)
      // somebody was faster: the next look finds it
      if (stored === "occupied") continue
      const { proof } = proofOf(at.habits, stored, sent.sha256, md5)
      const verified = yield* verify(at, key, task, sent, proof)
      return { bytes: sent.bytes, sha256: sent.sha256, said: stored.said, verified, name }
    }
    return yield* new TransientError({
      reason: `${targetOf(task)}: every name that was free was taken a moment later. Something else writes there.`,
      cause: Option.none()
    })
  })

/** One PUT, with as much of checksum and condition as the service takes. */
const put = (
  at: Client.Bucket,
  call: Client.Call & { readonly body: Client.Body },
  create: boolean,
  md5: () => string
): Effect.Effect<Exchange.Answer | "occupied", DeliveryError> =>
  Effect.gen(function* () {
    const { habits } = at
    const sum = Client.toBase64(call.body.sha256)
    const request = (checksum: boolean, condition: boolean) =>
      at.send({
        ...call,
        headers: {
          ...call.headers,
          "x-amz-checksum-sha256": checksum ? sum : undefined,
          "content-md5": checksum && habits.checksum !== "ignored" ? undefined : Client.toBase64(md5()),
          "if-none-match": condition ? "*" : undefined
        }
      })
    let checksum = habits.checksum !== "refused"
    let condition = create && habits.conditional !== "refused"
    let answer = yield* request(checksum, condition)
    if (checksum && habits.checksum !== "honoured" && isUnsupported(answer)) {
      checksum = false
      answer = yield* request(checksum, condition)
    }
    if (condition && habits.conditional !== "honoured" && isUnsupported(answer)) {
      condition = false
      answer = yield* request(checksum, condition)
    }
    if (condition && answer.status === 412) {
      habits.conditional = "honoured"
      return "occupied"
    }
    if (!Client.isOk(answer)) return yield* at.refused(call, answer)
    if (!checksum) habits.checksum = "refused"
    else habits.checksum = answer.header("x-amz-checksum-sha256") === undefined ? "ignored" : "honoured"
    if (create && !condition) habits.conditional = "refused"
    return answer
  })

/** A large file, in parts; or one whose upload in parts an earlier attempt has begun. */
const putParts = (
  lane: Lane,
  at: Client.Bucket,
  reader: SourceReader.SourceReader,
  task: Destination.Task
): Effect.Effect<Receipt, DeliveryError, Scope.Scope> =>
  Effect.gen(function* () {
    const { target } = task.delivery
    const earlier = Option.getOrUndefined(Multipart.noted(task))
    const pick = yield* pickName(lane.claimed, at, task).pipe(
      // what will not be published is not kept
      Effect.tapError((error) =>
        earlier !== undefined && (error._tag === "PermanentError" || error._tag === "SkippedError")
          ? giveUp(at, earlier, task)
          : Effect.void
      )
    )
    if (pick._tag === "ours") return pick.receipt
    const key = keyOf(target, pick.name)
    const there = earlier?.name === pick.name ? yield* Multipart.partsOf(at, key, earlier) : undefined
    if (earlier !== undefined && there === undefined) {
      // it is gone where its answer was lost, too: under `overwrite` nobody has looked yet
      const object = pick.looked ? undefined : yield* Client.head(at, keyOf(target, earlier.name))
      const receipt = object === undefined ? undefined : yield* adopted(at, object, earlier.name, task)
      if (receipt !== undefined) return receipt
      yield* Effect.ignore(Multipart.abort(at, keyOf(target, earlier.name), earlier))
    }
    yield* commit(at, pick, task)
    const upload =
      earlier !== undefined && there !== undefined
        ? earlier
        : yield* Multipart.begin(at, key, pick.name, task, metadata(task))
    const sending: Multipart.Sending = {
      at,
      key,
      upload,
      reader,
      task,
      there: there ?? new Map(),
      memory: yield* borrowed(lane, upload.part)
    }
    return yield* finish(lane, sending, pick).pipe(
      Effect.onExit((exit) =>
        Exit.isSuccess(exit) || (Multipart.isResumable(exit) && Option.isNone(reader.failure()))
          ? Effect.void
          : giveUp(at, upload, task)
      )
    )
  })

const finish = (
  lane: Lane,
  sending: Multipart.Sending,
  pick: Pick
): Effect.Effect<Receipt, DeliveryError, Scope.Scope> =>
  Effect.gen(function* () {
    const { at, key, reader, task, there, upload } = sending
    const parts = yield* Multipart.send(sending)
    const sent = yield* reader.finish
    const again = () =>
      new TransientError({
        reason: `${targetOf(task)}: the name was taken, or the upload was ended by somebody else, before it was complete. It will be sent again.`,
        cause: Option.none()
      })
    // nothing but a look keeps a name that was free an hour ago
    if (pick.create && at.habits.conditional === "refused") {
      const now = yield* Client.head(at, key)
      if (now !== undefined) {
        yield* giveUp(at, upload, task)
        return yield* again()
      }
    }
    const done = yield* Multipart.complete(sending, parts, pick.create)
    if (done._tag !== "done") {
      const object = yield* Client.head(at, key)
      const receipt = object === undefined ? undefined : yield* adopted(at, object, pick.name, task)
      if (receipt !== undefined) return receipt
      yield* giveUp(at, upload, task)
      // `fail` and `skip` say what follows from it
      const next = yield* pickName(lane.claimed, at, task)
      return next._tag === "ours" ? next.receipt : yield* again()
    }
    const verified = yield* verify(at, key, task, sent, done.proof)
    const kept = there.size === 0 ? "" : ` (resumed with ${there.size} of ${parts.length} parts)`
    return { bytes: sent.bytes, sha256: sent.sha256, said: `${done.said}${kept}`, verified, name: pick.name }
  })

/** Aborts an upload, and forgets it; what can't be aborted now stays noted, so that it is tried again. */
const giveUp = (at: Client.Bucket, upload: Multipart.Upload, task: Destination.Task): Effect.Effect<void> =>
  Multipart.abort(at, keyOf(task.delivery.target, upload.name), upload).pipe(
    Effect.zipRight(Effect.suspend(() => task.note(null))),
    Effect.interruptible,
    Effect.timeout(cleanupTimeout),
    Effect.catchAllCause((cause) => Effect.logDebug(`The upload of ${targetOf(task)} could not be aborted yet`, cause))
  )

/** Bytes that this file may hold: its share, and what is left for more parts at once. */
const borrowed = (lane: Lane, part: number): Effect.Effect<number, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const more = part > lane.share ? 0 : Math.min(lane.spare, 3 * part)
        lane.spare -= more
        return more
      }),
      (more) => Effect.sync(() => (lane.spare += more))
    ),
    (more) => lane.share + more
  )

const metadata = (task: Destination.Task): Readonly<Record<string, string>> => ({
  "content-type": contentType(task.delivery.name),
  "x-amz-meta-mtime": String(task.delivery.generation.mtime / 1000),
  "x-amz-meta-filedispatch-delivery": task.idempotencyKey
})

/**
 * After a restart: adopts what this delivery has made. Of a name that was chosen, because it was free then, an object of
 * the same content is taken for it, too. An upload in parts stays, to be gone on with.
 */
const recover = Effect.fn("S3.recover")(function* (
  lane: Lane,
  task: Destination.Task
): Effect.fn.Return<Option.Option<Receipt>, DeliveryError> {
  yield* checkName(task)
  const { chosen, generation, name, target } = task.delivery
  const at = yield* lane.bucketOf(target, task.secrets)
  const final = Option.match(Multipart.noted(task), { onNone: () => chosen ?? name, onSome: (upload) => upload.name })
  const there = yield* Client.head(at, keyOf(target, final))
  if (there === undefined) return Option.none()
  const ours = yield* adopted(at, there, final, task)
  if (ours !== undefined || chosen === null || there.size !== generation.size) return Option.fromNullable(ours)
  const [sha256, md5] = yield* hashesOf(generation)
  if (there.sha256 !== sha256 && (there.sha256 !== undefined || there.etag !== md5)) return Option.none()
  const said = "found at the target after a restart"
  return Option.some({ bytes: generation.size, sha256, said, verified: "hash" as const, name: final })
})

const hashesOf = (
  generation: Destination.Task["delivery"]["generation"]
): Effect.Effect<readonly [sha256: string, md5: string], SourceReader.SourceError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const reader = yield* SourceReader.open(generation)
      const md5 = createHash("md5")
      while (!reader.complete()) {
        for (const chunk of yield* Multipart.readChunks(reader, 256 * 1024)) md5.update(chunk)
      }
      return [(yield* reader.sent).sha256, md5.digest("hex")] as const
    })
  )

/** Aborts what an upload that will not go on has left. */
const discard = (lane: Lane, task: Destination.Task): Effect.Effect<void, DeliveryError> =>
  Effect.gen(function* () {
    const upload = Option.getOrUndefined(Multipart.noted(task))
    if (upload === undefined) return
    const at = yield* lane.bucketOf(task.delivery.target, task.secrets)
    yield* Multipart.abort(at, keyOf(task.delivery.target, upload.name), upload)
  })

/** Before anything is sent: what a key can't be, and what a URL would take for a way out of the prefix. */
const checkName = (task: Destination.Task): Effect.Effect<void, PermanentError> => {
  const { chosen, generation, name, target } = task.delivery
  const refuse = (why: string) =>
    Effect.fail(
      new PermanentError({
        reason: `${SourceReader.describe(generation)} can't be sent to ${target.url}: ${why}.`,
        cause: Option.none()
      })
    )
  for (const path of chosen === null ? [name] : [name, chosen]) {
    if (!RelPath.isText(path)) return refuse("its name is not UTF-8, which a key must be. Rename the file")
    if (path.includes("\0")) return refuse("its name has a NUL in it. Rename the file")
    if (path.split("/").some((segment) => segment === "" || segment === "." || segment === "..")) {
      return refuse("its name has an empty part, or is . or .. somewhere. Rename the file")
    }
    const bytes = Buffer.byteLength(keyOf(target, path))
    if (bytes > maxKey) {
      return refuse(`its key has ${bytes} bytes, and ${maxKey} is the most. Rename it, or shorten the target's path`)
    }
  }
  return target.path.split("/").some((segment) => segment === "." || segment === "..")
    ? refuse("the target's path has a . or .. in it")
    : Effect.void
}
