/**
 * An archived file whose time is over: removed, if it still is the file that was archived. Plain synchronous functions,
 * which run in a worker thread.
 */
import fs from "node:fs"
import { stamp as stampOf } from "../domain/Generation.ts"
import { syncDirectory } from "./copy.ts"
import { lstat, numberedToFit } from "./disposeTo.ts"
import type { Expired, ExpireResult } from "./Files.ts"
import { below, fsPath, parent, tempName } from "./names.ts"

/**
 * What tells an archived file from any other at its path: inode, size and time of the last change, `ino:size:mtime`. Not
 * the device, which has another number after some restarts of the system, nor the ctime, which a backup may touch.
 */
export const identityOf = (stamp: string): string => stamp.split(":").slice(1, 4).join(":")

/**
 * It is renamed within its directory and looked at again, as a source is. A process that was killed in between has left
 * it under that name, where it is found. Folders that are empty then go, up to the root.
 */
export const expire = ({ identity, path, root }: Expired, sync: boolean): ExpireResult => {
  const temp = below(parent(path), tempName(`expire ${path} ${identity}`))
  if (lstat(temp) === undefined) {
    const found = lstat(path)
    // a file system that is not mounted now has the file still
    if (found === undefined && lstat(root) === undefined) return "unreachable"
    if (found === undefined) {
      removeEmpty(parent(path), root)
      return "gone"
    }
    if (!isIt(found, identity)) return "other"
    fs.renameSync(fsPath(path), fsPath(temp))
  }
  const found = lstat(temp)
  if (found === undefined) return "gone"
  if (!isIt(found, identity)) {
    fs.renameSync(fsPath(temp), fsPath(freeName(path)))
    return "other"
  }
  fs.unlinkSync(fsPath(temp))
  if (sync) syncDirectory(parent(temp))
  removeEmpty(parent(path), root)
  return "removed"
}

const isIt = (stat: fs.BigIntStats, identity: string): boolean =>
  stat.isFile() && identityOf(stampOf(stat)) === identity

const freeName = (path: string): string => {
  let number = 0
  while (lstat(numberedToFit(path, number)) !== undefined) number += 1
  return numberedToFit(path, number)
}

/** A directory, and those around it, as long as there is nothing in them; never the root. */
const removeEmpty = (directory: string, root: string): void => {
  const inside = root.endsWith("/") ? root : `${root}/`
  try {
    for (let current = directory; current.startsWith(inside) && current !== inside; current = parent(current)) {
      fs.rmdirSync(fsPath(current))
    }
  } catch {
    // there is something in it, or it is not ours to remove: it stays
  }
}
