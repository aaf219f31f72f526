/**
 * A file to a place of its own, on any file system: nothing is overwritten, and nothing is there twice, wherever a process
 * that was killed had got to. Plain synchronous functions, which run in a worker thread.
 */
import fs from "node:fs"
import { stamp as stampOf } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { fit } from "../route/TemplateSegments.ts"
import { copyAll, hash, isCopyOf, makeDirectory } from "./copy.ts"
import { codeOf } from "./fault.ts"
import type { CopyJob } from "./Files.ts"
import { below, fsPath, numbered, parent, tempName } from "./names.ts"

/** Undefined where there is nothing of that name. No link is followed. */
export const lstat = (path: string): fs.BigIntStats | undefined =>
  fs.lstatSync(fsPath(path), { bigint: true, throwIfNoEntry: false })

/** With those above it; with `sync`, so that all of them survive a power cut, which takes the source otherwise. */
export const makeFolder = (path: string, sync: boolean): void => {
  if (sync) makeDirectory(path, sync)
  fs.mkdirSync(fsPath(path), { recursive: true })
}

/** Links the file to the first name that is free; undefined where links can't be had. */
export const linkTo = (temp: string, to: string, sync: boolean): string | undefined => {
  let tries = 5
  for (let number = 0; ; number++) {
    const final = numberedToFit(to, number)
    try {
      fs.linkSync(fsPath(temp), fsPath(final))
      return final
    } catch (error) {
      const code = codeOf(error)
      if (withoutLinks.has(code)) return undefined
      // its folder was empty, and was removed as such
      if (code === "ENOENT" && lstat(temp) !== undefined && (tries -= 1) > 0) {
        makeFolder(parent(to), sync)
        number -= 1
        continue
      }
      if (code !== "EEXIST") throw error
      const [one, other] = [lstat(temp), lstat(final)]
      // a process that was killed had linked it already
      if (one !== undefined && one.dev === other?.dev && one.ino === other.ino) return final
    }
  }
}

/** What link(2) says where a file can't have a second name there. */
export const withoutLinks: ReadonlySet<string> = new Set(["EXDEV", "EPERM", "ENOTSUP", "EOPNOTSUPP", "EMLINK"])

/** `name (1).ext`, … that is not longer than a name may be; 0: the name itself. */
export const numberedToFit = (path: string, number: number): string => {
  if (number === 0) return path
  const name = fit(RelPath.basename(path), maxName - ` (${number})`.length)
  return below(parent(path), numbered(name, number))
}

/** Bytes of one name, as most file systems have it (NAME_MAX). */
const maxName = 255

/**
 * Copies the file to the first name that is free, or is that copy already, made by a process that was killed. Answers
 * where it is.
 */
export const copyAcross = (from: string, to: string, stamp: string, sync: boolean): string => {
  for (let number = 0; ; number++) {
    const final = numberedToFit(to, number)
    const found = lstat(from)
    const job: CopyJob = {
      root: parent(from),
      path: RelPath.basename(from),
      // a rename aside has changed the ctime, and nothing else
      stamp: stampOf(found ?? emptyStat),
      target: parent(final),
      name: RelPath.basename(final),
      temp: tempName(`archive ${final} ${stamp}`),
      stale: [],
      conflict: "fail",
      chosen: null,
      move: false,
      sync,
      verify: "auto",
      names: "strict"
    }
    const there = lstat(final)
    if (there !== undefined) {
      if (isCopyOf(there, job.stamp) && sameBytes(from, final)) {
        // it may have been killed when the copy had its name, and the temp name still
        fs.rmSync(fsPath(below(job.target, job.temp)), { force: true })
        return final
      }
      continue
    }
    const [result] = copyAll([job])
    if (result?._tag === "Done") return final
    // somebody else was faster
    if (lstat(final) !== undefined) continue
    if (result?._tag !== "Failed") throw new Error(`Could not archive to ${RelPath.display(final)}`)
    const { kind, reason } = result.fault
    throw kind === "lane" || kind === "transient" ? new NotNow(reason) : new Error(reason)
  }
}

/** Something could not be done for a reason that may pass. */
export class NotNow extends Error {}

const sameBytes = (...paths: readonly [string, string]): boolean => {
  const [one, other] = paths.map((path) =>
    hash(parent(path), RelPath.basename(path), stampOf(lstat(path) ?? emptyStat))
  )
  return one !== null && one === other
}

const emptyStat = { dev: 0n, ino: 0n, size: 0n, mtimeNs: 0n, ctimeNs: 0n }
