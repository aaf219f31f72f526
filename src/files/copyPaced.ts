/**
 * A copy under a limit of bandwidth: piece by piece, with a wait before each. No thread is held while it waits, so that
 * it is in the way of no other copy.
 */
import { Effect } from "effect"
import type { Staged, StageResult, StepResult } from "./copy.ts"
import type { CopyJob, CopyResult, Pacer } from "./Files.ts"

/** The parts of a copy, wherever they run. */
export interface Parts<E> {
  readonly prepare: (job: CopyJob) => Effect.Effect<StageResult | null, E>
  readonly step: (job: CopyJob, offset: number, length: number) => Effect.Effect<StepResult, E>
  readonly hash: (job: CopyJob) => Effect.Effect<string | null, E>
  readonly publish: (job: CopyJob, staged: Staged) => Effect.Effect<CopyResult, E>
}

export const copyPaced = <E>(
  parts: Parts<E>,
  job: CopyJob,
  progress: (bytes: number) => void,
  pace: Pacer
): Effect.Effect<CopyResult, E> =>
  Effect.gen(function* () {
    const size = Number(job.stamp.split(":")[2])
    let result: StepResult | null = yield* parts.prepare(job)
    for (let offset = 0; result === null || result._tag === "Copied";) {
      const length = Math.min(longest, pace.chunk(), size - offset)
      if (length > 0) yield* Effect.promise(() => pace.wait(length))
      result = yield* parts.step(job, offset, length)
      progress(result._tag === "Failed" ? 0 : length)
      if (result._tag === "Copied") offset += result.bytes
    }
    if (result._tag !== "Staged") return result
    // what was read back is compared with the source in any case
    const sha256 = result.moved || result.back !== null ? null : yield* parts.hash(job)
    return yield* parts.publish(job, { ...result, sha256 })
  })

/** Bytes of a piece, where the limit is taken away meanwhile. */
const longest = 1024 * 1024
