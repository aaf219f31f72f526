/**
 * Symbolic links below a source, where they are to be followed: only to what lies in the source, too. Plain synchronous
 * functions, which run in a worker thread.
 *
 * A link to a file stands for that file under the link's own name. A link to a directory is entered like a directory,
 * unless it lies in that directory, and unless another link was entered before it: so that no circle has a second round.
 */
import { closeSync, constants, lstatSync, openSync, readlinkSync, realpathSync, type BigIntStats } from "node:fs"
import { open, type FileHandle } from "node:fs/promises"
import * as RelPath from "../domain/RelPath.ts"
import { codeOf } from "./fault.ts"
import { below, fsPath, type FsPath } from "./names.ts"

export interface Links {
  /** What a link leads to; undefined where that is not in the source, is a circle, or is not there. */
  readonly follow: (path: RelPath.RelPath) => BigIntStats | undefined
}

/** The links below a directory. */
export const linksOf = (root: string): Links => {
  const real = realPath(root)
  return {
    follow: (path) => {
      try {
        const target = realPath(below(root, path))
        if (!isBelow(target, real)) return undefined
        // what is resolved is no link, but may have become one meanwhile
        const stat = lstatSync(fsPath(target), { bigint: true, throwIfNoEntry: false })
        return stat?.isDirectory() === true && isBelow(below(real, path), target) ? undefined : stat
      } catch (error) {
        if (unfollowed.has(codeOf(error))) return undefined
        throw error
      }
    }
  }
}

/**
 * Opens a source file to be read. Where it is a link, what that leads to is opened, if it lies in the source. Whether it
 * is the file that is meant is for its stamp to say, and has to be asked before a byte is read: that of a file which was
 * accepted under a plain name never is that of a link's target.
 *
 * @throws the system's error; ELOOP for a link that leads elsewhere, also one that has taken the place of a directory
 */
export const openSource = (root: string, path: string): number => {
  let direct = true
  let fd: number
  try {
    fd = openSync(fsPath(below(root, path)), readFlags)
  } catch (error) {
    direct = false
    fd = openSync(targetOf(root, path, error), readFlags)
  }
  try {
    return inSource(root, path, fd, direct)
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** As {@link openSource}, without holding up the thread. */
export const openSourceHandle = async (root: string, path: string): Promise<FileHandle> => {
  let direct = true
  const handle = await open(fsPath(below(root, path)), readFlags).catch((error: unknown) => {
    direct = false
    return open(targetOf(root, path, error), readFlags)
  })
  try {
    inSource(root, path, handle.fd, direct)
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * Holds the directory of a path below the source while it is used: what is done by the name that `use` gets is done in
 * that directory, whatever takes its place meanwhile. Messages of errors show it by its own name.
 *
 * @throws the system's error where it can't be held, ELOOP where it lies out of the source, and what `use` throws
 */
export const heldParent = <A>(root: string, path: string, use: (directory: string) => A): A => {
  const named = below(root, RelPath.dirname(path))
  // who configured the source answers for where that lies
  if (!path.includes("/") || process.platform !== "linux") return use(named)
  const fd = openSync(fsPath(named), pathOnly | constants.O_DIRECTORY)
  // the dot makes it a directory for those who follow no links
  const held = `${descriptors}/${fd}/.`
  try {
    if (placeOf(fd) === undefined) return use(named)
    inSource(root, RelPath.dirname(path), fd, false)
    return use(held)
  } catch (error) {
    if (error instanceof Error) error.message = error.message.replaceAll(held, RelPath.display(named))
    throw error
  } finally {
    closeSync(fd)
  }
}

/** What a link in the source leads to, which is why it could not be opened as a file. */
const targetOf = (root: string, path: string, error: unknown): FsPath => {
  if (codeOf(error) !== "ELOOP") throw error
  const target = realPath(below(root, path))
  if (!isBelow(target, realPath(root))) throw error
  return fsPath(target)
}

/**
 * The descriptor, once it is known that what it holds lies in the source: whoever swaps a directory for a link between
 * a look and an opening would otherwise have us take what is not theirs.
 */
const inSource = (root: string, path: string, fd: number, direct: boolean): number => {
  if (direct && !path.includes("/")) return fd
  const place = placeOf(fd)
  if (place === undefined || place === below(root, path) || isBelow(place, realPath(root))) return fd
  throw leadsOut(below(root, path))
}

/** Where the system says that what is open lies; undefined where it says nothing. */
const placeOf = (fd: number): string | undefined => {
  if (process.platform !== "linux") return undefined
  try {
    return RelPath.fromBytes(readlinkSync(`${descriptors}/${fd}`, { encoding: "buffer" }))
  } catch (error) {
    // without /proc
    if (codeOf(error) === "ENOENT") return undefined
    throw leadsOut(`${descriptors}/${fd}`)
  }
}

const leadsOut = (path: string): Error =>
  Object.assign(new Error(`ELOOP: a link leads out of the source, open '${RelPath.display(path)}'`), { code: "ELOOP" })

const descriptors = "/proc/self/fd"

/** O_PATH of Linux, which node has no name for: a directory that is not to be read. */
const pathOnly = 0x200000

const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Dangling, a circle, or not to be entered: nothing that can be taken. */
const unfollowed: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM", "ENAMETOOLONG"])

/** In the form of RelPath. The plain version of node takes no name that is not UTF-8. */
const realPath = (path: string): string => RelPath.fromBytes(realpathSync.native(fsPath(path), { encoding: "buffer" }))

const isBelow = (path: string, directory: string): boolean =>
  path.startsWith(directory.endsWith("/") ? directory : `${directory}/`)
