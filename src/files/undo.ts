/**
 * A file that was moved out of its source, put back where it came from: over nothing, and only if it still is what was
 * moved. Plain synchronous functions, which run in a worker thread.
 *
 * It may be called again after a process was killed anywhere in it, with the same job as a resumed one: it finds what
 * was done, and does the rest. The names that a file has on its way are made from the generation.
 */
import fs from "node:fs"
import { sameContent, stamp as stampOf } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { copyAll, hash, isCopyOf, syncDirectory } from "./copy.ts"
import { lstat, withoutLinks } from "./disposeTo.ts"
import { codeOf } from "./fault.ts"
import type { UndoCheck, UndoJob, UndoPlace, UndoResult } from "./Files.ts"
import { heldParent } from "./links.ts"
import { below, fsPath, numbered, parent, tempName } from "./names.ts"

/** What is to be put back, if it can be from there. Changes nothing. */
export const checkUndo = (job: UndoJob): UndoCheck => {
  const { from } = job
  try {
    const reason = whyNotBack(job.root, below(job.root, job.path)) ?? whyNot(from.path, from)
    const found = lstat(from.path)
    if (reason !== null || found === undefined) return { reason: reason ?? gone(from), stamp: null }
    return { reason: null, stamp: stampOf(found) }
  } catch (error) {
    return { reason: messageOf(error), stamp: null }
  }
}

/** Puts it back, then its marker, and then takes back what else was made of it. */
export const undo = (job: UndoJob): UndoResult => {
  try {
    const brought = bring(job, job.path, job.from)
    if (brought._tag !== "Back") return brought
    const others = job.others.map((other) => takeBack(job, other))
    const left = others.flatMap((reason, place) => (reason === null ? [] : [{ place, reason }]))
    return { _tag: "Restored", stamp: brought.stamp, left, warning: job.marker === null ? null : bringMarker(job) }
  } catch (error) {
    return givenUp(job, messageOf(error))
  }
}

/** Where not even the directories could be used: it stays where it was, or goes back there. */
const givenUp = (job: UndoJob, reason: string): UndoResult => {
  try {
    const temp = asideOf(job, job.from)
    if (lstat(temp) !== undefined) return putBack(temp, job.from.path, reason)
    return { _tag: lstat(job.from.path) === undefined ? "Stuck" : "Refused", reason }
  } catch {
    return { _tag: "Stuck", reason }
  }
}

type Brought =
  /** With the stamp that it has there; null where something else has come of it since, after a process was killed. */
  | { readonly _tag: "Back"; readonly stamp: ReturnType<typeof stampOf> | null }
  | Exclude<UndoResult, { _tag: "Restored" }>

const refused = (reason: string): Brought => ({ _tag: "Refused", reason })

/** Why nothing can be put there; null: it can. */
const whyNotBack = (root: string, source: string): string | null => {
  if (lstat(root) === undefined) return `its source ${RelPath.display(root)} is not there`
  return lstat(source) === undefined ? null : isThere(source)
}

const isThere = (source: string): string =>
  `there is another file ${RelPath.display(source)} by now: move it away first`

/** Why a file is not what was moved; null: it is. */
const whyNot = (path: string, place: UndoPlace): string | null => {
  const found = lstat(path)
  if (found === undefined) return gone(place)
  if (!isIt(found, place)) return changed(place)
  if (place.sha256 === null) return null
  const is = hash(parent(path), RelPath.basename(path), stampOf(found))
  if (is === null) return `${RelPath.display(place.path)} could not be read, or is being written to`
  return is === place.sha256 ? null : changed(place)
}

const gone = (place: UndoPlace): string => `${RelPath.display(place.path)} is gone`
const changed = (place: UndoPlace): string => `${RelPath.display(place.path)} has changed since`

const isIt = (found: fs.BigIntStats, place: UndoPlace): boolean =>
  isLike(found, place) && (place.ino === null || String(found.ino) === place.ino)

/** As {@link isIt}, also on another file system. */
const isLike = (found: fs.BigIntStats, { mtime, size }: UndoPlace): boolean =>
  found.isFile() &&
  (size === null || String(found.size) === size) &&
  (mtime === null || isCopyOf(found, `::${found.size}:${mtime}:`))

