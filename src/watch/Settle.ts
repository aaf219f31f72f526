/**
 * Which files are quiet: a file is ready once its stamp has not changed for the quiet time, counted from when it was
 * observed, never from the file's own times. Pure: it neither looks nor waits, and is told the time.
 *
 * The quiet time is the same for all, so files become due in the order in which they were last seen to change: a
 * linked list is the queue, every operation takes constant time, and a waiting file costs its two strings and about
 * a hundred bytes.
 */
import type { Stamp } from "../domain/Generation.ts"
import type { RelPath } from "../domain/RelPath.ts"

export interface Waiting {
  readonly path: RelPath
  /** What it was when it was last observed. */
  readonly stamp: Stamp
}

export interface Settle {
  /** The file was seen to be this at `now`: a new or changed one starts its quiet time anew. Answers whether it did. */
  readonly observe: (path: RelPath, stamp: Stamp, now: number) => boolean
  /**
   * Up to `limit` files whose quiet time has ended at `now`, to be looked at: those that are still the same are ready.
   * Each is handed out once, until it is observed to have changed, or told to {@link Settle.again}.
   */
  readonly due: (now: number, limit: number) => ReadonlyArray<Waiting>
  /** A file that is known to be quiet counts as handed out; not one that waits here already. Answers whether it does. */
  readonly adopt: (file: Waiting) => boolean
  /** A file that was handed out waits for its quiet time again: it could not be looked at, or not be accepted. */
  readonly again: (file: Waiting, now: number) => void
  /** A file that was handed out is done with, unless it was observed to have changed meanwhile. */
  readonly done: (file: Waiting) => void
  /** The file is gone. */
  readonly forget: (path: RelPath) => void
  readonly has: (path: RelPath) => boolean
  /** When the next file is due; null where none waits. */
  readonly nextDue: () => number | null
  /** How many there are, those included that were handed out and not yet done with. */
  readonly size: () => number
}

interface Entry {
  readonly path: RelPath
  stamp: Stamp
  due: number
  /** Its neighbours in the queue; an entry that was handed out has itself as both. */
  before: Entry | null
  after: Entry | null
}

/** `quiet` and all times in milliseconds, by a clock that never goes back. */
export const make = (quiet: number): Settle => {
  const entries = new Map<RelPath, Entry>()
  let first: Entry | null = null
  let last: Entry | null = null

  const unlink = (entry: Entry): void => {
    if (entry.before === entry) return
    if (entry.before === null) first = entry.after
    else entry.before.after = entry.after
    if (entry.after === null) last = entry.before
    else entry.after.before = entry.before
  }

  const append = (entry: Entry, due: number): void => {
    // Callers may come with times that differ by a little: the order of the queue is kept all the same.
    entry.due = last === null ? due : Math.max(due, last.due)
    entry.before = last
    entry.after = null
    if (last === null) first = entry
    else last.after = entry
    last = entry
  }

  const isHandedOut = (entry: Entry): boolean => entry.before === entry

  return {
    observe: (path, stamp, now) => {
      const entry = entries.get(path)
      if (entry === undefined) {
        const fresh: Entry = { path, stamp, due: now, before: null, after: null }
        entries.set(path, fresh)
        append(fresh, now + quiet)
        return true
      }
      if (entry.stamp === stamp) return false
      entry.stamp = stamp
      unlink(entry)
      append(entry, now + quiet)
      return true
    },
    due: (now, limit) => {
      const ready: Array<Waiting> = []
      for (let entry = first; entry !== null && entry.due <= now && ready.length < limit; entry = first) {
        unlink(entry)
        entry.before = entry
        entry.after = entry
        ready.push({ path: entry.path, stamp: entry.stamp })
      }
      return ready
    },
    adopt: ({ path, stamp }) => {
      if (entries.has(path)) return false
      const entry: Entry = { path, stamp, due: 0, before: null, after: null }
      entry.before = entry
      entry.after = entry
      entries.set(path, entry)
      return true
    },
    again: ({ path, stamp }, now) => {
      const entry = entries.get(path)
      if (entry !== undefined && entry.stamp === stamp && isHandedOut(entry)) append(entry, now + quiet)
    },
    done: ({ path, stamp }) => {
      const entry = entries.get(path)
      if (entry !== undefined && entry.stamp === stamp && isHandedOut(entry)) entries.delete(path)
    },
    forget: (path) => {
      const entry = entries.get(path)
      if (entry === undefined) return
      unlink(entry)
      entries.delete(path)
    },
    has: (path) => entries.has(path),
    nextDue: () => first?.due ?? null,
    size: () => entries.size
  }
}
