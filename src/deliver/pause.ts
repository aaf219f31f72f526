import { Effect } from "effect"

/**
 * Waits by the machine's clock, whatever clock deliveries go by: for what the disk does, or what happens in other fibers
 * while the program ends.
 */
export const pause = (milliseconds: number): Effect.Effect<void> =>
  Effect.async((resume) => {
    const timer = setTimeout(() => resume(Effect.void), milliseconds)
    return Effect.sync(() => clearTimeout(timer))
  })
