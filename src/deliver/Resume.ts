/**
 * Going on with an upload that broke: what an attempt has noted of it, and how much of what lies there is the beginning
 * of the file.
 */
import { Cause, Effect, Option, type Exit } from "effect"
import type { Delivery } from "../domain/Delivery.ts"
import type { DeliveryError } from "../domain/DeliveryError.ts"
import { isTempName } from "../files/names.ts"
import type { Task } from "./Destination.ts"
import * as SourceReader from "./SourceReader.ts"
import type { Session } from "./Staging.ts"
import { readBack } from "./Verify.ts"

/** From this size on what is left of an upload that broke is kept, to go on from there. */
export const resumable = 8 * 1024 * 1024

/** So many bytes before the end of what is there are read back where a server has no hash. */
const tail = 256 * 1024

/** In a note: what lies there is only waiting to be removed. */
export const spoilt = "-"

/** The temp file from which an upload may go on. */
export const resumeOf = ({ resume }: Delivery): string | undefined =>
  resume !== null && isTempName(resume) ? resume : undefined

/** Temp names that attempts at this delivery may have left. */
export const traces = ({ delivery, stale, temp }: Task): ReadonlySet<string> =>
  new Set([...stale, temp, ...notedIn(delivery)])

/** Nothing but our own temp files is ever removed for a note. */
const notedIn = ({ resume }: Delivery): ReadonlyArray<string> => {
  const temp = resume?.startsWith(spoilt) === true ? resume.slice(spoilt.length) : resume
  return temp !== null && isTempName(temp) ? [temp] : []
}

/** Whether another attempt may use what this one has left. */
export const goesOn = (exit: Exit.Failure<unknown, DeliveryError>): boolean =>
  Option.match(Cause.failureOption(exit.cause), {
    onNone: () => Cause.isInterruptedOnly(exit.cause),
    // a disk that is full is not kept full
    onSome: ({ _tag }) => _tag === "TransientError" || _tag === "CrowdedError"
  })

/**
 * How many bytes at the temp name are the beginning of this file; the reader is behind them. By the server's hash of
 * them, or else by their end, read back; what is not a beginning of it is removed.
 */
export const prefix = (
  session: Session,
  reader: Skipping,
  path: string,
  task: Task
): Effect.Effect<number, DeliveryError> =>
  Effect.gen(function* () {
    const there = yield* session.stat(path)
    if (there === undefined || there.size === null || there.size === 0) return 0
    const { size } = there
    if (size <= reader.size && (yield* isPrefix(session, path, size, task))) {
      yield* reader.skip(size)
      return size
    }
    yield* session.remove(path)
    return 0
  })

const isPrefix = (session: Session, path: string, size: number, task: Task): Effect.Effect<boolean, DeliveryError> =>
  Effect.gen(function* () {
    const offset = Math.max(0, size - Math.max(tail, session.inFlight ?? 0))
    const theirs = session.hash === undefined ? undefined : yield* session.hash(path, size)
    const there = theirs ?? (yield* readBack(session, path, offset, task))
    const ours = yield* SourceReader.peek(task.delivery.generation, theirs === undefined ? offset : 0, size)
    return there === ours
  }).pipe(
    // an account that may only write
    Effect.catchTag("PermanentError", () => Effect.succeed(false))
  )

/** What is read and not sent. */
interface Skipping {
  readonly size: number
  readonly skip: (bytes: number) => Effect.Effect<unknown, DeliveryError>
}
