/**
 * A source file out of the way, once nothing more is to be sent of it: never another file than the one that was sent.
 * Plain synchronous functions, which run in a worker thread.
 *
 * Each may be called again after a process was killed anywhere in it, with the same arguments: it finds what was done,
 * and does the rest.
 */
import fs from "node:fs"
import { sameContent, sameGeneration, stamp as stampOf } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { isCopyOf, syncDirectory } from "./copy.ts"
import { copyAcross, lstat, linkTo, makeFolder, NotNow, numberedToFit } from "./disposeTo.ts"
import { codeOf, targetFault } from "./fault.ts"
import type { DisposeJob, DisposeResult, Moved } from "./Files.ts"
import { heldParent } from "./links.ts"
import { below, fsPath, numbered, parent, tempName } from "./names.ts"

/** Deletes the source; where that is a link, the link. */
export const remove = (job: DisposeJob): DisposeResult => {
  try {
    const note = held(job.root, job.path, (source) =>
      isLink(source) ? removeLink(job, source) : removeFile(job, source)
    )
    return note === null ? withMarker(job, null) : { note, moved: null, warning: null }
  } catch (error) {
    // with its directory
    return isGone(error) ? withMarker(job, null) : failed(job, error)
  }
}

/**
 * Moves the source to a path on any file system, or to `path (1)`, … where that is taken.
 *
 * What can be known to fail is found out before the source is touched: moving it aside and back changes its ctime, and
 * so makes a new generation of it, which would be sent again.
 */
export const archive = (job: DisposeJob, to: string): DisposeResult => {
  try {
    return held(job.root, job.path, (source) => archiveFrom(job, source, to))
  } catch (error) {
    if (isGone(error)) return withMarker(job, findMoved(to, job.stamp) ?? null)
    return failed(job, error)
  }
}

const archiveFrom = (job: DisposeJob, source: string, to: string): DisposeResult => {
  const { stamp, sync } = job
  if (isLink(source)) return kept(job, "it is a link, and what that leads to is not moved")
  makeFolder(parent(to), sync)
  fs.accessSync(fsPath(parent(to)), fs.constants.W_OK | fs.constants.X_OK)
  // throws where the name is too long
  lstat(to)
  const found = lstat(source)
  const isAside = lstat(asideName(job, source)) !== undefined
  if (!isAside && (found === undefined || !sameGeneration(stampOf(found), stamp))) {
    const there = findMoved(to, stamp)
    if (there === undefined && found !== undefined) return kept(job, changed)
    return withMarker(job, there ?? null)
  }
  let final = to
  const sameSystem = isAside || found?.dev === fs.statSync(fsPath(parent(to)), { bigint: true }).dev
  if (!sameSystem) final = copyAcross(source, to, stamp, sync)
  const note = aside(job, source, (temp) => {
    if (sameSystem) {
      final = linkTo(temp, to, sync) ?? copyAcross(temp, to, stamp, sync)
      // it is to be known under its new name before it loses the old one
      if (sync) syncDirectory(parent(to))
    }
    fs.unlinkSync(fsPath(temp))
    if (sync) syncDirectory(parent(temp))
  })
  return note === null ? withMarker(job, final) : { note, moved: null, warning: null }
}

/** The name, in the source's own directory, that a file has while it is disposed of; below the root. */
export const asidePath = (path: string, root: string, stamp: string): RelPath.RelPath => {
  const directory = RelPath.dirname(path)
  const name = asideKey(below(root, path), stamp)
  return RelPath.make(directory === "" ? name : `${directory}/${name}`)
}

/** A path of the source as it is to be used: in its directory, which no link can take the place of meanwhile. */
const held = <A>(root: string, path: string, use: (at: string) => A): A =>
  heldParent(root, path, (directory) => use(below(directory, RelPath.basename(path))))

const removeFile = (job: DisposeJob, source: string): string | null =>
  aside(job, source, (temp) => {
    fs.unlinkSync(fsPath(temp))
    if (job.sync) syncDirectory(parent(temp))
  })

/**
 * Renames the source within its own directory and looks again, so that what is then deleted is what was looked at: a
 * program that writes a new file to the same path meanwhile keeps it. The name is made from the generation, so that a
 * restart finds what a killed process left. Answers why the source is left where it is; null: it is gone from there.
 */
const aside = (job: DisposeJob, source: string, finish: (temp: string) => void): string | null => {
  const { stamp } = job
  const temp = asideName(job, source)
  try {
    if (lstat(temp) === undefined) {
      const found = lstat(source)
      if (found === undefined) return null
      if (!sameGeneration(stampOf(found), stamp)) return noteOf(job, changed)
      fs.renameSync(fsPath(source), fsPath(temp))
    }
    const moved = lstat(temp)
    if (moved === undefined || !sameContent(stampOf(moved), stamp)) {
      putBack(temp, source)
      return noteOf(job, changed)
    }
    try {
      finish(temp)
      return null
    } catch (error) {
      putBack(temp, source)
      throw error
    }
  } catch (error) {
    if (mayPass(error)) throw error
    return noteOf(job, messageOf(error))
  }
}

const isLink = (path: string): boolean => {
  try {
    return lstat(path)?.isSymbolicLink() === true
  } catch {
    return false
  }
}

