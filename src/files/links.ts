/**
 * Symbolic links below a source, where they are to be followed: only to what lies in the source, too. Plain synchronous
 * functions, which run in a worker thread.
 *
 * A link to a file stands for that file under the link's own name. A link to a directory is entered like a directory,
 * unless it lies in that directory, and unless another link was entered before it: so that no circle has a second round.
 */
import { constants, lstatSync, openSync, realpathSync, type BigIntStats } from "node:fs"
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
 * @throws the system's error; ELOOP for a link that leads elsewhere
 */
export const openSource = (root: string, path: string): number => {
  try {
    return openSync(fsPath(below(root, path)), readFlags)
  } catch (error) {
    return openSync(targetOf(root, path, error), readFlags)
  }
}

/** As {@link openSource}, without holding up the thread. */
export const openSourceHandle = (root: string, path: string): Promise<FileHandle> =>
  open(fsPath(below(root, path)), readFlags).catch((error: unknown) => open(targetOf(root, path, error), readFlags))

/** What a link in the source leads to, which is why it could not be opened as a file. */
const targetOf = (root: string, path: string, error: unknown): FsPath => {
  if (codeOf(error) !== "ELOOP") throw error
  const target = realPath(below(root, path))
  if (!isBelow(target, realPath(root))) throw error
  return fsPath(target)
}

const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Dangling, a circle, or not to be entered: nothing that can be taken. */
const unfollowed: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM", "ENAMETOOLONG"])

/** In the form of RelPath. The plain version of node takes no name that is not UTF-8. */
const realPath = (path: string): string => RelPath.fromBytes(realpathSync.native(fsPath(path), { encoding: "buffer" }))

const isBelow = (path: string, directory: string): boolean =>
  path.startsWith(directory.endsWith("/") ? directory : `${directory}/`)
