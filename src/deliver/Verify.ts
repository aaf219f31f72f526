/**
 * The proofs that a server has what was sent, and the look for what an earlier attempt has brought there.
 */
import { createHash } from "node:crypto"
import { Effect, Option } from "effect"
import type { Receipt, Verified } from "../domain/Delivery.ts"
import { PermanentError, TransientError, type DeliveryError } from "../domain/DeliveryError.ts"
import type { Task } from "./Destination.ts"
import * as Publish from "./Publish.ts"
import type { Place } from "./Publish.ts"
import * as SourceReader from "./SourceReader.ts"
import type { Session, Stored } from "./Staging.ts"
import { targetOf } from "./place.ts"

/** The ladder of proofs: a hash, where there is one or one is asked for; the size; that the server said so. */
export const verify = (
  session: Session,
  path: string,
  stored: Stored,
  sent: SourceReader.Sent,
  task: Task
): Effect.Effect<Verified, DeliveryError> =>
  Effect.gen(function* () {
    const mode = task.delivery.target.options.verify
    const size = stored.size === undefined ? ((yield* session.stat(path))?.size ?? null) : stored.size
    if (size !== null && size !== sent.bytes) {
      const what = `the server kept ${size} of the ${sent.bytes} bytes that were sent; they were removed again.`
      return yield* mismatch(task, what)
    }
    const offered =
      stored.sha256 ?? (mode === "size" || session.hash === undefined ? undefined : yield* session.hash(path))
    const sha256 = offered ?? (mode === "hash" ? yield* readBack(session, path, 0, task) : undefined)
    if (sha256 !== undefined && sha256 !== sent.sha256) {
      const what = `what the server kept is not what was sent (sha256 ${sha256} instead of ${sent.sha256}); it was removed again.`
      return yield* mismatch(task, what)
    }
    if (sha256 !== undefined) return "hash"
    if (size !== null) return "size"
    if (mode === "auto") return "status"
    return yield* new PermanentError({
      reason: `${targetOf(task)}: the server does not tell the size of what it has, so that \`verify: ${mode}\` can't be kept. Use \`verify: auto\`, or let the user list the folder.`,
      cause: Option.none()
    })
  })

/** Found out by {@link verify}: the server has something else than it was sent. */
const mismatch = (task: Task, what: string): TransientError =>
  new TransientError({ reason: `${targetOf(task)}: ${what}`, cause: Option.some(different) })
const different = new Error("the server has something else than it was sent")
export const isMismatch = (error: TransientError): boolean => Option.contains(error.cause, different)

/** The sha256, in hex, of what is there from `offset` on. */
export const readBack = (
  session: Session,
  path: string,
  offset: number,
  task: Pick<Task, "progress">
): Effect.Effect<string, DeliveryError> =>
  Effect.suspend(() => {
    const digest = createHash("sha256")
    const receive = (chunk: Uint8Array) => {
      task.progress(chunk.byteLength)
      digest.update(chunk)
    }
    return Effect.map(session.read(path, offset, receive), () => digest.digest("hex"))
  })

/**
 * What a rename that was under way has made.
 *
 * That is known only where a name was chosen because it was free: what is there now, while no temp file is left, is ours
 * if it has our content. Under `newer` it has to be as new as ours, too. Under `overwrite` nothing was chosen; where the
 * server has a hash, that tells. Otherwise it is sent again, which does no harm. `traces`: the temp names.
 */
export const adopt = (
  session: Session,
  place: Place,
  task: Task,
  traces: ReadonlySet<string>
): Effect.Effect<Option.Option<Receipt>, DeliveryError> =>
  Effect.gen(function* () {
    const { chosen, generation, interrupted, name, target } = task.delivery
    const { conflict } = target.options
    const byName = chosen !== null && conflict !== "overwrite"
    const byHash = interrupted && session.hash !== undefined
    if (!byName && !byHash) return Option.none()
    for (const temp of traces) {
      if ((yield* session.stat(`${place.folder}/${temp}`)) !== undefined) return Option.none()
    }
    const final = chosen ?? name
    const there = yield* session.stat(place.at(final))
    if (there?.size !== generation.size || there.folder) return Option.none()
    const old = there.mtime === null || there.mtime < Publish.wholeSeconds(generation.mtime)
    if (conflict === "newer" && old && !byHash) return Option.none()
    const proof = yield* contentOf(session, place.at(final), task, byName)
    if (proof === undefined && !byName) return Option.none()
    if (proof !== undefined && proof !== (yield* SourceReader.peek(generation, 0, generation.size, task.progress))) {
      return Option.none()
    }
    return Option.some({
      bytes: generation.size,
      sha256: proof ?? null,
      said: "found at the target after a restart",
      verified: proof === undefined ? ("size" as const) : ("hash" as const),
      name: final
    })
  })

/**
 * The sha256 of what is there, read back where the server has no hash: somebody else may have taken the name, with a
 * file of the same size. Undefined where it may not be read, and the size has to do.
 */
const contentOf = (
  session: Session,
  path: string,
  task: Task,
  reads: boolean
): Effect.Effect<string | undefined, DeliveryError> =>
  Effect.gen(function* () {
    const hash = session.hash === undefined ? undefined : yield* session.hash(path)
    if (hash !== undefined || !reads) return hash
    return yield* Effect.catchTag(readBack(session, path, 0, task), "PermanentError", () =>
      Effect.sync(() => undefined)
    )
  })
