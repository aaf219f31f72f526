import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { Stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Held from "../../src/watch/Held.ts"

const file = (name: string, stamp = "1") => ({ path: RelPath.make(name), stamp: Stamp.make(stamp) })
const names = (files: ReadonlyArray<{ readonly path: string }>) => files.map(({ path }) => path)

describe("Held", () => {
  it("hands files out by their times, each once, whatever came and went meanwhile", () => {
    const operation = fc.oneof(
      fc.record({ do: fc.constant("hold" as const), name: fc.integer({ min: 0, max: 20 }), at: fc.nat(100) }),
      fc.record({ do: fc.constant("forget" as const), name: fc.integer({ min: 0, max: 20 }), at: fc.nat(100) }),
      fc.record({ do: fc.constant("due" as const), name: fc.constant(0), at: fc.nat(100) })
    )
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const held = Held.make(1000)
        const model = new Map<string, number>()
        for (const { at, do: what, name } of operations) {
          const path = String(name)
          if (what === "hold") {
            held.hold(file(path), at, null)
            model.set(path, at)
          } else if (what === "forget") {
            held.forget(RelPath.make(path))
            model.delete(path)
          } else {
            const due = held.due(at, Infinity)
            const expected = Array.from(model).filter(([, until]) => until <= at)
            expect(names(due).sort()).toEqual(expected.map(([path]) => path).sort())
            const times = due.map(({ path }) => model.get(path) ?? -1)
            expect(times).toEqual([...times].sort((left, right) => left - right))
            for (const { path } of due) model.delete(path)
          }
          expect(held.size()).toBe(model.size)
          expect(held.nextDue()).toBe(model.size === 0 ? null : Math.min(...model.values()))
        }
      })
    )
  })

  it("hands out all files of a marker, and knows a file only as what it was", () => {
    const held = Held.make()
    const marker = RelPath.make("a.ok")
    held.hold(file("a.txt"), null, marker)
    held.hold(file("a.pdf"), null, marker)
    held.hold(file("b.txt"), null, RelPath.make("b.ok"))
    expect(held.nextDue()).toBeNull()
    expect(held.has(RelPath.make("a.txt"), Stamp.make("1"))).toBe(true)
    expect(held.has(RelPath.make("a.txt"), Stamp.make("2"))).toBe(false)
    expect(names(held.marked(marker))).toEqual(["a.txt", "a.pdf"])
    expect(names(held.marked(marker))).toEqual([])
    expect(held.size()).toBe(1)
  })

  it("holds no more than fits, and says when there is room for a scan to bring the rest", () => {
    const held = Held.make(4)
    for (let index = 0; index < 6; index += 1) held.hold(file(`${index}`), index, null)
    expect(held.size()).toBe(4)
    expect(held.lacks()).toBe(false)
    expect(names(held.due(1, 10))).toEqual(["0", "1"])
    expect(held.lacks()).toBe(true)
    expect(held.lacks()).toBe(false)
  })

  it("keeps no trace of files that were held over and over", () => {
    const held = Held.make(10)
    for (let round = 0; round < 1000; round += 1) held.hold(file(`${round % 10}`), 5000 - round, null)
    expect(held.size()).toBe(10)
    expect(names(held.due(5000, 20)).length).toBe(10)
    expect(held.nextDue()).toBeNull()
  })
})