/** Brings one file back to a path of the source. */
const bring = (job: UndoJob, path: RelPath.RelPath, from: UndoPlace): Brought => {
  const source = below(job.root, path)
  // what is seen to fail before anything is touched needs no putting back
  if (!isBegun(job, source, from)) {
    const why = whyNotBack(job.root, source) ?? whyNot(from.path, from)
    if (why !== null) return refused(why)
    makeFolders(job.root, parent(source), job.sync)
  }
  return heldParent(job.root, path, (directory) => {
    const at = below(directory, RelPath.basename(path))
    const shown = (text: string): string => text.replaceAll(directory, RelPath.display(parent(source)))
    const brought = bringTo(job, source, at, from)
    return brought._tag === "Back" ? brought : { ...brought, reason: shown(brought.reason) }
  })
}

/** Whether an earlier process had begun with it: it is under its temp name, or is where it was no more. */
const isBegun = (job: UndoJob, source: string, from: UndoPlace): boolean =>
  job.resumed && (lstat(asideOf(job, from)) !== undefined || isBrought(source, from))

/** Whether it is in the source again, or what was there is gone from where it was all the same. */
const isBrought = (source: string, from: UndoPlace): boolean => {
  const was = lstat(from.path)
  return was === undefined || (!isIt(was, from) && isBack(source, from))
}

/** `at`: the source's path in its directory as that is held. */
const bringTo = (job: UndoJob, source: string, at: string, from: UndoPlace): Brought => {
  const temp = asideOf(job, from)
  const staged = below(parent(at), tempName(`undo ${source} ${job.stamp}`))
  if (lstat(temp) === undefined) {
    const found = lstat(from.path)
    if (job.resumed && isBrought(at, from)) {
      // all was done but for what is cleared away here
      removeIfThere(staged)
      const back = lstat(at)
      return { _tag: "Back", stamp: back !== undefined && isBack(at, from) ? stampOf(back) : null }
    }
    if (found === undefined) return refused(gone(from))
    fs.renameSync(fsPath(from.path), fsPath(temp))
    const moved = lstat(temp)
    if (moved === undefined || !sameContent(stampOf(moved), stampOf(found)) || !isIt(moved, from)) {
      return putBack(temp, from.path, changed(from))
    }
  }
  try {
    const why = publish(job, temp, at, staged)
    if (why !== null) return putBack(temp, from.path, why === "taken" ? isThere(source) : why)
  } catch (error) {
    return putBack(temp, from.path, messageOf(error))
  }
  // its new name is safe before the old one goes
  if (job.sync) syncDirectory(parent(at))
  removeIfThere(temp)
  if (job.sync) syncDirectory(parent(temp))
  removeIfThere(staged)
  const back = lstat(at)
  return { _tag: "Back", stamp: back === undefined ? null : stampOf(back) }
}

/** Whether what is at that path of the source is what was put back. */
const isBack = (source: string, from: UndoPlace): boolean => {
  const found = lstat(source)
  if (found === undefined || !isLike(found, from)) return false
  return from.sha256 === null || hash(parent(source), RelPath.basename(source), stampOf(found)) === from.sha256
}

/** Gives the file its name in the source; answers why it can't have that, `taken` where something else has; null: done. */
const publish = (job: UndoJob, temp: string, at: string, staged: string): string | null => {
  const aside = lstat(temp)
  const there = lstat(at)
  if (aside === undefined) return "it was taken away meanwhile"
  if (there !== undefined) return isSame(there, aside) || isFinishedCopy(temp, at) ? null : "taken"
  if (aside.dev === fs.statSync(fsPath(parent(at)), { bigint: true }).dev) {
    try {
      fs.linkSync(fsPath(temp), fsPath(at))
      return null
    } catch (error) {
      const code = codeOf(error)
      if (code === "EEXIST") return "taken"
      if (!withoutLinks.has(code)) throw error
      if (code !== "EXDEV") {
        // no hard links here: look first, then rename
        if (lstat(at) !== undefined) return "taken"
        fs.renameSync(fsPath(temp), fsPath(at))
        return null
      }
    }
  }
  const [result] = copyAll([
    {
      root: parent(temp),
      path: RelPath.basename(temp),
      stamp: stampOf(aside),
      target: parent(at),
      name: RelPath.basename(at),
      temp: RelPath.basename(staged),
      stale: [],
      conflict: "fail",
      chosen: null,
      move: false,
      sync: job.sync,
      verify: "hash",
      names: "strict"
    }
  ])
  if (result?._tag === "Done") return null
  return lstat(at) !== undefined ? "taken" : result?._tag === "Failed" ? result.fault.reason : "it could not be copied"
}

