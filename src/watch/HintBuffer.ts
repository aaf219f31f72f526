/**
 * Hints on their way from one that must not be blocked (an event's callback) to one that takes them when it can:
 * bounded, and each path once, however often it was named. When it is full, it becomes one hint to scan.
 */
import { Effect } from "effect"
import type { RelPath } from "../domain/RelPath.ts"
import type { Hint } from "./Watcher.ts"

export interface HintBuffer {
  readonly add: (hint: Hint) => void
  /** Waits until there are hints. */
  readonly waits: Effect.Effect<void>
  /** Waits until there are hints, and takes up to `limit` of them, three at least. */
  readonly take: (limit: number) => Effect.Effect<ReadonlyArray<Hint>>
  /** Whether this path waits, or a scan that would find it. */
  readonly holds: (path: RelPath) => boolean
  /** What was taken has been dealt with. */
  readonly done: () => void
  /** Whether none waits, and none has been taken and not been dealt with. */
  readonly isEmpty: () => boolean
}

/** `capacity`: how many paths may wait, at about 100 bytes each. */
export const make = (capacity = 65_536): HintBuffer => {
  const paths = new Set<RelPath>()
  let scan: string | null = null
  let doubtful: string | null = null
  let unavailable: string | null = null
  let taken = false
  const bell = Effect.unsafeMakeLatch(false)

  const add = (hint: Hint): void => {
    switch (hint._tag) {
      case "Path":
        // A scan will find it, too, but may be a while: as long as there is room, the path goes its own way.
        if (paths.size < capacity || paths.has(hint.path)) paths.add(hint.path)
        else {
          paths.clear()
          scan = `more than ${capacity} files changed at once`
        }
        break
      case "Scan":
        scan ??= hint.reason
        break
      case "Doubtful":
        doubtful ??= hint.reason
        break
      case "Unavailable":
        unavailable ??= hint.reason
        break
    }
    bell.unsafeOpen()
  }

  const takeNow = (limit: number): ReadonlyArray<Hint> => {
    const hints: Array<Hint> = []
    if (unavailable !== null) hints.push({ _tag: "Unavailable", reason: unavailable })
    if (doubtful !== null) hints.push({ _tag: "Doubtful", reason: doubtful })
    if (scan !== null) hints.push({ _tag: "Scan", reason: scan })
    unavailable = null
    doubtful = null
    scan = null
    for (const path of paths) {
      if (hints.length >= limit) break
      paths.delete(path)
      hints.push({ _tag: "Path", path })
    }
    if (paths.size === 0) bell.unsafeClose()
    taken = true
    return hints
  }

  return {
    add,
    waits: bell.await,
    take: (limit) => Effect.map(bell.await, () => takeNow(limit)),
    holds: (path) => scan !== null || paths.has(path),
    done: () => {
      taken = false
    },
    isEmpty: () => !taken && paths.size === 0 && scan === null && doubtful === null && unavailable === null
  }
}
