/**
 * What has become of an object: its size, and its sha256 where the service keeps that of the whole object.
 */
import { Effect } from "effect"
import type { DeliveryError } from "../../domain/DeliveryError.ts"
import type { Examination, ExamineTask } from "../Destination.ts"
import { neverShown, wantsHash } from "../Examine.ts"
import * as Client from "./S3Client.ts"
import { keyOf } from "./S3Naming.ts"
import { beat } from "./S3Verify.ts"

export const examine = (
  bucket: Effect.Effect<Client.Bucket, DeliveryError>,
  task: ExamineTask
): Effect.Effect<Examination, DeliveryError> =>
  Effect.gen(function* (): Effect.fn.Return<Examination, DeliveryError> {
    const at = yield* bucket
    const key = keyOf(task.target, task.receipt.name)
    const answer = yield* at.send(Client.lookCall(key))
    // an account that may write and not read
    if (answer.status === 403 && task.receipt.verified === "status") return neverShown
    const there = yield* Client.found(at, key, answer)
    if (there === undefined) return { _tag: "Nothing" }
    const { size } = there
    if (!wantsHash(task, size)) return { _tag: "File", size, sha256: undefined }
    const sha256 = there.sha256 ?? (task.verify === "hash" ? yield* Client.readBack(at, key, beat(task)) : undefined)
    return { _tag: "File", size, sha256 }
  })
