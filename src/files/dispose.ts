/**
 * A source file out of the way, once all its targets have it: never another file than the one that was sent. Plain
 * synchronous functions, which run in a worker thread.
 */
import fs from "node:fs"
import { sameContent, stamp as stampOf } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { copyAll, syncDirectory } from "./copy.ts"
import { codeOf } from "./fault.ts"
import type { DisposeResult } from "./Files.ts"
import { below, fsPath, numbered, parent, tempName } from "./names.ts"

const done: DisposeResult = { note: null }

/** Deletes the source. */
export const remove = (root: string, path: string, stamp: string, sync: boolean): DisposeResult =>
  aside(root, path, stamp, (temp) => {
    fs.unlinkSync(fsPath(temp))
    if (sync) syncDirectory(parent(temp))
    return done
  })

/** Moves the source to a path on any file system, or to `path (1)`, … where that is taken. */
export const archive = (root: string, path: string, stamp: string, to: string, sync: boolean): DisposeResult =>
  aside(root, path, stamp, (temp) => {
    fs.mkdirSync(fsPath(parent(to)), { recursive: true })
    for (let number = 0; ; number++) {
      const final = number === 0 ? to : numbered(to, number)
      try {
        fs.linkSync(fsPath(temp), fsPath(final))
      } catch (error) {
        const code = codeOf(error)
        if (code === "EEXIST") continue
        if (!acrossFileSystems.has(code)) throw error
        copyAcross(temp, final, stamp, sync)
      }
      fs.unlinkSync(fsPath(temp))
      if (sync) for (const directory of new Set([parent(final), parent(temp)])) syncDirectory(directory)
      return done
    }
  })

const acrossFileSystems = new Set(["EXDEV", "EPERM", "ENOTSUP", "EOPNOTSUPP", "EMLINK"])

/**
 * Renames the source within its own directory and looks again, so that what is then deleted is what was looked at: a
 * program that writes a new file to the same path meanwhile keeps it. The name is made from the generation, so that a
 * restart finds what a killed process left.
 */
const aside = (root: string, path: string, stamp: string, finish: (temp: string) => DisposeResult): DisposeResult => {
  const source = below(root, path)
  const temp = below(parent(source), tempName(`dispose ${source} ${stamp}`))
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

const copyAcross = (temp: string, final: string, stamp: string, sync: boolean): void => {
  const found = lstat(temp)
  const [result] = copyAll([
    {
      root: parent(temp),
      path: RelPath.basename(temp),
      // the rename aside has changed the ctime, and nothing else
      stamp: found === undefined ? stampOf(emptyStat) : stampOf(found),
      target: parent(final),
      name: RelPath.basename(final),
      temp: tempName(`archive ${final} ${stamp}`),
      stale: [],
      conflict: "fail",
      chosen: null,
      move: false,
      sync
    }
  ])
  if (result?._tag !== "Done") {
    throw new Error(result?._tag === "Failed" ? result.fault.reason : `Could not archive to ${RelPath.display(final)}`)
  }
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
