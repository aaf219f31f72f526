/**
 * A file, opened as the one that was found: never through a link out of the source, never waiting for a FIFO,
 * and with the same stamp before and after it is read.
 */
import { closeSync, fstatSync, readSync } from "node:fs"
import { stamp } from "../../domain/Generation.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { codeOf } from "../fault.ts"
import { openSource } from "../links.ts"
import { below } from "../names.ts"
import type { Subject } from "./protocol.ts"

/** The file is gone, is no longer the one that was found, or can't be read. */
export class SubjectError extends Error {}

/** An open file; `read` is one `pread` after the other, until there is enough or the file ends. */
export interface Opened {
  readonly size: number
  readonly fd: number
  readonly read: (position: number, length: number) => Buffer
}

/** @throws SubjectError, also where the file has changed meanwhile: then the result is lost */
export const withFile = <A>(subject: Subject, use: (file: Opened) => A): A => {
  const fd = open(subject)
  try {
    check(fd, subject)
    const result = use(opened(fd, subject))
    check(fd, subject)
    return result
  } catch (error) {
    throw toSubjectError(error, subject)
  } finally {
    closeSync(fd)
  }
}

/** The same for what takes its time. */
export const withFileAsync = async <A>(subject: Subject, use: (file: Opened) => Promise<A>): Promise<A> => {
  const fd = open(subject)
  try {
    check(fd, subject)
    const result = await use(opened(fd, subject))
    check(fd, subject)
    return result
  } catch (error) {
    throw toSubjectError(error, subject)
  } finally {
    closeSync(fd)
  }
}

const open = (subject: Subject): number => {
  try {
    return openSource(subject.root, subject.path)
  } catch (error) {
    throw toSubjectError(error, subject)
  }
}

const check = (fd: number, subject: Subject): void => {
  const stat = fstatSync(fd, { bigint: true })
  if (!stat.isFile() || stamp(stat) !== subject.stamp) throw changed(subject)
}

const opened = (fd: number, { size }: Subject): Opened => ({
  size,
  fd,
  read: (position, length) => {
    const wanted = Math.max(0, Math.min(length, size - position))
    const buffer = Buffer.allocUnsafe(wanted)
    let at = 0
    while (at < wanted) {
      const bytes = readSync(fd, buffer, at, wanted - at, position + at)
      if (bytes === 0) break
      at += bytes
    }
    return buffer.subarray(0, at)
  }
})

const describe = (subject: Subject): string => RelPath.display(below(subject.root, subject.path))

const changed = (subject: Subject): SubjectError =>
  new SubjectError(`${describe(subject)} changed after it was found; it will be looked at again.`)

const toSubjectError = (error: unknown, subject: Subject): SubjectError => {
  if (error instanceof SubjectError) return error
  const code = codeOf(error)
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return new SubjectError(`${describe(subject)} is gone; it was removed or renamed before it could be read.`)
    case "EACCES":
    case "EPERM":
      return new SubjectError(
        `${describe(subject)} can't be read: permission denied. Give the user of filedispatch read access to it.`
      )
    // a link, a socket or a device has taken the place of the file
    case "ELOOP":
    case "ENXIO":
    case "ENODEV":
      return changed(subject)
    default:
      return new SubjectError(
        `${describe(subject)} could not be read (${code === "" ? String(error) : code}); it will be tried again.`
      )
  }
}
