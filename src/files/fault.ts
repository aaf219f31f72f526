/**
 * What a failed file system call at a target means for a delivery.
 */
import * as RelPath from "../domain/RelPath.ts"
import type { CopyFault } from "./Files.ts"

/** The system's code, such as `ENOENT`; empty where it is no error of the system. */
export const codeOf = (error: unknown): string => {
  if (typeof error !== "object" || error === null || !("code" in error) || typeof error.code !== "string") return ""
  if (!nameless.test(error.code)) return error.code
  return ("errno" in error ? names[String(error.errno)] : undefined) ?? error.code
}

/** What node calls the codes that libuv has no name for. */
const nameless = /^(?:UNKNOWN|Unknown system error)/

/** Some of these, by their numbers on Linux (asm-generic/errno.h). */
const names: { readonly [errno: string]: string | undefined } =
  process.platform === "linux" ? { "-116": "ESTALE", "-117": "EUCLEAN", "-122": "EDQUOT", "-123": "ENOMEDIUM" } : {}

const lane: Record<string, string> = {
  ENOSPC: "the disk is full: free some space; it goes on by itself",
  EDQUOT: "the disk quota is used up: free some space or raise it; it goes on by itself",
  EROFS: "the file system is read-only: remount it writable; it goes on by itself",
  ENOTCONN: "the file system is not connected: mount it again; it goes on by itself",
  ESTALE: "the file system is gone from under its mount point: mount it again; it goes on by itself",
  ENODEV: "the device is gone: connect it again; it goes on by itself",
  ENOMEDIUM: "there is no medium in the drive: put it in again; it goes on by itself",
  EUCLEAN: "the file system is damaged: check it; it goes on by itself",
  ENXIO: "the device is gone: connect it again; it goes on by itself"
}

const permanent: Record<string, string> = {
  ENAMETOOLONG: "the name is too long for the target's file system: shorten it",
  EILSEQ: "the target's file system can't express the name: rename the file",
  EINVAL: "the target's file system does not take the name: rename the file",
  ENOTDIR: "a part of the path is a file and not a directory: move that file away, then retry",
  EISDIR: "there is a directory of that name: move it away, then retry",
  EFBIG: "the file is too large for the target's file system"
}

const transient: Record<string, string> = {
  EACCES: "permission denied: let this user write there",
  EPERM: "the operation is not permitted there: let this user write there",
  EIO: "the disk reported an input/output error: check it",
  EMFILE: "too many files are open in this process: raise its limit (ulimit -n)",
  ENFILE: "too many files are open on this system"
}

export const targetFault = (error: unknown, path: string): CopyFault => {
  const code = codeOf(error)
  const where = RelPath.display(path)
  const known = lane[code] ?? permanent[code] ?? transient[code]
  const why = known ?? (error instanceof Error ? error.message : String(error))
  return {
    kind: code in lane ? "lane" : code in permanent ? "permanent" : "transient",
    reason: `Can't write ${where}: ${why}${known === undefined || code === "" ? "" : ` (${code})`}`
  }
}

export const sourceFault = (error: unknown, path: string): CopyFault => {
  const code = codeOf(error)
  const where = RelPath.display(path)
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return { kind: "gone", reason: `The source file ${where} is gone: it was removed or renamed before it was sent` }
    case "ELOOP":
      return { kind: "changed", reason: `The source file ${where} is now a symbolic link, which is not followed` }
    case "EMFILE":
    case "ENFILE":
    case "EIO":
    case "EBUSY":
    case "EAGAIN":
    case "ENOMEM":
      return { kind: "transient", reason: `The source file ${where} could not be read (${code})` }
    case "EACCES":
    case "EPERM":
      return { kind: "transient", reason: `The source file ${where} can't be read: let this user read it (${code})` }
    default:
      return {
        kind: "transient",
        reason: `The source file ${where} could not be read: ${error instanceof Error ? error.message : String(error)}`
      }
  }
}
