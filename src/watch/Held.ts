/**
 * Files that are quiet and not to be taken yet: they are too young, an `age` rule will say otherwise, or their marker is
 * not there. Each is handed out when its time has come or its marker has; pure, and told the time.
 *
 * Bounded: what does not fit is left to the next scan, which is asked for as soon as there is room.
 */
import type { Stamp } from "../domain/Generation.ts"
import type { RelPath } from "../domain/RelPath.ts"
import type { Waiting } from "./Settle.ts"

export interface Held {
  /**
   * `until`: milliseconds since the epoch, null where only the marker can end it. A path that is held already is held
   * anew. Answers whether there was room.
   */
  readonly hold: (file: Waiting, until: number | null, marker: RelPath | null) => boolean
  /** Up to `limit` files whose time has come at `now`, the first one first. */
  readonly due: (now: number, limit: number) => ReadonlyArray<Waiting>
  /** The files that wait for this marker. */
  readonly marked: (marker: RelPath) => ReadonlyArray<Waiting>
  /** Whether it is held as what it is now. */
  readonly has: (path: RelPath, stamp: Stamp) => boolean
  readonly forget: (path: RelPath) => void
  /** All of them. */
  readonly clear: () => void
  /** When the next file is due; null where none is. */
  readonly nextDue: () => number | null
  /** Whether some did not fit, and there is room again; told once. */
  readonly lacks: () => boolean
  /** Whether some did not fit since there last was room. */
  readonly isShort: () => boolean
  readonly size: () => number
}

interface Entry extends Waiting {
  readonly until: number
  readonly marker: RelPath | null
}

/** `capacity`: how many files, at about 250 bytes each. */
export const make = (capacity = 50_000): Held => {
  const entries = new Map<RelPath, Entry>()
  const byMarker = new Map<RelPath, Set<RelPath>>()
  /** A binary heap by time. What is no longer in `entries` is passed over when it comes to the top. */
  let heap: Array<Entry> = []
  let missed = false

  const isLive = (entry: Entry): boolean => entries.get(entry.path) === entry

  const remove = (entry: Entry): void => {
    entries.delete(entry.path)
    if (entry.marker === null) return
    const waiting = byMarker.get(entry.marker)
    waiting?.delete(entry.path)
    if (waiting?.size === 0) byMarker.delete(entry.marker)
  }

  /** The next one, once those that are gone are out of the way. */
  const top = (): Entry | undefined => {
    for (let entry = heap[0]; entry !== undefined; entry = heap[0]) {
      if (isLive(entry)) return entry
      pop(heap)
    }
    return undefined
  }

  return {
    hold: ({ path, stamp }, until, marker) => {
      const old = entries.get(path)
      if (old !== undefined) remove(old)
      if (entries.size >= capacity) {
        missed = true
        return false
      }
      const entry: Entry = { path, stamp, until: until ?? Infinity, marker }
      entries.set(path, entry)
      if (marker !== null) {
        const waiting = byMarker.get(marker)
        if (waiting === undefined) byMarker.set(marker, new Set([path]))
        else waiting.add(path)
      }
      if (until !== null) {
        // most of it is gone already: begin anew with what is left
        if (heap.length > 2 * capacity) heap = heap.filter(isLive).sort((left, right) => left.until - right.until)
        push(heap, entry)
      }
      return true
    },
    due: (now, limit) => {
      const ready: Array<Waiting> = []
      for (let entry = top(); entry !== undefined && entry.until <= now && ready.length < limit; entry = top()) {
        pop(heap)
        remove(entry)
        ready.push({ path: entry.path, stamp: entry.stamp })
      }
      return ready
    },
    marked: (marker) => {
      const ready: Array<Waiting> = []
      for (const path of byMarker.get(marker) ?? []) {
        const entry = entries.get(path)
        if (entry === undefined) continue
        remove(entry)
        ready.push({ path: entry.path, stamp: entry.stamp })
      }
      return ready
    },
    has: (path, stamp) => entries.get(path)?.stamp === stamp,
    forget: (path) => {
      const entry = entries.get(path)
      if (entry !== undefined) remove(entry)
    },
    clear: () => {
      entries.clear()
      byMarker.clear()
      heap = []
      missed = false
    },
    nextDue: () => top()?.until ?? null,
    lacks: () => {
      if (!missed || entries.size > capacity / 2) return false
      missed = false
      return true
    },
    isShort: () => missed,
    size: () => entries.size
  }
}

const push = (heap: Array<Entry>, entry: Entry): void => {
  let index = heap.push(entry) - 1
  while (index > 0) {
    const above = (index - 1) >> 1
    const parent = heap[above]
    if (parent === undefined || parent.until <= entry.until) break
    heap[index] = parent
    index = above
  }
  heap[index] = entry
}

const pop = (heap: Array<Entry>): void => {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let index = 0
  for (;;) {
    let below = 2 * index + 1
    const [left, right] = [heap[below], heap[below + 1]]
    if (left === undefined) break
    if (right !== undefined && right.until < left.until) below += 1
    const child = heap[below]
    if (child === undefined || child.until >= last.until) break
    heap[index] = child
    index = below
  }
  heap[index] = last
}
