import { expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as HintBuffer from "../../src/watch/HintBuffer.ts"

const path = (name: string) => ({ _tag: "Path", path: RelPath.make(name) }) as const

it.effect("names each path once, however often it was hinted at", () =>
  Effect.gen(function* () {
    const buffer = HintBuffer.make()
    for (const name of ["a", "b", "a", "a"]) buffer.add(path(name))
    expect(yield* buffer.take(10)).toEqual([path("a"), path("b")])
    expect(buffer.isEmpty()).toBe(false)
    buffer.done()
    expect(buffer.isEmpty()).toBe(true)
  })
)

it.effect("becomes one hint to scan when it is full", () =>
  Effect.gen(function* () {
    const buffer = HintBuffer.make(3)
    for (const name of ["a", "b", "c", "d"]) buffer.add(path(name))
    expect(yield* buffer.take(10)).toEqual([{ _tag: "Scan", reason: "more than 3 files changed at once" }])
    buffer.add(path("e"))
    expect(yield* buffer.take(10)).toEqual([path("e")])
  })
)

it.effect("waits until there is a hint", () =>
  Effect.gen(function* () {
    const buffer = HintBuffer.make()
    const taking = yield* Effect.fork(buffer.take(10))
    yield* Effect.yieldNow()
    expect(taking.unsafePoll()).toBeNull()
    buffer.add({ _tag: "Scan", reason: "first" })
    buffer.add({ _tag: "Scan", reason: "second" })
    expect(yield* Fiber.join(taking)).toEqual([{ _tag: "Scan", reason: "first" }])
  })
)