const isSame = (one: fs.BigIntStats, other: fs.BigIntStats): boolean => one.dev === other.dev && one.ino === other.ino

/** Whether a process that was killed had copied it there. */
const isFinishedCopy = (temp: string, at: string): boolean => {
  const [aside, there] = [lstat(temp), lstat(at)]
  if (aside === undefined || there === undefined || !there.isFile() || !isCopyOf(there, stampOf(aside))) return false
  const bytes = hash(parent(temp), RelPath.basename(temp), stampOf(aside))
  return bytes !== null && bytes === hash(parent(at), RelPath.basename(at), stampOf(there))
}

/** Removes another result of the file, if it still is that; answers why not, null: it is gone. */
const takeBack = (job: UndoJob, place: UndoPlace): string | null => {
  const temp = asideOf(job, place)
  try {
    if (lstat(temp) === undefined) {
      const found = lstat(place.path)
      if (found === undefined) return null
      const why = whyNot(place.path, place)
      if (why !== null) return why
      fs.renameSync(fsPath(place.path), fsPath(temp))
      const moved = lstat(temp)
      if (moved === undefined || !sameContent(stampOf(moved), stampOf(found))) {
        return putBack(temp, place.path, changed(place)).reason
      }
    } else {
      const why = whyNot(temp, place)
      if (why !== null) return putBack(temp, place.path, why).reason
    }
    fs.unlinkSync(fsPath(temp))
    if (job.sync) syncDirectory(parent(temp))
    return null
  } catch (error) {
    try {
      if (lstat(temp) !== undefined) return putBack(temp, place.path, messageOf(error)).reason
    } catch {
      // the first error says more
    }
    return messageOf(error)
  }
}

/** Answers why the marker is left where it is; null: it is back. */
const bringMarker = (job: UndoJob): string | null => {
  if (job.marker === null) return null
  const { from, path } = job.marker
  try {
    const brought = bring(job, path, from)
    return brought._tag === "Back" ? null : `its marker ${RelPath.display(from.path)} stays there: ${brought.reason}`
  } catch (error) {
    return `its marker ${RelPath.display(from.path)} stays there: ${messageOf(error)}`
  }
}

/** The name, in the directory that it lies in, that a file has while it is taken from there. */
const asideOf = (job: UndoJob, place: UndoPlace): string =>
  below(parent(place.path), tempName(`undo from ${place.path} ${job.stamp}`))

/** Gives a file that was moved aside its name back, or one beside it where another has come there. */
const putBack = (temp: string, path: string, reason: string): Exclude<UndoResult, { _tag: "Restored" }> => {
  try {
    for (let number = 0; ; number += 1) {
      const to = number === 0 ? path : numbered(path, number)
      try {
        fs.linkSync(fsPath(temp), fsPath(to))
        fs.unlinkSync(fsPath(temp))
      } catch (error) {
        const code = codeOf(error)
        if (code === "EEXIST") continue
        if (!withoutLinks.has(code)) throw error
        if (lstat(to) !== undefined) continue
        fs.renameSync(fsPath(temp), fsPath(to))
      }
      return { _tag: "Refused", reason: number === 0 ? reason : `${reason}; it is ${RelPath.display(to)} now` }
    }
  } catch (error) {
    return {
      _tag: "Stuck",
      reason: `${reason}, and ${RelPath.display(temp)} could not get its name back: ${messageOf(error)}`
    }
  }
}

/** Makes the folders between the source and the file, which may have gone since. */
const makeFolders = (root: string, directory: string, sync: boolean): void => {
  const missing: Array<string> = []
  for (let each = directory; each.length > root.length && lstat(each) === undefined; each = parent(each)) {
    missing.unshift(each)
  }
  for (const each of missing) {
    fs.mkdirSync(fsPath(each))
    if (sync) syncDirectory(parent(each))
  }
}

const removeIfThere = (path: string): void => {
  try {
    fs.unlinkSync(fsPath(path))
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
