import { expect, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { Signals, layer } from "../../src/deliver/Signals.ts"
import * as RelPath from "../../src/domain/RelPath.ts"

it.effect("gathers lanes until somebody asks", () =>
  Effect.gen(function* () {
    const signals = yield* Signals
    yield* signals.newWork(["a", "b"])
    yield* signals.newWork([])
    yield* signals.newWork(["b", "c"])
    expect(yield* Stream.runHead(signals.lanes)).toEqual(Option.some(["a", "b", "c"]))
    yield* signals.newWork(["a"])
    expect(yield* Stream.runHead(signals.lanes)).toEqual(Option.some(["a"]))
  }).pipe(Effect.provide(layer))
)

it.effect("names changed files, or asks for a scan where there are too many", () =>
  Effect.gen(function* () {
    const signals = yield* Signals
    const change = (source: string, name: string) => signals.changed(source, RelPath.make(name))
    yield* change("/one", "a")
    yield* change("/one", "a")
    for (let index = 0; index <= 10_000; index += 1) yield* change("/many", `${index}`)
    expect(yield* Stream.runHead(signals.changes)).toEqual(
      Option.some([
        { source: "/one", paths: ["a"] },
        { source: "/many", paths: null }
      ])
    )
  }).pipe(Effect.provide(layer))
)
