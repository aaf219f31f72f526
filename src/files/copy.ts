/**
 * A file to a local target: stage, verify, sync, publish by rename. Plain synchronous functions, which run in a worker
 * thread; no file is ever partial under its final name, and none is lost where it is moved instead of copied.
 */
import { createHash } from "node:crypto"
import fs from "node:fs"
import { sameContent, stamp as stampOf } from "../domain/Generation.ts"
import type { Receipt } from "../domain/Delivery.ts"
import * as RelPath from "../domain/RelPath.ts"
import { codeOf, sourceFault, targetFault } from "./fault.ts"
import type { CopyFault, CopyJob, CopyResult } from "./Files.ts"
import { heldParent, openSource } from "./links.ts"
import { below, fsPath, numbered, parent, staysBelow, swapCase, twinAmong, withoutLetters } from "./names.ts"

/**
 * Up to this size a file is read, hashed and written in one go. Above it the kernel copies (reflink or
 * copy_file_range), and the hash is taken by another thread meanwhile: see {@link stage} and {@link hash}.
 */
export const smallFile = 8 * 1024 * 1024

/** A staged file that waits to be published. */
export interface Staged {
  readonly sha256: string | null
  /** The sha256 of the copy as it was read back, where the job asks for it. */
  readonly back: string | null
  readonly moved: boolean
  readonly said: string
}

export type StageResult = ({ readonly _tag: "Staged" } & Staged) | Exclude<CopyResult, { _tag: "Choose" }>

/** A piece of a copy. */
export type StepResult = { readonly _tag: "Copied"; readonly bytes: number } | StageResult

/** Ends the work on one file with a result. */
class Stop extends Error {
  readonly result: Exclude<CopyResult, { _tag: "Choose" }>
  constructor(result: Exclude<CopyResult, { _tag: "Choose" }>) {
    super()
    this.result = result
  }
}

const fail = (fault: CopyFault): never => {
  throw new Stop({ _tag: "Failed", fault })
}

/**
 * Copies several files. The directories that took them are synced once each at the end, because that costs as much as
 * the sync of a file.
 */
export const copyAll = (jobs: ReadonlyArray<CopyJob>): ReadonlyArray<CopyResult> => {
  const directories = new Set<string>()
  const results = jobs.map((job): CopyResult => {
    const staged = stage(job)
    return staged._tag === "Staged" ? publish(job, staged, directories) : staged
  })
  return syncDirectories(jobs, results, directories)
}

/** Publishes one file that {@link stage} has staged. */
export const publishOne = (job: CopyJob, staged: Staged): CopyResult => {
  const directories = new Set<string>()
  const result = publish(job, staged, directories)
  return syncDirectories([job], [result], directories)[0] ?? result
}

/** Brings the data to the temp name beside the final one, verified and, where asked for, synced. */
export const stage = (job: CopyJob): StageResult =>
  guarded(job, () => withoutCopy(job) ?? copyToTemp(job, below(job.root, job.path), tempPath(job)))

/** All of {@link stage} but the copying: undefined where there is a need of that. */
export const prepare = (job: CopyJob): StageResult | undefined => guarded(job, () => withoutCopy(job))

/**
 * A piece of a copy: so many bytes from `offset` on, where the pieces before it have ended. The last one answers what
 * {@link stage} does. Each looks anew whether the source is what it was, so that nothing need be held in between.
 */
export const step = (job: CopyJob, offset: number, length: number): StepResult =>
  guarded(job, () => copyPiece(job, below(job.root, job.path), tempPath(job), offset, length))

const withoutCopy = (job: CopyJob): StageResult | undefined => {
  const temp = tempPath(job)
  const settled = beforeStaging(job)
  if (settled !== undefined) return settled
  if (!job.move || !moveToTemp(job, below(job.root, job.path), temp)) return undefined
  if (job.sync) syncFile(temp)
  return movedHere
}

const movedHere: { readonly _tag: "Staged" } & Staged = {
  _tag: "Staged",
  sha256: null,
  back: null,
  moved: true,
  said: "moved by rename"
}

