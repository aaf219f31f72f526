/**
 * What has become of a file in a local folder.
 *
 * Reading it costs no traffic, so its hash is compared unless only sizes are asked for. No link is followed: a delivery
 * makes none, and what is behind one is somebody else's file.
 */
import { createHash } from "node:crypto"
import type { Stats } from "node:fs"
import { lstat, open } from "node:fs/promises"
import { Effect, Option } from "effect"
import { LaneDownError, PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { isNothing, kindOf, openFlags, smallFile } from "../../files/examine.ts"
import { codeOf } from "../../files/fault.ts"
import type { Copier } from "../../files/Files.ts"
import { below, fsPath } from "../../files/names.ts"
import type { Connection, Examination, ExamineTask } from "../Destination.ts"
import { wantsHash } from "../Examine.ts"

/** Bytes that are read at once. */
const chunk = 256 * 1024

export const examine = (task: ExamineTask): Effect.Effect<Examination, DeliveryError> => {
  const path = below(task.target.path, task.receipt.name)
  return Effect.tryPromise({
    try: (signal) => look(path, task, signal),
    catch: (error) => faultOf(path, error)
  })
}

/** Files that a thread is asked for at once: a hop between threads costs more than the look at a small one. */
const batch = 32

/** Those that are small, by the threads of the lane. */
export const examineAll = (copier: Copier): NonNullable<Connection["examineAll"]> => ({
  size: batch,
  accepts: ({ bytes }) => bytes <= smallFile,
  examine: (tasks) =>
    copier
      .examine(
        tasks.map((task) => ({
          path: below(task.target.path, task.receipt.name),
          hashed: wantsHash(task, task.receipt.bytes) ? task.receipt.bytes : null
        }))
      )
      .pipe(
        // each of them, asked by itself, says what is wrong
        Effect.orElseSucceed(() => []),
        Effect.map((seen) => tasks.map((_, index) => seen[index] ?? undefined))
      )
})

const look = async (path: string, task: ExamineTask, signal: AbortSignal): Promise<Examination> => {
  const found = await there(path)
  if (found === undefined) return { _tag: "Nothing" }
  if (!found.isFile()) return { _tag: "Other", what: kindOf(found) }
  const { size } = found
  return { _tag: "File", size, sha256: wantsHash(task, size) ? await hash(path, size, task, signal) : undefined }
}

const there = async (path: string): Promise<Stats | undefined> => {
  try {
    return await lstat(fsPath(path))
  } catch (error) {
    if (isNothing(error)) return undefined
    throw error
  }
}

const hash = async (path: string, size: number, { progress }: ExamineTask, signal: AbortSignal): Promise<string> => {
  const file = await open(fsPath(path), openFlags)
  try {
    const digest = createHash("sha256")
    // one more than there is, so that the end is seen with the last of it
    const buffer = Buffer.allocUnsafe(Math.min(size + 1, chunk))
    while (!signal.aborted) {
      const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, null)
      digest.update(buffer.subarray(0, bytesRead))
      progress(bytesRead)
      if (bytesRead < buffer.byteLength) break
    }
    return digest.digest("hex")
  } finally {
    await file.close()
  }
}

const faultOf = (path: string, error: unknown): DeliveryError => {
  const code = codeOf(error)
  const where = RelPath.display(path)
  const cause = Option.some(error)
  switch (code) {
    case "EACCES":
    case "EPERM":
      return new PermanentError({ reason: `${where} can't be read: let this user read it (${code}).`, cause })
    case "ENOTCONN":
    case "ESTALE":
    case "ENODEV":
    case "ENXIO":
    case "EHOSTDOWN":
      return new LaneDownError({ reason: `${where} can't be read: mount its file system again (${code}).`, cause })
    default:
      return new TransientError({
        reason: `${where} can't be read: ${error instanceof Error ? error.message : String(error)}.`,
        cause
      })
  }
}
