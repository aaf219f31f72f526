import { Effect } from "effect"

/** 20 ms by the machine's clock, whatever clock deliveries go by: for waiting on what really happens elsewhere. */
export const moment: Effect.Effect<void> = Effect.async<void>((resume) => {
  const timer = setTimeout(() => resume(Effect.void), 20)
  return Effect.sync(() => clearTimeout(timer))
})