/** As {@link aside}, for a link that leads to what was sent; what it leads to is not touched. */
const removeLink = (job: DisposeJob, source: string): string | null => {
  const temp = asideName(job, source)
  try {
    fs.renameSync(fsPath(source), fsPath(temp))
    const target = isLink(temp) ? fs.statSync(fsPath(temp), { bigint: true, throwIfNoEntry: false }) : undefined
    if (target === undefined || !sameGeneration(stampOf(target), job.stamp)) {
      putBack(temp, source)
      return noteOf(job, "it is a link, and leads to something else than what was sent")
    }
    fs.unlinkSync(fsPath(temp))
    if (job.sync) syncDirectory(parent(temp))
    return null
  } catch (error) {
    if (mayPass(error)) throw error
    return noteOf(job, messageOf(error))
  }
}

/** Where a process that was killed had moved the file: the file itself, or else its copy on another file system. */
const findMoved = (to: string, stamp: string): string | undefined => {
  let copy: string | undefined
  for (let number = 0; ; number += 1) {
    const final = numberedToFit(to, number)
    const found = lstat(final)
    if (found === undefined) return copy
    if (sameContent(stampOf(found), stamp)) return final
    if (copy === undefined && found.isFile() && isCopyOf(found, stamp)) copy = final
  }
}

/** The source is gone from where it was, to `final` if that is not null: now its marker. */
const withMarker = (job: DisposeJob, final: string | null): DisposeResult => {
  const at = final === null ? undefined : lstat(final)
  const moved = final === null || at === undefined ? null : { path: final, stamp: stampOf(at) }
  const done = (marker: Moved["marker"], warning: string | null): DisposeResult => ({
    note: null,
    moved: moved === null ? null : { ...moved, marker },
    warning
  })
  if (job.marker === null) return done(null, null)
  const named = below(job.root, job.marker)
  try {
    return done(
      held(job.root, job.marker, (marker) =>
        markerAside(job, marker, (temp) => {
          if (final === null) {
            fs.unlinkSync(fsPath(temp))
            if (job.sync) syncDirectory(parent(temp))
            return null
          }
          const to = below(parent(final), RelPath.basename(marker))
          const there = linkTo(temp, to, job.sync) ?? copyAcross(temp, to, job.stamp, job.sync)
          if (job.sync) syncDirectory(parent(there))
          fs.unlinkSync(fsPath(temp))
          if (job.sync) syncDirectory(parent(temp))
          const stat = lstat(there)
          return stat === undefined ? null : { path: there, stamp: stampOf(stat) }
        })
      ),
      null
    )
  } catch (error) {
    if (isGone(error) && lstat(parent(named)) === undefined) return done(null, null)
    return done(null, `The file ${RelPath.display(named)} was left where it is: ${messageOf(error)}`)
  }
}

/**
 * Renames the marker, so that it is the one that was looked at, and looks for its file: where there is one again, the
 * marker may be that one's, and is put back. A marker comes after its file, so that one which comes later still is
 * another file by then.
 */
const markerAside = (job: DisposeJob, marker: string, finish: (temp: string) => Moved["marker"]): Moved["marker"] => {
  const temp = below(parent(marker), tempName(`marker ${below(job.root, job.marker ?? "")} ${job.stamp}`))
  if (lstat(temp) === undefined) {
    if (lstat(marker)?.isFile() !== true) return null
    fs.renameSync(fsPath(marker), fsPath(temp))
  }
  if (lstat(below(job.root, job.path)) === undefined) return finish(temp)
  if (lstat(marker) === undefined) fs.renameSync(fsPath(temp), fsPath(marker))
  else fs.unlinkSync(fsPath(temp))
  return null
}

const asideKey = (source: string, stamp: string): string => tempName(`dispose ${source} ${stamp}`)

const asideName = ({ path, root, stamp }: DisposeJob, source: string): string =>
  below(parent(source), asideKey(below(root, path), stamp))

const putBack = (temp: string, source: string): void => {
  if (lstat(temp) === undefined) return
  for (let number = 0; ; number++) {
    const to = number === 0 ? source : numbered(source, number)
    if (lstat(to) !== undefined) continue
    fs.renameSync(fsPath(temp), fsPath(to))
    return
  }
}

const changed = "it has changed since it was sent"

const noteOf = ({ path, root }: DisposeJob, why: string): string =>
  `The source file ${RelPath.display(below(root, path))} was left where it is: ${why}`

const kept = (job: DisposeJob, why: string): DisposeResult => ({
  note: noteOf(job, why),
  moved: null,
  warning: null
})

/** What may pass is worth another try; all else leaves the source where it is for good. */
const failed = (job: DisposeJob, error: unknown): DisposeResult => {
  if (!mayPass(error)) return kept(job, messageOf(error))
  const source = below(job.root, job.path)
  const why = error instanceof NotNow ? error.message : targetFault(error, parent(source)).reason
  return {
    note: `The source file ${RelPath.display(source)} stays for now: ${why}`,
    moved: null,
    warning: null,
    later: true
  }
}

const mayPass = (error: unknown): boolean => error instanceof NotNow || passing.has(codeOf(error))

const passing: ReadonlySet<string> = new Set(
  (
    "ENOSPC EDQUOT EROFS EACCES EPERM EIO EBUSY ENOTCONN ESTALE EUCLEAN ENODEV ENOMEDIUM ENXIO " +
    "EMFILE ENFILE ENOMEM EAGAIN EINTR"
  ).split(" ")
)

const isGone = (error: unknown): boolean => codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR"

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
