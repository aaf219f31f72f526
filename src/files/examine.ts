/**
 * Looks at files that were delivered to local folders. Plain synchronous functions: a small file costs less by them in
 * a worker thread than by promises on the main one.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import type { Place, Seen } from "./Files.ts"
import { codeOf } from "./fault.ts"
import { fsPath } from "./names.ts"

/** Up to this size a file is read here; a larger one is for whoever can tell meanwhile that it goes on. */
export const smallFile = 1024 * 1024

/** For so long it goes on to the next one, in milliseconds: whoever waits takes no answer for a hang. */
const patience = 1_000

/**
 * What is there, in the order of the places; null: it could not be looked at, is too large, or there was no time. No
 * link is followed.
 */
export const examine = (places: ReadonlyArray<Place>): ReadonlyArray<Seen | null> => {
  const end = performance.now() + patience
  return places.map((place) => {
    if (performance.now() > end) return null
    try {
      return look(place)
    } catch {
      return null
    }
  })
}

/** What it is where it is no file. */
export const kindOf = (found: fs.Stats): string => {
  if (found.isDirectory()) return "a folder"
  return found.isSymbolicLink() ? "a symbolic link" : "something that is no regular file"
}

/** What is no file any more must neither be followed nor waited for. */
export const openFlags = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK

/** Whether nothing is there: where a folder on the way to it is a file now, there is nothing either. */
export const isNothing = (error: unknown): boolean => {
  const code = codeOf(error)
  return code === "ENOENT" || code === "ENOTDIR"
}

const look = ({ hashed, path }: Place): Seen | null => {
  const found = there(path)
  if (found === undefined) return { _tag: "Nothing" }
  if (!found.isFile()) return { _tag: "Other", what: kindOf(found) }
  const { size } = found
  if (size !== hashed) return { _tag: "File", size, sha256: undefined }
  const sha256 = size > smallFile ? null : hash(path)
  return sha256 === null ? null : { _tag: "File", size, sha256 }
}

const there = (path: string): fs.Stats | undefined => {
  try {
    return fs.lstatSync(fsPath(path), { throwIfNoEntry: false })
  } catch (error) {
    if (isNothing(error)) return undefined
    throw error
  }
}

// one for all: everything here runs to its end before the next call. One more than is taken, to see that there is no more
const buffer = Buffer.allocUnsafeSlow(smallFile + 1)

/** Null where it has grown beyond what is read here. */
const hash = (path: string): string | null => {
  const fd = fs.openSync(fsPath(path), openFlags)
  try {
    let length = 0
    for (;;) {
      const read = fs.readSync(fd, buffer, length, buffer.byteLength - length, null)
      length += read
      if (length > smallFile) return null
      if (read === 0) return createHash("sha256").update(buffer.subarray(0, length)).digest("hex")
    }
  } finally {
    fs.closeSync(fd)
  }
}
