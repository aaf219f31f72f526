/**
 * What has become of a file in a local folder.
 *
 * Reading it costs no traffic, so its hash is compared unless only sizes are asked for. No link is followed: a delivery
 * makes none, and what is behind one is somebody else's file.
 */
import { createHash } from "node:crypto"
import { constants, type Stats } from "node:fs"
import { lstat, open } from "node:fs/promises"
import { Effect, Option } from "effect"
import { LaneDownError, PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { codeOf } from "../../files/fault.ts"
import { below, fsPath } from "../../files/names.ts"
import type { Examination, ExamineTask } from "../Destination.ts"
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
    const code = codeOf(error)
    // where a folder on the way to it is a file now, there is nothing either
    if (code === "ENOENT" || code === "ENOTDIR") return undefined
    throw error
  }
}

const hash = async (path: string, size: number, { progress }: ExamineTask, signal: AbortSignal): Promise<string> => {
  // what is no file any more must neither be followed nor waited for
  const file = await open(fsPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
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

const kindOf = (found: Stats): string => {
  if (found.isDirectory()) return "a folder"
  return found.isSymbolicLink() ? "a symbolic link" : "something that is no regular file"
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
