/**
 * Whether the events of a source can be relied on: what its scans find is held against what its events named. Pure, and
 * told the time.
 *
 * A file that a scan finds and the one before did not must have been named by an event in between, or soon after. One
 * that was not is a miss, in whichever directory it lies, and from then on the source is in doubt: events are lost, or
 * the file system tells only of some changes, as a network share does of those that other machines make. It is out of
 * doubt when events have named new files for a while and scans found none before them, in the directories too where
 * files were missed. Each relapse makes that while longer.
 *
 * Costs nothing per event while all is well, and at most a few thousand paths while it is not.
 */
import * as RelPath from "../domain/RelPath.ts"

export interface Proof {
  /** Something may have been missed for a known reason: what scans find is no miss, until one has seen everything. */
  readonly excuse: () => void
  /** A scan begins. `inHand`: paths that events named and that are being looked at. `isWatched`: whether events come. */
  readonly scanBegins: (inHand: Iterable<RelPath.RelPath>, isWatched: boolean) => void
  readonly scanEnds: (isComplete: boolean) => void
  /** Events named these paths. */
  readonly named: (paths: ReadonlyArray<RelPath.RelPath>) => void
  /** The files among them that nobody knew of. */
  readonly arrived: (paths: ReadonlyArray<RelPath.RelPath>) => void
  /** The scan that is under way found files that nobody knew of. */
  readonly found: (paths: ReadonlyArray<RelPath.RelPath>, now: number) => void
  /** The files that scans found a while ago, and that no event has named since. */
  readonly suspects: (now: number) => ReadonlyArray<RelPath.RelPath>
  /** They have been looked at: those that `isMissed` says so of, and that still no event has named, were missed. */
  readonly judge: (
    suspects: ReadonlyArray<RelPath.RelPath>,
    isMissed: (path: RelPath.RelPath, index: number) => boolean,
    now: number
  ) => ReadonlyArray<RelPath.RelPath>
  /** Events are not to be relied on, for a reason other than a miss. */
  readonly doubt: (now: number) => void
  readonly inDoubt: () => boolean
  /** How long events have had to prove themselves when they first do; more for each relapse. */
  readonly recovers: (now: number) => boolean
  /** How many new files events have named, and scans alone have found. The latter is the least it can have been. */
  readonly counts: () => { readonly named: number; readonly missed: number }
}

/** For how long an event may be later than a scan that found its file. In milliseconds. */
export const grace = 10_000

/** How many new files events must name to be relied on again. */
export const proofs = 3

/** For how long no file may have been missed by then, at first and at most. In milliseconds. */
export const probation = 30_000
const longestProbation = 3_600_000

/** After how long a directory in which files were missed, and into which none came since, is no reason for doubt. */
const forgotten = 3_600_000

/** Within this time after events were relied on again, the next miss is a relapse. */
const relapseWithin = 86_400_000

const mostSuspects = 5000
/** Once in doubt, a few are enough to stay there. */
const mostInDoubt = 100
const mostDirectories = 1000
/** More events than that during one scan, and it is not held against them. */
const mostTold = 100_000

export const make = (): Proof => {
  /** Whether a scan, begun while events came, has seen everything, and nothing is excused since. */
  let baseline = false
  /** What events named during the scan that is under way; null: none is, or nothing is held against events. */
  let told: Set<RelPath.RelPath> | null = null
  /** Whether the scan that is under way will be the baseline. */
  let isClean = false
  /** When a scan found them. */
  const suspects = new Map<RelPath.RelPath, number>()
  let doubted = false
  let lastMiss = 0
  let lastRecovery: number | null = null
  let relapses = 0
  /** New files named since the last miss. */
  let named = 0
  let allNamed = 0
  let missed = 0
  /** Where files were missed, and when: none of these has had an event since. */
  const silent = new Map<string, number>()

  const doubt = (now: number): void => {
    if (!doubted) relapses = lastRecovery !== null && now - lastRecovery < relapseWithin ? relapses + 1 : 0
    doubted = true
    lastMiss = now
    named = 0
  }

  const credit = (path: RelPath.RelPath): void => {
    allNamed += 1
    if (!doubted) return
    named += 1
    silent.delete(RelPath.dirname(path))
  }

  const excuse = (): void => {
    baseline = false
    isClean = false
    told = null
    suspects.clear()
  }

  return {
    excuse,
    scanBegins: (inHand, isWatched) => {
      told = baseline && isWatched ? new Set(inHand) : null
      isClean = isWatched
    },
    scanEnds: (isComplete) => {
      if (!isComplete) return excuse()
      baseline = isClean
      told = null
    },
    named: (paths) => {
      if (told !== null) {
        for (const path of paths) told.add(path)
        if (told.size > mostTold) told = null
      }
      if (suspects.size === 0) return
      for (const path of paths) if (suspects.delete(path)) credit(path)
    },
    arrived: (paths) => {
      for (const path of paths) credit(path)
    },
    found: (paths, now) => {
      if (told === null) return
      const most = doubted ? mostInDoubt : mostSuspects
      for (const path of paths) {
        if (suspects.size >= most) return
        if (!told.has(path) && !suspects.has(path) && canBeNamed(path)) suspects.set(path, now)
      }
    },
    suspects: (now) => {
      const due: Array<RelPath.RelPath> = []
      // in the order in which they were found
      for (const [path, since] of suspects) {
        if (now - since < grace) break
        due.push(path)
      }
      return due
    },
    judge: (due, isMissed, now) => {
      const misses = due.filter((path, index) => suspects.delete(path) && isMissed(path, index))
      if (misses.length === 0) return misses
      missed += misses.length
      doubt(now)
      for (const path of misses) if (silent.size < mostDirectories) silent.set(RelPath.dirname(path), now)
      return misses
    },
    doubt,
    inDoubt: () => doubted,
    recovers: (now) => {
      const quiet = Math.min(probation * 2 ** relapses, longestProbation)
      if (!doubted || named < proofs || suspects.size > 0 || now - lastMiss < quiet) return false
      for (const since of silent.values()) if (now - since < forgotten) return false
      silent.clear()
      doubted = false
      lastRecovery = now
      return true
    },
    counts: () => ({ named: allNamed, missed })
  }
}

/** A name that is not UTF-8, or might be mistaken for one, is never named: an event of it asks for a scan. */
const canBeNamed = (path: RelPath.RelPath): boolean => RelPath.isText(path) && !path.includes("\ufffd")
