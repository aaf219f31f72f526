/**
 * What every journal decides alike, wherever it keeps its rows.
 */
import { waiting, type DeliveryState } from "../domain/Delivery.ts"
import { noFacts, type Facts } from "../domain/Facts.ts"
import type { GenerationId, Generation } from "../domain/Generation.ts"
import { location, type Placement } from "../domain/Target.ts"
import type { Conclusion, Counters } from "./Journal.ts"

/** States of a file that was put back in its source, or is just about to be. */
export const undoneStates: ReadonlySet<string> = new Set(["UNDOING", "UNDONE"])

/**
 * Whether what was found at its path is a file that was put back there, or is just being. That renames it, so that it is
 * known by the rest of its stamp, up to the time of that change: one that was touched since is another.
 */
export const isUndoneAs = (
  { stamp, state }: { readonly stamp: string; readonly state: string },
  found: string
): boolean => {
  if (!undoneStates.has(state)) return false
  const [, ino, size, mtime = "0", ctime = "0"] = stamp.split(":")
  const [, foundIno, foundSize, foundMtime = "0", foundCtime = "0"] = found.split(":")
  if (size !== foundSize) return false
  if (state === "UNDONE") return ino === foundIno && mtime === foundMtime && BigInt(foundCtime) <= BigInt(ctime)
  // it may come as a copy, whose time is set to the microsecond
  const difference = BigInt(mtime) - BigInt(foundMtime)
  return difference > -10_000n && difference < 10_000n
}

/** Why a delivery was given up for a newer generation of its file. */
export const supersededReason = "the file changed before it was sent; its newer version is sent instead"

/** Why a delivery was given up for another, by later rules. */
export const reroutedReason = (delivery: number): string => `routed anew as delivery ${delivery}`

/** States in which an attempt is not over for good. */
export const waits: ReadonlySet<DeliveryState> = new Set(waiting)

/** States in which a file that was lost can be found in its place again. */
export const findable: ReadonlySet<string> = new Set(["OPEN", "DONE", "UNDONE"])

/**
 * When what ended like this is due. Its time was reckoned when it ended: where the clock was set back since, it waits as
 * long as it was to wait, and not until the clock is there again.
 */
export const dueAt = (
  { due, ended }: { readonly due: number | null; readonly ended: number },
  now: number
): number | null => (due === null ? null : Math.min(due, now + Math.max(0, due - ended)))

/** How many attempts a lost file is given in all: a disk that never shows a file as it is must not keep us busy. */
export const attemptsOfLost = 10

/** Of a delivery's attempts the last ones are remembered: one whose lane is down may be tried for weeks. */
export const rememberedAttempts = 100

/** Beside a dead delivery only these let the file be moved: of any other it is to be read, or looked at, where it is. */
const overAndDone: ReadonlySet<DeliveryState> = new Set(["DEAD", "SKIPPED", "CANCELLED"])

/** Whether nothing more is tried, and one is dead; by the states of what is not delivered. */
export const isDead = (states: ReadonlySet<DeliveryState>): boolean => {
  if (!states.has("DEAD")) return false
  for (const state of states) if (!overAndDone.has(state)) return false
  return true
}

/** Those for which something may come after these outcomes. A source that is kept has nothing to wait for. */
export const affected = (batch: ReadonlyArray<Conclusion>): ReadonlyMap<GenerationId, Generation> => {
  const all = new Map<GenerationId, Generation>()
  for (const conclusion of batch) {
    const { generation } = conclusion.delivery
    const moves = generation.onDead?._tag === "Move"
    const matters =
      conclusion._tag === "Delivered"
        ? moves || generation.after._tag !== "Keep"
        : moves && !waits.has(conclusion.state)
    if (matters) all.set(generation.id, generation)
  }
  return all
}

/** What is known of a file already, and what a delivery of it adds. */
export const mergeFacts = (known: Facts | undefined, facts: Facts | null, sha256: string | null): Facts => {
  const first = known ?? facts ?? noFacts
  return {
    mime: first.mime ?? facts?.mime ?? null,
    sha256: first.sha256 ?? facts?.sha256 ?? sha256,
    groups: { ...facts?.groups, ...first.groups },
    counter: first.counter ?? facts?.counter ?? null
  }
}

/** The highest number of each route. */
export const lastNumbers = (all: Iterable<Counters | undefined>): ReadonlyMap<string, number> => {
  const last = new Map<string, number>()
  for (const counters of all) {
    if (counters === undefined) continue
    for (const [route, number] of Object.entries(counters)) last.set(route, Math.max(number, last.get(route) ?? number))
  }
  return last
}

/** Those that lead to none of these places, each place once. */
export const elsewhere = <A extends Placement>(
  placements: ReadonlyArray<A>,
  places: Iterable<Pick<Placement, "target" | "name">>
): ReadonlyArray<A> => {
  const taken = new Set(Array.from(places, ({ name, target }) => location(target, name)))
  return placements.filter(({ name, target }) => {
    const place = location(target, name)
    if (taken.has(place)) return false
    taken.add(place)
    return true
  })
}
