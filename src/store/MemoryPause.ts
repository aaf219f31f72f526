/**
 * {@link PauseRepo} in memory.
 */
import { Effect, Layer } from "effect"
import { PauseRepo, type Pausable } from "./PauseRepo.ts"

export const layer: Layer.Layer<PauseRepo> = Layer.sync(PauseRepo, () => {
  const paused: Readonly<Record<Pausable, Map<string, number>>> = { source: new Map(), lane: new Map() }
  return PauseRepo.of({
    all: (what) => Effect.sync(() => new Map(paused[what])),
    pause: (what, name, since) =>
      Effect.sync(() => {
        if (!paused[what].has(name)) paused[what].set(name, since)
      }),
    resume: (what, name) => Effect.sync(() => void paused[what].delete(name))
  })
})
