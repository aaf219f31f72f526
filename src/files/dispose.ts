/**
 * A source file out of the way, once all its targets have it: never another file than the one that was sent. Plain
 * synchronous functions, which run in a worker thread.
 */
import fs from "node:fs"
import { sameContent, stamp as stampOf } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { copyAll, hash, isCopyOf, syncDirectory } from "./copy.ts"
import { codeOf } from "./fault.ts"
import type { CopyJob, DisposeResult } from "./Files.ts"
import { below, fsPath, numbered, parent, tempName } from "./names.ts"

const done: DisposeResult = { note: null }

/** Deletes the source. */
export const remove = (root: string, path: string, stamp: string, sync: boolean): DisposeResult =>
  aside(root, path, stamp, (temp) => {
    fs.unlinkSync(fsPath(temp))
    if (sync) syncDirectory(parent(temp))
    return done
  })

/**
 * Moves the source to a path on any file system, or to `path (1)`, … where that is taken.
 *
 * What can be known to fail is found out before the source is touched: moving it aside and back changes its ctime, and
 * so makes a new generation of it, which would be sent again.
 */
export const archive = (root: string, path: string, stamp: string, to: string, sync: boolean): DisposeResult => {
  const source = below(root, path)
  try {
    fs.mkdirSync(fsPath(parent(to)), { recursive: true })
    fs.accessSync(fsPath(parent(to)), fs.constants.W_OK | fs.constants.X_OK)
    // throws where the name is too long
    lstat(to)
    const found = lstat(source)
    const isAside = found === undefined || lstat(asideName(source, stamp)) !== undefined
    if (isAside || found.dev === fs.statSync(fsPath(parent(to)), { bigint: true }).dev) {
      return aside(root, path, stamp, (temp) => {
        const final = linkTo(temp, to)
        if (final === undefined) copyAcross(temp, to, stamp, sync)
        fs.unlinkSync(fsPath(temp))
        if (sync) for (const directory of new Set([parent(to), parent(temp)])) syncDirectory(directory)
        return done
      })
    }
    if (stampOf(found) !== stamp) return kept(source, "it has changed since it was sent")
    copyAcross(source, to, stamp, sync)
    return remove(root, path, stamp, sync)
  } catch (error) {
    return kept(source, error instanceof Error ? error.message : String(error))
  }
}

/** Links the file to the first name that is free; undefined where links can't be had. */
const linkTo = (temp: string, to: string): string | undefined => {
  for (let number = 0; ; number++) {
    const final = number === 0 ? to : numbered(to, number)
    try {
      fs.linkSync(fsPath(temp), fsPath(final))
      return final
    } catch (error) {
      const code = codeOf(error)
      if (withoutLinks.has(code)) return undefined
      if (code !== "EEXIST") throw error
      const [one, other] = [lstat(temp), lstat(final)]
      // a process that was killed had linked it already
      if (one !== undefined && one.dev === other?.dev && one.ino === other.ino) return final
    }
  }
}

const withoutLinks = new Set(["EXDEV", "EPERM", "ENOTSUP", "EOPNOTSUPP", "EMLINK"])

/**
 * Renames the source within its own directory and looks again, so that what is then deleted is what was looked at: a
 * program that writes a new file to the same path meanwhile keeps it. The name is made from the generation, so that a
 * restart finds what a killed process left.
 */
const aside = (root: string, path: string, stamp: string, finish: (temp: string) => DisposeResult): DisposeResult => {
  const source = below(root, path)
  const temp = asideName(source, stamp)
  try {
    if (lstat(temp) === undefined) {
      const found = lstat(source)
      if (found === undefined) return done
      if (stampOf(found) !== stamp) return kept(source, "it has changed since it was sent")
      fs.renameSync(fsPath(source), fsPath(temp))
    }
    const moved = lstat(temp)
    if (moved === undefined || !sameContent(stampOf(moved), stamp)) {
      putBack(temp, source)
      return kept(source, "it has changed since it was sent")
    }
    try {
      return finish(temp)
    } catch (error) {
      putBack(temp, source)
      throw error
    }
  } catch (error) {
    return kept(source, error instanceof Error ? error.message : String(error))
  }
}

const asideName = (source: string, stamp: string): string =>
  below(parent(source), tempName(`dispose ${source} ${stamp}`))

/** Copies the file to the first name that is free, or is that copy already, made by a process that was killed. */
const copyAcross = (from: string, to: string, stamp: string, sync: boolean): void => {
  for (let number = 0; ; number++) {
    const final = number === 0 ? to : numbered(to, number)
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
      if (isCopyOf(there, stamp) && sameBytes(from, final)) return
      continue
    }
    const [result] = copyAll([job])
    if (result?._tag === "Done") return
    // somebody else was faster
    if (lstat(final) !== undefined) continue
    throw new Error(result?._tag === "Failed" ? result.fault.reason : `Could not archive to ${RelPath.display(final)}`)
  }
}

const sameBytes = (...paths: readonly [string, string]): boolean => {
  const [one, other] = paths.map((path) =>
    hash(parent(path), RelPath.basename(path), stampOf(lstat(path) ?? emptyStat))
  )
  return one !== null && one === other
}

const emptyStat = { dev: 0n, ino: 0n, size: 0n, mtimeNs: 0n, ctimeNs: 0n }

const putBack = (temp: string, source: string): void => {
  if (lstat(temp) === undefined) return
  for (let number = 0; ; number++) {
    const to = number === 0 ? source : numbered(source, number)
    if (lstat(to) !== undefined) continue
    fs.renameSync(fsPath(temp), fsPath(to))
    return
  }
}

const kept = (source: string, why: string): DisposeResult => ({
  note: `The source file ${RelPath.display(source)} was left where it is: ${why}`
})

const lstat = (path: string): fs.BigIntStats | undefined =>
  fs.lstatSync(fsPath(path), { bigint: true, throwIfNoEntry: false })
