/**
 * `http` and `https`: a file is one request, its body streamed in constant memory, or a resumable upload ({@link Tus}).
 *
 * `upload: multipart` POSTs a form with one file part to the target's path. `upload: raw` PUTs the bare bytes to the
 * target's path with the file's own path below it; a URL with a query and without a slash at the end of its path is
 * that of one object, as a pre-signed one is, and the file goes exactly there. HTTP has no rename: whether a partial
 * upload can be seen is up to the server, but it always knows the full length beforehand, and a body that could not be
 * completed is cut short of it.
 *
 * `Content-Digest` (RFC 9530) goes with files up to {@link small}, and with larger ones under `verify: hash`, which
 * costs another pass over the file. A POST whose body went out whole and whose answer was lost is ambiguous: it carries
 * an `Idempotency-Key`, but only the config can say that the server keeps it. A PUT may simply be sent again.
 */
import { Effect, Option, type Layer } from "effect"
import type { Receipt } from "../../domain/Delivery.ts"
import type { DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import * as Destination from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import * as HttpBatch from "./HttpBatch.ts"
import * as Conflict from "./HttpConflict.ts"
import { examine } from "./HttpExamine.ts"
import * as Exchange from "./HttpExchange.ts"
import { prove } from "./HttpLook.ts"
import { pathOf, planOf, type Plan } from "./HttpPlan.ts"
import { probe } from "./HttpProbe.ts"
import { follow, type Hop } from "./HttpRedirect.ts"
import { requestOf, smallRequest, unfinished } from "./HttpUpload.ts"
import * as Tus from "./Tus.ts"

export type Options = Exchange.Options

/** Files up to this size, in bytes, are read before they are sent. */
const small = 1024 * 1024

export const make = (options: Options = {}): Effect.Effect<Destination.Destination> =>
  Effect.succeed({
    schemes: ["http", "https"],
    protocol: "http",
    worker: "HTTP worker",
    // of `upload: raw`; the others can only overwrite
    conflicts: ["overwrite", "skip", "rename", "fail", "newer"],
    open: (_, { concurrency }) =>
      Effect.map(Exchange.make(options), (exchange) => {
        const tus = Tus.make(exchange)
        return {
          deliver: (task) => deliver(exchange, tus, task),
          batch: HttpBatch.make({ exchange, workers: concurrency, deliver: (task) => deliver(exchange, tus, task) }),
          recover: (task) =>
            task.delivery.target.options.upload === "tus"
              ? tus.recover(task)
              : Conflict.adopt(exchange, task, pathOf(task.delivery.target, task.secrets)),
          discard: tus.discard,
          probe: (task) => probe(exchange, task),
          examine: (task) => examine(exchange, task)
        }
      })
  })

export const layer = (options: Options = {}): Layer.Layer<never, never, Destination.Destinations> =>
  Destination.layer(make(options))

const deliver = (
  exchange: Exchange.Exchange,
  tus: Tus.Tus,
  task: Destination.Task
): Effect.Effect<Receipt, DeliveryError> =>
  Effect.flatMap(planOf(task), (plan) => {
    const { conflict, upload } = task.delivery.target.options
    if (upload === "tus") return tus.deliver(task)
    if (conflict === "overwrite") {
      const picked = { name: task.delivery.name, exclusive: false }
      return Effect.flatMap(transfer(exchange, task, plan, picked), (done) =>
        conclude(exchange, task, done, picked.name)
      )
    }
    return Effect.flatMap(Conflict.adopt(exchange, task, plan.pathOf), (adopted) =>
      Option.isSome(adopted) ? Effect.succeed(adopted.value) : deliverWhereFree(exchange, task, plan, 5)
    )
  })

/** As the conflict policy says; where somebody was faster, it decides once more. */
const deliverWhereFree = (
  exchange: Exchange.Exchange,
  task: Destination.Task,
  plan: Plan,
  tries: number
): Effect.Effect<Receipt, DeliveryError> =>
  Effect.gen(function* () {
    const picked = yield* Conflict.pick(exchange, task, plan.pathOf)
    yield* task.choose(picked.name)
    const done = yield* transfer(exchange, task, plan, picked)
    if (!picked.exclusive || done.answer.status !== 412) return yield* conclude(exchange, task, done, picked.name)
    if (task.delivery.target.options.conflict !== "rename" || tries <= 1) return yield* Conflict.occupied(task)
    return yield* deliverWhereFree(exchange, task, plan, tries - 1)
  })

interface Transfer extends Hop {
  /** None: not all of it was read. */
  readonly sent: Option.Option<SourceReader.Sent>
}

/** Sends the file, and again where a redirect leads. */
const transfer = (
  exchange: Exchange.Exchange,
  task: Destination.Task,
  plan: Plan,
  picked: Conflict.Picked
): Effect.Effect<Transfer, DeliveryError> => {
  const path = plan.pathOf(picked.name)
  const headers = picked.exclusive ? { ...plan.headers, "if-none-match": "*" } : plan.headers
  return task.delivery.generation.size <= small
    ? transferSmall(exchange, task, { ...plan, headers }, path)
    : transferLarge(exchange, task, { ...plan, headers }, path)
}

const transferSmall = (
  exchange: Exchange.Exchange,
  task: Destination.Task,
  plan: Plan,
  path: string
): Effect.Effect<Transfer, DeliveryError> =>
  Effect.flatMap(SourceReader.whole(task.delivery.generation, task), (whole) =>
    follow(task.delivery.target, path, (path) => {
      const request = smallRequest(task, plan, path, whole)
      return Effect.map(exchange.send(request), (answer) => ({ request, answer, sent: Option.some(whole.sent) }))
    })
  )

const transferLarge = (
  exchange: Exchange.Exchange,
  task: Destination.Task,
  plan: Plan,
  path: string
): Effect.Effect<Transfer, DeliveryError> =>
  Effect.gen(function* () {
    const { generation, target } = task.delivery
    const sha256 =
      target.options.verify === "hash"
        ? yield* SourceReader.peek(generation, 0, generation.size, task.progress)
        : undefined
    const frame = (plan.frame.before?.byteLength ?? 0) + (plan.frame.after?.byteLength ?? 0)
    return yield* follow(target, path, (path) =>
      Effect.scoped(
        Effect.gen(function* () {
          const reader = yield* SourceReader.open(generation)
          const body = reader.stream({ ...plan.frame, progress: task.progress, pace: task.pace, drains: true })
          const request = { ...requestOf(task, plan, path, reader.size + frame, sha256), body, reader }
          const answer = yield* exchange.send(request)
          const sent = reader.complete() ? Option.some(yield* reader.sent) : Option.none()
          return { request, answer, sent }
        })
      )
    )
  })

const conclude = (
  exchange: Exchange.Exchange,
  task: Destination.Task,
  { answer, request, sent }: Transfer,
  name: RelPath.RelPath
): Effect.Effect<Receipt, DeliveryError> => {
  if (answer.status < 200 || answer.status > 299) return Exchange.refused(request, answer)
  if (answer.whole !== true || Option.isNone(sent)) {
    return unfinished(task, name, answer)
  }
  // One consistent state of the file went out; what became of it since is the next generation's matter.
  const { bytes, sha256 } = sent.value
  return Effect.map(prove(exchange, task, { answer, request }, sent.value), (verified) => ({
    bytes,
    sha256,
    said: answer.said,
    verified,
    name
  }))
}
