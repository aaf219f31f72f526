/**
 * Which receipts a sample takes: from each target about as many, and by chance, but again the same by the same seed.
 */
import { PCGRandom } from "effect/Utils"
import type { Group } from "../store/Receipts.ts"

/** The numbers of the receipts of each group that are in the sample, ascending. */
export const draw = (
  groups: ReadonlyArray<Pick<Group, "first" | "count">>,
  size: number,
  seed: number
): ReadonlyArray<ReadonlyArray<number>> => {
  const random = new PCGRandom(seed)
  const wanted = shares(
    groups.map(({ count }) => count),
    size,
    random
  )
  return groups.map(({ count, first }, index) =>
    some(count, wanted[index] ?? 0, random).map((position) => first + position)
  )
}

/** Equal shares, as far as each has so many; what one can't give, the others do. */
const shares = (counts: ReadonlyArray<number>, size: number, random: PCGRandom): ReadonlyArray<number> => {
  const result = counts.map(() => 0)
  let left = Math.min(
    size,
    counts.reduce((sum, count) => sum + count, 0)
  )
  while (left > 0) {
    const open = counts.flatMap((count, index) => ((result[index] ?? 0) < count ? [index] : []))
    const each = Math.floor(left / open.length)
    // fewer than there are targets: chance decides whose turn it is
    const turns = each > 0 ? open : some(open.length, left, random).map((position) => open[position] ?? 0)
    for (const index of turns) {
      const more = Math.min(Math.max(1, each), (counts[index] ?? 0) - (result[index] ?? 0))
      result[index] = (result[index] ?? 0) + more
      left -= more
    }
  }
  return result
}

/** So many different numbers from 0 to below `count`, ascending (Floyd's algorithm, CACM 30:9). */
const some = (count: number, size: number, random: PCGRandom): ReadonlyArray<number> => {
  const taken = new Set<number>()
  for (let last = count - Math.min(size, count); last < count; last++) {
    const number = random.integer(last + 1)
    taken.add(taken.has(number) ? last : number)
  }
  return Array.from(taken).sort((one, other) => one - other)
}
