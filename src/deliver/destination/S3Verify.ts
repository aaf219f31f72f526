/**
 * The proofs that what an S3 service keeps is what was sent.
 */
import { Effect, Option } from "effect"
import type { Verified } from "../../domain/Delivery.ts"
import { PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import type { Task } from "../Destination.ts"
import type { Sent } from "../SourceReader.ts"
import type { Answer } from "./HttpExchange.ts"
import * as Client from "./S3Client.ts"
import { targetOf } from "../place.ts"

/**
 * What an answer to a PUT proves: `yes`, the service has hashed what it got and it is what was sent; `no`, it is not;
 * `doubtful`, its ETag looks like an md5 and is not that of what was sent, which many services do without harm;
 * `unknown`, it says nothing.
 */
export type Proof = "yes" | "no" | "doubtful" | "unknown"

/** By the checksum that it repeats, or else by its ETag. `md5`: in hex. */
export const proofOf = (
  habits: Client.Habits,
  answer: Pick<Answer, "header">,
  sha256: string,
  md5: () => string
): { readonly proof: Proof; readonly etag: string } => {
  const etag = Client.plainTag(answer.header("etag"))
  const sum = answer.header("x-amz-checksum-sha256")
  if (sum !== undefined) return { etag, proof: sum === Client.toBase64(sha256) ? "yes" : "no" }
  if (!Client.mayBeMd5(etag, answer) || habits.etag === "opaque") return { etag, proof: "unknown" }
  if (etag === md5()) {
    habits.etag = "md5"
    return { etag, proof: "yes" }
  }
  return { etag, proof: habits.etag === "md5" ? "no" : "doubtful" }
}

/** Tells the watchdog that a request is alive which moves none of the file's bytes. */
export const beat = (task: Pick<Task, "progress">) => (): void => task.progress(1)

/** The ladder: what was proved on the way, a checksum or the size by a look at it, and reading it back. */
export const verify = (
  at: Client.Bucket,
  key: string,
  task: Task,
  sent: Sent,
  proof: Proof
): Effect.Effect<Verified, DeliveryError> =>
  Effect.gen(function* () {
    const mode = task.delivery.target.options.verify
    /** What is there is removed, unless somebody else has put it there since. */
    const wrong = (what: string, ours: boolean) =>
      Effect.zipRight(
        ours ? Effect.ignore(Client.remove(at, key)) : Effect.void,
        Effect.fail(
          new TransientError({
            reason: `${targetOf(task)}: the server kept ${what}; ${ours ? "it was removed again" : "somebody else may have replaced it"}.`,
            cause: Option.none()
          })
        )
      )
    if (proof === "yes") return "hash"
    if (proof === "no") return yield* wrong("something else than was sent", true)

    const found = yield* look(at, key, mode === "auto")
    if (found === "denied") return "status"
    if (found === undefined) {
      return yield* new TransientError({
        reason: `${targetOf(task)}: the server took it, and does not have it.`,
        cause: Option.none()
      })
    }
    const ours = found.meta("filedispatch-delivery") === task.idempotencyKey
    if (found.size !== null && found.size !== sent.bytes) {
      return yield* wrong(`${found.size} of the ${sent.bytes} bytes that were sent`, ours)
    }
    const sha256 =
      found.sha256 ??
      (mode === "hash" || proof === "doubtful" ? yield* Client.readBack(at, key, beat(task)) : undefined)
    if (sha256 !== undefined && sha256 !== sent.sha256) {
      return yield* wrong(`something else than was sent (sha256 ${sha256} instead of ${sent.sha256})`, ours)
    }
    if (proof === "doubtful") at.habits.etag = "opaque"
    if (sha256 !== undefined) return "hash"
    if (found.size !== null) return "size"
    if (mode === "auto") return "status"
    return yield* new PermanentError({
      reason: `${targetOf(task)}: the server does not tell the size of what it has, so that \`verify: ${mode}\` can't be kept. Use \`verify: auto\`.`,
      cause: Option.none()
    })
  })

/** An account that may write and not read is enough where nothing else was asked for. */
const look = (
  at: Client.Bucket,
  key: string,
  mayBeDenied: boolean
): Effect.Effect<Client.Found | "denied" | undefined, DeliveryError> =>
  Effect.gen(function* () {
    if (!mayBeDenied) return yield* Client.head(at, key)
    const answer = yield* at.send(Client.lookCall(key))
    return answer.status === 403 ? ("denied" as const) : yield* Client.found(at, key, answer)
  })
