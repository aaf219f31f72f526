/**
 * How many attempts a lane may have under way at once: what the config allows, or what the server was found to take.
 *
 * Lowered at once when the server says that it is crowded, and raised again one by one after quiet times; one that was
 * raised in vain makes the next quiet time twice as long. Plain arithmetic; times in milliseconds.
 */

const shortestQuiet = 60_000
const longestQuiet = 600_000

export interface Width {
  /** How many there may be now. */
  readonly limit: () => number
  /**
   * The server took no more, with so many `others` under way beside the one it refused. `alone`: it takes not even one,
   * which is no matter of how many.
   */
  readonly crowded: (others: number, now: number) => "lowered" | "unchanged" | "alone"
  /** Whether it was raised, because it has been quiet for long enough. To be asked from time to time. */
  readonly relax: (now: number) => boolean
  /** The config allows another number now. */
  readonly resize: (concurrency: number) => void
}

export const make = (allowed: number): Width => {
  let concurrency = allowed
  let limit = concurrency
  let quiet = shortestQuiet
  /** When it was last lowered, raised, or found too high. */
  let since = 0
  let raised = false
  return {
    limit: () => limit,
    crowded: (others, now) => {
      if (others === 0 && limit === 1) return "alone"
      const next = Math.max(1, Math.min(limit, others))
      if (raised) quiet = Math.min(longestQuiet, quiet * 2)
      raised = false
      since = now
      if (next === limit) return "unchanged"
      limit = next
      return "lowered"
    },
    relax: (now) => {
      if (now - since < quiet) return false
      if (limit >= concurrency) {
        quiet = shortestQuiet
        raised = false
        return false
      }
      limit += 1
      since = now
      raised = true
      return true
    },
    resize: (next) => {
      limit = limit >= concurrency ? next : Math.min(limit, next)
      concurrency = next
    }
  }
}
