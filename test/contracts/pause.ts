/** What every {@link PauseRepo} does. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { PauseRepo } from "../../src/store/PauseRepo.ts"

export const pauseContract = <E>(name: string, layer: Layer.Layer<PauseRepo, E>) =>
  describe(`PauseRepo ${name}`, () => {
    const test = (what: string, run: Effect.Effect<void, unknown, PauseRepo>) =>
      it.effect(what, () => Effect.provide(run, layer))

    test(
      "keeps who is paused and since when, sources and lanes apart",
      Effect.gen(function* () {
        const pauses = yield* PauseRepo
        expect(Array.from(yield* pauses.all("lane"))).toEqual([])
        yield* pauses.pause("lane", "ftp://h:21", 2000)
        yield* pauses.pause("lane", "file:/", 1000)
        yield* pauses.pause("source", "in'box \u202e", 3000)
        expect(Array.from(yield* pauses.all("lane")).toSorted()).toEqual([
          ["file:/", 1000],
          ["ftp://h:21", 2000]
        ])
        expect(Array.from(yield* pauses.all("source"))).toEqual([["in'box \u202e", 3000]])
      })
    )

    test(
      "keeps the first time, until somebody resumes it",
      Effect.gen(function* () {
        const pauses = yield* PauseRepo
        yield* pauses.pause("source", "inbox", 1000)
        yield* pauses.pause("source", "inbox", 2000)
        expect((yield* pauses.all("source")).get("inbox")).toBe(1000)
        yield* pauses.resume("lane", "inbox")
        expect((yield* pauses.all("source")).size).toBe(1)
        yield* pauses.resume("source", "inbox")
        yield* pauses.resume("source", "inbox")
        expect((yield* pauses.all("source")).size).toBe(0)
        yield* pauses.pause("source", "inbox", 3000)
        expect((yield* pauses.all("source")).get("inbox")).toBe(3000)
      })
    )
  })