/**
 * A file system that was unmounted leaves an empty directory, and whatever is written there is hidden, and fills the
 * wrong disk, once it is back. A mount point is known by its device, which is not that of the directory above.
 */
const checkMounted = ({ mount, target }: CopyJob): void => {
  if (mount === undefined || mount === "/") return
  // with the dot, what is mounted on demand is mounted now
  const at = fs.statSync(fsPath(`${mount}/.`), { throwIfNoEntry: false })
  if (at !== undefined && at.dev !== fs.statSync(fsPath(parent(mount)), { throwIfNoEntry: false })?.dev) return
  const where = RelPath.display(target)
  const reason = `Can't write ${where}: the file system ${RelPath.display(mount)} is not mounted: mount it again; it goes on by itself`
  fail({ kind: "lane", reason })
}

const guarded = <A>(job: CopyJob, run: () => A): A | Exclude<CopyResult, { _tag: "Choose" }> => {
  try {
    checkMounted(job)
    return run()
  } catch (error) {
    if (error instanceof Stop) return error.result
    return { _tag: "Failed", fault: targetFault(error, finalPath(job)) }
  }
}

/** The sha256 of a file, in hex; null where it is not of that stamp any more (staging finds out as well). */
export const hash = (root: string, path: string, stamp: string): string | null => {
  let fd: number | undefined
  try {
    fd = openSource(root, path)
    if (stampOf(fs.fstatSync(fd, { bigint: true })) !== stamp) return null
    const digest = createHash("sha256")
    for (;;) {
      const length = fs.readSync(fd, buffer, 0, buffer.length, null)
      if (length === 0) {
        // it may go on after the copy is done: only what is still the same has the hash of what was copied
        return stampOf(fs.fstatSync(fd, { bigint: true })) === stamp ? digest.digest("hex") : null
      }
      digest.update(length === buffer.length ? buffer : buffer.subarray(0, length))
    }
  } catch {
    return null
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

/**
 * After a restart, for a copy that was under way: finishes a move whose temp file is the source itself, adopts a final
 * file that is the result of that copy, and removes the temp files of one that must begin again.
 */
export const recover = (job: CopyJob): Receipt | null => {
  // the attempt that follows says why it waits
  if (guarded(job, () => undefined) !== undefined) return null
  for (const name of [...job.stale, job.temp]) {
    const temp = below(parent(finalPath(job)), name)
    const found = lstat(temp)
    if (found === undefined) continue
    if (sameContent(stampOf(found), job.stamp)) {
      const directories = new Set<string>()
      const renamed: CopyJob = { ...job, temp: name, move: true }
      const result = publish(renamed, movedHere, directories)
      syncDirectories([renamed], [result], directories)
      // what can't be published now (a name must be chosen, the target refuses) is taken up again by the next attempt
      return result._tag === "Done" ? result.receipt : null
    }
    fs.unlinkSync(fsPath(temp))
  }
  // nothing is published before its name is chosen, so whatever is there is somebody else's
  if (job.conflict === "rename" && job.chosen === null) return null
  const name = job.chosen ?? job.name
  const final = lstat(below(job.target, name))
  if (final === undefined || !final.isFile()) return null
  const moved = sameContent(stampOf(final), job.stamp)
  const looksIt = job.verify !== "hash" && isCopyOf(final, job.stamp)
  const sha256 = moved || looksIt ? null : sameBytes(job, name, final)
  if (sha256 === undefined) return null
  if (job.sync) {
    syncFile(below(job.target, name))
    syncDirectory(parent(below(job.target, name)))
  }
  return {
    bytes: Number(final.size),
    sha256,
    said: "found at the target after a restart",
    verified: moved ? "inode" : sha256 === null ? "size" : "hash",
    name
  }
}

/**
 * Removes the temp files of interrupted attempts at a copy that was given up; null where there are none any more. One
 * that is the source itself, which was being moved, goes back to where it came from, and never over another file.
 */
export const discard = (job: CopyJob): CopyFault | null => {
  const final = finalPath(job)
  const result = guarded(job, () => {
    let cleared = false
    for (const name of [...job.stale, job.temp]) {
      const temp = below(parent(final), name)
      const found = lstat(temp)
      if (found === undefined) continue
      if (job.move && sameContent(stampOf(found), job.stamp) && !isSameFile(temp, final)) {
        giveBack(job, temp)
        if (job.sync) syncDirectory(parent(below(job.root, job.path)))
      } else fs.unlinkSync(fsPath(temp))
      cleared = true
    }
    if (cleared && job.sync) syncDirectory(parent(final))
  })
  return result?._tag === "Failed" ? result.fault : null
}

const readFlags = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK

// one for all: everything here runs to its end before the next call
const buffer = Buffer.allocUnsafeSlow(1024 * 1024)

/** What the system takes away from the mode of a new file. */
const umask = process.umask()

const finalPath = (job: CopyJob): string => below(job.target, job.chosen ?? job.name)
const tempPath = (job: CopyJob): string => below(parent(finalPath(job)), job.temp)

const lstat = (path: string): fs.BigIntStats | undefined =>
  fs.lstatSync(fsPath(path), { bigint: true, throwIfNoEntry: false })

/** Whether a file has the size and, to the microsecond that `utimes` can set, the mtime of a generation. */
export const isCopyOf = (stat: fs.BigIntStats, stamp: string): boolean => {
  const [, , size, mtime] = stamp.split(":")
  const difference = stat.mtimeNs - BigInt(mtime ?? "0")
  return String(stat.size) === size && difference > -2000n && difference < 2000n
}

/** The sha256 that the source and a final file of its size have in common; undefined where they differ. */
const sameBytes = (job: CopyJob, name: string, final: fs.BigIntStats): string | undefined => {
  if (String(final.size) !== job.stamp.split(":")[2]) return undefined
  const ours = hash(job.root, job.path, job.stamp)
  const path = below(job.target, name)
  return ours !== null && ours === hash(parent(path), RelPath.basename(path), stampOf(final)) ? ours : undefined
}

/** Clears what earlier attempts left, and asks the conflict policy whether there is anything to do. */
const beforeStaging = (job: CopyJob): StageResult | undefined => {
  if (!staysBelow(job.chosen ?? job.name)) {
    const reason = `The name ${RelPath.display(job.chosen ?? job.name)} leads out of ${job.target}: it is refused`
    return fail({ kind: "permanent", reason })
  }
  const final = finalPath(job)
  for (const name of job.move ? [...job.stale, job.temp] : job.stale) {
    const temp = below(parent(final), name)
    const found = lstat(temp)
    if (found === undefined) continue
    if (sameContent(stampOf(found), job.stamp)) {
      // an earlier attempt moved the source here and could not finish: go on from there
      if (name !== job.temp) fs.renameSync(fsPath(temp), fsPath(tempPath(job)))
      return movedHere
    }
    fs.unlinkSync(fsPath(temp))
  }
  // a source that is moved is not touched in vain: to be put back makes a new generation of it, which is sent again
  const found = job.move || looksFirst.has(job.conflict) ? lstat(final) : undefined
  if (found === undefined) return undefined
  if (found.isDirectory() && job.conflict === "overwrite") return fail(targetFault({ code: "EISDIR" }, final))
  if (!looksFirst.has(job.conflict)) return undefined
  const where = RelPath.display(final)
  if (job.conflict === "fail") {
    return fail({ kind: "permanent", reason: `There is a file ${where} already: move it away, then retry` })
  }
  if (job.conflict === "skip") {
    return fail({ kind: "skipped", reason: `Skipped: there is a file ${where} already` })
  }
  const sourceTime = BigInt(job.stamp.split(":")[3] ?? "0")
  return found.mtimeNs >= sourceTime
    ? fail({ kind: "skipped", reason: `Skipped: the file ${where} at the target is as new or newer` })
    : undefined
}

/** Policies by which what is at the target decides whether anything is sent. */
const looksFirst: ReadonlySet<string> = new Set(["skip", "fail", "newer"])

/** Moves the source itself to the temp name; false where that is another file system, or not possible. */
const moveToTemp = (job: CopyJob, source: string, temp: string): boolean => {
  try {
    return heldParent(job.root, job.path, (directory) => {
      try {
        return moveFrom(job, below(directory, RelPath.basename(job.path)), temp)
      } catch (error) {
        if (error instanceof Stop) throw error
        return fail(targetFault(error, finalPath(job)))
      }
    })
  } catch (error) {
    if (error instanceof Stop) throw error
    // its directory can't be held
    return fail(sourceFault(error, source))
  }
}

const moveFrom = (job: CopyJob, from: string, temp: string): boolean => {
  const source = below(job.root, job.path)
  const found = lstat(from)
  if (found === undefined) return fail(sourceFault({ code: "ENOENT" }, source))
  // what a link leads to stays where it is
  if (found.isSymbolicLink()) return false
  if (stampOf(found) !== job.stamp) return fail(changed(source))
  try {
    withDirectory(job, temp, () => fs.renameSync(fsPath(from), fsPath(temp)))
  } catch (error) {
    const code = codeOf(error)
    if (code === "EXDEV" || code === "EPERM" || code === "EACCES") return false
    if (code === "ENOENT") return fail(sourceFault(error, source))
    throw error
  }
  const moved = lstat(temp)
  if (moved === undefined || !sameContent(stampOf(moved), job.stamp)) {
    putBack(from, temp)
    return fail(changed(source))
  }
  return true
}

/** Gives a moved source back to where it was. */
const giveBack = (job: CopyJob, temp: string): void =>
  heldParent(job.root, job.path, (directory) => putBack(below(directory, RelPath.basename(job.path)), temp))

/** Gives a moved source back; never over a file that has come there meanwhile. */
const putBack = (source: string, temp: string): void => {
  for (let number = 0; ; number++) {
    const to = number === 0 ? source : numbered(source, number)
    try {
      fs.linkSync(fsPath(temp), fsPath(to))
      fs.unlinkSync(fsPath(temp))
      return
    } catch (error) {
      const code = codeOf(error)
      if (code === "EEXIST") continue
      // no hard links here: look first, then rename
      if (lstat(to) === undefined) return fs.renameSync(fsPath(temp), fsPath(to))
    }
  }
}

const copyToTemp = (job: CopyJob, source: string, temp: string): StageResult => {
  const from = open(source, () => openSource(job.root, job.path))
  try {
    const stat = fs.fstatSync(from, { bigint: true })
    if (stampOf(stat) !== job.stamp) return fail(changed(source))
    const size = Number(stat.size)
    const mode = Number(stat.mode) & 0o777
    let to: number | undefined
    try {
      let sha256: string | null = null
      if (size <= smallFile) {
        const created = withDirectory(job, temp, () => createExclusively(temp, mode))
        to = created
        sha256 = pump(from, created, source)
      } else {
        withDirectory(job, temp, () => kernelCopy(from, source, temp))
        // for reading: the copy has the mode of its source already, which may let nobody write
        to = fs.openSync(fsPath(temp), readFlags)
      }
      if (sha256 === null || (mode & umask) !== 0 || (mode & 0o200) === 0) fs.fchmodSync(to, mode)
      const back = finish(job, from, to, stat)
      fs.closeSync(to)
      return { _tag: "Staged", sha256, back, moved: false, said: sha256 === null ? "copied by the kernel" : "copied" }
    } catch (error) {
      if (to !== undefined) closeQuietly(to)
      removeQuietly(temp)
      throw error
    }
  } finally {
    fs.closeSync(from)
  }
}

const copyPiece = (job: CopyJob, source: string, temp: string, offset: number, length: number): StepResult => {
  let from: number
  try {
    from = open(source, () => openSource(job.root, job.path))
  } catch (error) {
    // what the pieces before have made
    if (offset > 0) removeQuietly(temp)
    throw error
  }
  try {
    const stat = fs.fstatSync(from, { bigint: true })
    if (stampOf(stat) !== job.stamp) {
      removeQuietly(temp)
      return fail(changed(source))
    }
    const size = Number(stat.size)
    const mode = Number(stat.mode) & 0o777
    const to =
      offset === 0
        ? withDirectory(job, temp, () => createExclusively(temp, mode))
        : fs.openSync(fsPath(temp), fs.constants.O_RDWR | fs.constants.O_NOFOLLOW)
    try {
      if (fs.fstatSync(to).size !== offset) return fail(incomplete(fs.fstatSync(to).size, offset, source, temp))
      let at = offset
      while (at < Math.min(size, offset + length)) {
        const most = Math.min(buffer.length, size - at, offset + length - at)
        const read = open(source, () => fs.readSync(from, buffer, 0, most, at))
        if (read === 0) return fail(changed(source))
        for (let written = 0; written < read;) {
          written += fs.writeSync(to, buffer, written, read - written, at + written)
        }
        at += read
      }
      if (at < size) {
        fs.closeSync(to)
        return { _tag: "Copied", bytes: at - offset }
      }
      fs.fchmodSync(to, mode)
      const back = finish(job, from, to, stat)
      fs.closeSync(to)
      return { _tag: "Staged", sha256: null, back, moved: false, said: "copied" }
    } catch (error) {
      closeQuietly(to)
      removeQuietly(temp)
      throw error
    }
  } finally {
    fs.closeSync(from)
  }
}

/** What is left to be done to a copy that is whole; answers its sha256 where it is to be read back. */
const finish = (job: CopyJob, from: number, to: number, stat: fs.BigIntStats): string | null => {
  const source = below(job.root, job.path)
  fs.futimesSync(to, Number(stat.atimeNs) / 1e9, Number(stat.mtimeNs) / 1e9)
  const written = fs.fstatSync(to).size
  const size = Number(stat.size)
  if (written !== size) return fail(incomplete(written, size, source, tempPath(job)))
  if (stampOf(fs.fstatSync(from, { bigint: true })) !== job.stamp) return fail(changed(source))
  if (job.sync) fs.fsyncSync(to)
  return job.verify === "hash" ? digestOf(to) : null
}

const incomplete = (written: number, size: number, source: string, temp: string): CopyFault => ({
  kind: "transient",
  reason: `${written} of ${size} bytes of ${RelPath.display(source)} arrived at ${RelPath.display(temp)}`
})

/** Of an open file, from its beginning. */
const digestOf = (fd: number): string => {
  const digest = createHash("sha256")
  for (let at = 0; ;) {
    const length = fs.readSync(fd, buffer, 0, buffer.length, at)
    if (length === 0) return digest.digest("hex")
    digest.update(length === buffer.length ? buffer : buffer.subarray(0, length))
    at += length
  }
}

/** Reads to the end and writes what it reads; answers the sha256. */
const pump = (from: number, to: number, source: string): string => {
  const digest = createHash("sha256")
  for (;;) {
    const length = open(source, () => fs.readSync(from, buffer, 0, buffer.length, null))
    if (length === 0) return digest.digest("hex")
    digest.update(length === buffer.length ? buffer : buffer.subarray(0, length))
    for (let written = 0; written < length;) written += fs.writeSync(to, buffer, written, length - written)
  }
}

/** Lets the kernel copy: a reflink where the file system has them, otherwise copy_file_range. */
const kernelCopy = (from: number, source: string, temp: string): void => {
  // through the descriptor that was checked, so that nobody can swap the file in between
  const path = process.platform === "linux" ? `/proc/self/fd/${from}` : fsPath(source)
  fs.copyFileSync(path, fsPath(temp), fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE)
}

const createExclusively = (temp: string, mode: number): number =>
  fs.openSync(
    fsPath(temp),
    fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_NOFOLLOW,
    mode | 0o200
  )

/** Runs a call that creates something below a directory; where that is missing, makes it and tries once more. */
const withDirectory = <A>(job: CopyJob, path: string, create: () => A): A => {
  try {
    return create()
  } catch (error) {
    if (codeOf(error) === "EEXIST") {
      // this attempt's own temp name: an attempt that this process gave up without knowing its end
      fs.unlinkSync(fsPath(path))
      return create()
    }
    if (codeOf(error) !== "ENOENT") throw error
    // another thread may have made it just now: then, too, it is worth another try
    makeDirectory(parent(path), job.sync)
    return create()
  }
}

/** Makes a directory with its parents; with `sync`, so that all of them survive a power cut. */
export const makeDirectory = (directory: string, sync: boolean): void => {
  const missing: Array<string> = []
  for (let at = directory; lstat(at) === undefined && at !== parent(at); at = parent(at)) missing.unshift(at)
  for (const each of missing) {
    try {
      fs.mkdirSync(fsPath(each))
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error
    }
    if (sync) syncDirectory(parent(each))
  }
}

const publish = (job: CopyJob, staged: Staged, directories: Set<string>): CopyResult => {
  const temp = tempPath(job)
  const final = finalPath(job)
  try {
    if (job.conflict === "rename" && job.chosen === null) {
      return { _tag: "Choose", name: RelPath.make(freeName(job)) }
    }
    const unlike = job.verify === "hash" && !staged.moved ? difference(job, staged) : undefined
    if (unlike !== undefined) return undo(job, staged, unlike)
    if (job.conflict === "rename" || job.conflict === "fail" || job.conflict === "skip") {
      const taken = publishExclusively(temp, final)
      if (taken) {
        return job.conflict === "rename"
          ? { _tag: "Choose", name: RelPath.make(freeName(job)) }
          : undo(job, staged, afterRace(job.conflict, final))
      }
    } else {
      const twin = twinOf(temp, final)
      if (twin !== undefined) return unfold(job, staged, twin)
      if (job.conflict === "backup") backUp(final)
      fs.renameSync(fsPath(temp), fsPath(final))
    }
    if (job.sync) {
      directories.add(parent(final))
      if (staged.moved) directories.add(parent(below(job.root, job.path)))
    }
    return { _tag: "Done", receipt: receipt(job, staged) }
  } catch (error) {
    return undo(job, staged, targetFault(error, final))
  }
}

/** What is wrong with a copy that was read back. */
const difference = (job: CopyJob, staged: Staged): CopyFault | undefined => {
  const source = below(job.root, job.path)
  const ours = staged.sha256 ?? hash(job.root, job.path, job.stamp)
  if (ours === null) return changed(source)
  if (ours === staged.back) return undefined
  const where = RelPath.display(finalPath(job))
  const reason = `What was written for ${where} reads back differently (sha256 ${staged.back} instead of ${ours}): it was removed again. Check the disk`
  return { kind: "transient", reason }
}

/**
 * The name that a directory holds in the place of the final one because it can't tell the two apart; undefined where it
 * can, or where the name is there as it is. Asked of a temp file that is there, once for each directory.
 */
const twinOf = (temp: string, final: string): string | undefined => {
  const directory = parent(final)
  let folds = folding.get(directory)
  if (folds === undefined) {
    const name = RelPath.basename(temp)
    folds = lstat(below(directory, swapCase(name))) !== undefined
    if (folding.size >= maxKnownDirectories) folding.clear()
    folding.set(directory, folds)
  }
  if (!folds || lstat(final) === undefined) return undefined
  const names = fs.readdirSync(fsPath(directory), { encoding: "buffer" }).map((name) => RelPath.fromBytes(name))
  return twinAmong(names, RelPath.basename(final))
}

/** Whether a directory takes names that differ by case for one. */
const folding = new Map<string, boolean>()
const maxKnownDirectories = 10_000

/** A file that would overwrite another one, of another name, gets a name that can be told apart, or is refused. */
const unfold = (job: CopyJob, staged: Staged, twin: string): CopyResult => {
  const name = RelPath.make(withoutLetters(job.chosen ?? job.name))
  if (job.names === "portable" && name !== job.chosen) return { _tag: "Choose", name }
  const where = RelPath.display(finalPath(job))
  return undo(job, staged, {
    kind: "permanent",
    reason: `${where} can't be told from ${RelPath.display(twin)}, which is there, by the target's file system: rename one of them, or use \`names: portable\``
  })
}

const afterRace = (conflict: "fail" | "skip", final: string): CopyFault => ({
  kind: conflict === "fail" ? "permanent" : "skipped",
  reason: `There is a file ${RelPath.display(final)} already: another program made it meanwhile`
})

/** Gives up what was staged: a copy is removed, a moved source goes back to where it was. */
const undo = (job: CopyJob, staged: Staged, fault: CopyFault): CopyResult => {
  try {
    if (staged.moved) giveBack(job, tempPath(job))
    else removeQuietly(tempPath(job))
  } catch (error) {
    return { _tag: "Failed", fault: { ...fault, reason: `${fault.reason} (and: ${String(error)})` } }
  }
  return { _tag: "Failed", fault }
}

/** A link fails where a name is taken, and a rename does not. True where it is taken. */
const publishExclusively = (temp: string, final: string): boolean => {
  try {
    fs.linkSync(fsPath(temp), fsPath(final))
    fs.unlinkSync(fsPath(temp))
    return false
  } catch (error) {
    const code = codeOf(error)
    if (code === "EEXIST") {
      if (!isSameFile(temp, final)) return true
      // a process that was killed had linked it already
      fs.unlinkSync(fsPath(temp))
      return false
    }
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP" && code !== "EMLINK") throw error
    // no hard links on this file system: look first, then rename
    if (lstat(final) !== undefined) return true
    fs.renameSync(fsPath(temp), fsPath(final))
    return false
  }
}

const isSameFile = (left: string, right: string): boolean => {
  const [one, other] = [lstat(left), lstat(right)]
  return one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino
}

const freeName = (job: CopyJob): string => {
  for (let number = 0; ; number++) {
    const name = number === 0 ? job.name : numbered(job.name, number)
    if (lstat(below(job.target, name)) === undefined) return name
  }
}

/** Moves what is there to `name.bak`, `name.bak1`, … */
const backUp = (final: string): void => {
  if (lstat(final) === undefined) return
  for (let number = 0; ; number++) {
    const to = number === 0 ? `${final}.bak` : `${final}.bak${number}`
    if (!publishExclusively(final, to)) return
  }
}

const receipt = (job: CopyJob, staged: Staged): Receipt => ({
  bytes: Number(job.stamp.split(":")[2]),
  sha256: staged.sha256 ?? staged.back,
  said: staged.said,
  verified: staged.moved ? "inode" : job.verify === "hash" ? "hash" : "size",
  name: job.chosen ?? job.name
})

const changed = (source: string): CopyFault => ({
  kind: "changed",
  reason: `The source file ${RelPath.display(source)} has changed: it is sent as it ends up`
})

const open = <A>(source: string, call: () => A): A => {
  try {
    return call()
  } catch (error) {
    return fail(sourceFault(error, source))
  }
}

const syncDirectories = (
  jobs: ReadonlyArray<CopyJob>,
  results: ReadonlyArray<CopyResult>,
  directories: ReadonlySet<string>
): ReadonlyArray<CopyResult> => {
  const failed = new Map<string, unknown>()
  for (const directory of directories) {
    try {
      syncDirectory(directory)
    } catch (error) {
      failed.set(directory, error)
    }
  }
  return failed.size === 0
    ? results
    : results.map((result, index) => {
        const job = jobs[index]
        const error = job === undefined ? undefined : failed.get(parent(finalPath(job)))
        return error === undefined || job === undefined || result._tag !== "Done"
          ? result
          : { _tag: "Failed", fault: targetFault(error, finalPath(job)) }
      })
}

const syncFile = (path: string): void => {
  const fd = fs.openSync(fsPath(path), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Makes the names in a directory survive a power cut; not every file system can. */
export const syncDirectory = (path: string): void => {
  try {
    syncFile(path)
  } catch (error) {
    const code = codeOf(error)
    if (code !== "EINVAL" && code !== "EISDIR" && code !== "ENOTSUP" && code !== "EPERM") throw error
  }
}

const closeQuietly = (fd: number): void => {
  try {
    fs.closeSync(fd)
  } catch {
    // it was closed already, or is being given up for an error that is reported
  }
}

const removeQuietly = (path: string): void => {
  try {
    fs.unlinkSync(fsPath(path))
  } catch {
    // it is gone, or is swept with the next attempt
  }
}
