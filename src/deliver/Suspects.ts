/**
 * Whether it is the destination that is unusable, or one file that it won't have: a server that forbids one name, or has
 * no room for one large file, says so in the same words as one that is of no use to anybody.
 *
 * The first such refusal stops the lane. Where the lane works for others after that, and the same file is refused again,
 * it is that file's own trouble, and no other has to wait for it any more.
 */
export interface Suspects {
  /** Something was delivered. Times in milliseconds. */
  readonly delivered: (id: number, now: number) => void
  /** Nothing more is tried of this one by itself. */
  readonly ended: (id: number) => void
  /** An attempt that began at `started` was refused as if nothing could be delivered. Whether that is its own trouble. */
  readonly alone: (id: number, started: number) => boolean
}

/** How many refused deliveries are remembered, each. */
const most = 10_000

export const make = (): Suspects => {
  let count = 0
  let last = -Infinity
  /** How many deliveries the lane had made when each of these was refused. */
  const refused = new Map<number, number>()
  const found = new Set<number>()
  const find = (id: number): true => {
    refused.delete(id)
    if (found.size >= most) found.clear()
    found.add(id)
    return true
  }
  return {
    delivered: (id, now) => {
      count += 1
      last = now
      refused.delete(id)
      found.delete(id)
    },
    ended: (id) => {
      refused.delete(id)
      found.delete(id)
    },
    alone: (id, started) => {
      if (found.has(id)) return true
      const before = refused.get(id)
      // the second one of its kind need not stop the lane, where others go on beside it
      if ((before !== undefined && before < count) || (found.size > 0 && last > started)) return find(id)
      if (refused.size >= most) refused.clear()
      refused.set(id, count)
      return false
    }
  }
}
