/**
 * The share of each lane that goes to what has waited longest, whatever else has priority: one in four, also where
 * fewer than four are taken at a time.
 */
export interface Patience {
  /** How many of the next `count` deliveries of the lane are to be those that have waited longest. */
  readonly share: (lane: string, count: number) => number
}

export const make = (): Patience => {
  const taken = new Map<string, number>()
  return {
    share: (lane, count) => {
      const total = (taken.get(lane) ?? 0) + count
      taken.set(lane, total % oneIn)
      return Math.floor(total / oneIn)
    }
  }
}

const oneIn = 4

/**
 * Of the first `count` by rank, as many of the last as are needed make room for those that have waited longest; a
 * delivery that is among both counts once.
 */
export const choose = <A extends { readonly id: number }>(
  ranked: ReadonlyArray<A>,
  longest: ReadonlyArray<A>,
  count: number
): ReadonlyArray<A> => {
  const patient = new Set(longest.map(({ id }) => id))
  const missing = new Set(patient)
  for (const { id } of ranked) missing.delete(id)
  let surplus = ranked.length + missing.size - count
  const kept: Array<A> = []
  for (let index = ranked.length - 1; index >= 0; index -= 1) {
    const one = ranked[index]
    if (one === undefined) continue
    if (surplus > 0 && !patient.has(one.id)) surplus -= 1
    else kept.push(one)
  }
  return [...kept.reverse(), ...longest.filter(({ id }) => missing.has(id))]
}
