/**
 * Places on this machine: where a path of the config really is.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

/** `~` and `~/x` below the home folder, anything else below the directory, absolute and normal. */
export const resolve = (directory: string, path: string): string => {
  const home = path === "~" || path.startsWith("~/") ? Path.join(Os.homedir(), path.slice(1)) : path
  return Path.resolve(directory, home)
}

/** The path with all links followed, as far as it exists. */
export const canonical = (path: string): string => {
  const exists = nearest(path)
  try {
    return Path.join(Fs.realpathSync(exists), Path.relative(exists, path))
  } catch {
    return path
  }
}

/** The mount point of the file system that a path lies on, or will lie on once it is made. */
export const mountPoint = (path: string): string => {
  let current = canonical(nearest(path))
  const device = deviceOf(current)
  for (;;) {
    const parent = Path.dirname(current)
    if (parent === current || deviceOf(parent) !== device) return current
    current = parent
  }
}

/** Whether the second path is the first one, or below it. */
export const contains = (directory: string, path: string): boolean => {
  const relative = Path.relative(directory, path)
  return relative === "" || (relative !== ".." && !relative.startsWith(`..${Path.sep}`) && !Path.isAbsolute(relative))
}

const nearest = (path: string): string => {
  let current = path
  while (deviceOf(current) === undefined) {
    const parent = Path.dirname(current)
    if (parent === current) break
    current = parent
  }
  return current
}

const deviceOf = (path: string): number | undefined => {
  try {
    return Fs.statSync(path, { throwIfNoEntry: false })?.dev
  } catch {
    return undefined
  }
}
