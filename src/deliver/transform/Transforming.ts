/**
 * A connection whose deliveries are transformed on their way: what goes to the destination is the delivery of a file in
 * the {@link Spool}. Wrapped around it from outside, so that no destination knows of it.
 */
import { Effect, Option } from "effect"
import type { Receipt } from "../../domain/Delivery.ts"
import {
  AmbiguousError,
  CrowdedError,
  LaneDownError,
  PermanentError,
  SkippedError,
  TransientError,
  type DeliveryError
} from "../../domain/DeliveryError.ts"
import type { Transform } from "../../domain/Target.ts"
import type { Connection, Task } from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import { transformOf, type Spool, type Spooled } from "./Spool.ts"

export const wrap = (connection: Connection, spool: Spool): Connection => {
  const { batch } = connection

  /** `use` is given the delivery of the file in the spool. */
  const through = <A>(
    task: Task,
    transform: Transform,
    use: (sending: Task, spooled: Spooled) => Effect.Effect<A, DeliveryError>
  ): Effect.Effect<A, DeliveryError> =>
    Effect.gen(function* () {
      const spooled = yield* spool.take(task, transform)
      task.preparing?.done(spooled.generation.size)
      return yield* use(sendingOf(task, spooled, spool), spooled).pipe(
        Effect.catchAll((error) =>
          error._tag === "SourceChangedError" || error._tag === "SourceGoneError"
            ? Effect.zipRight(spool.drop(task.delivery.id), Effect.fail(lost(task, spool)))
            : Effect.fail(ofTheSource(error, task, spooled))
        )
      )
    })

  const deliver = (task: Task): Effect.Effect<Receipt, DeliveryError> => {
    const transform = transformOf(task.delivery)
    if (transform === undefined) return connection.deliver(task)
    return through(task, transform, (sending, spooled) =>
      Effect.gen(function* () {
        const begun = sending.delivery.resume
        if (begun === null || begun !== spooled.foreign) {
          return receiptOf(yield* connection.deliver(sending), spooled)
        }
        if (connection.discard !== undefined) yield* connection.discard(sending)
        yield* task.note(null)
        spool.cleared(task.delivery.id)
        const anew = { ...sending, delivery: { ...sending.delivery, resume: null } }
        return receiptOf(yield* connection.deliver(anew), spooled)
      })
    )
  }

  const recover = (task: Task): Effect.Effect<Option.Option<Receipt>, DeliveryError> => {
    const transform = transformOf(task.delivery)
    if (transform === undefined) return connection.recover(task)
    return through(task, transform, (sending, spooled) =>
      Effect.map(
        connection.recover(sending),
        Option.map((receipt) => receiptOf(receipt, spooled))
      )
    )
  }

  return {
    ...connection,
    deliver,
    recover,
    ...(batch === undefined
      ? {}
      : {
          batch: {
            size: batch.size,
            counted: batch.counted,
            get workers() {
              return batch.workers
            },
            accepts: (one) => transformOf(one) === undefined && batch.accepts(one),
            deliver: batch.deliver
          }
        })
  }
}

const sendingOf = (task: Task, { generation }: Spooled, spool: Spool): Task => {
  const { id } = task.delivery
  return {
    ...task,
    delivery: { ...task.delivery, generation, sole: false },
    progress: (bytes) => {
      spool.sent(id, "bytes")
      task.progress(bytes)
    },
    choose: (name) =>
      Effect.suspend(() => {
        spool.sent(id, "chosen")
        return task.choose(name)
      })
  }
}

const receiptOf = (receipt: Receipt, { foreign, sha256, sourceSha256 }: Spooled): Receipt => ({
  ...receipt,
  // what was adopted may be of bytes that are lost
  sha256: receipt.sha256 ?? (foreign === null ? sha256 : null),
  sourceSha256
})

/** No word of the source: it is transformed again. */
const lost = ({ delivery }: Task, spool: Spool): TransientError =>
  new TransientError({
    reason: `${SourceReader.describe(delivery.generation)} was prepared in ${spool.folder}, but what was there was changed or removed; it is prepared again. Leave that folder to this program.`,
    cause: Option.none()
  })

/** People know the source file, and nothing of a file in the spool. */
const ofTheSource = (error: Sent, { delivery }: Task, spooled: Spooled): DeliveryError => {
  const ours = SourceReader.describe(spooled.generation)
  if (!error.reason.includes(ours)) return error
  const fields = {
    reason: error.reason.replaceAll(ours, SourceReader.describe(delivery.generation)),
    cause: error.cause
  }
  switch (error._tag) {
    case "TransientError":
      return new TransientError({ ...fields, retryAfter: error.retryAfter, counts: error.counts })
    case "LaneDownError":
      return new LaneDownError({ ...fields, retryAfter: error.retryAfter, phase: error.phase })
    case "CrowdedError":
      return new CrowdedError({ ...fields, retryAfter: error.retryAfter })
    case "PermanentError":
      return new PermanentError(fields)
    case "AmbiguousError":
      return new AmbiguousError(fields)
    case "SkippedError":
      return new SkippedError(fields)
  }
}

type Sent = Exclude<DeliveryError, { readonly _tag: "SourceChangedError" | "SourceGoneError" }>
