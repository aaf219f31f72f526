import { FastCheck as fc } from "effect"
import { describe, expect, it } from "vitest"
import { Stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Settle from "../../src/watch/Settle.ts"

const path = (name: string) => RelPath.make(name)
const stamp = (value: number | string) => Stamp.make(String(value))
const names = (files: ReadonlyArray<Settle.Waiting>) => files.map((file) => file.path)

describe("Settle", () => {
  it("hands a file out once its quiet time has ended, and not before", () => {
    const settle = Settle.make(1000)
    settle.observe(path("a"), stamp(1), 0)
    expect(settle.nextDue()).toBe(1000)
    expect(settle.due(999, 10)).toEqual([])
    expect(settle.due(1000, 10)).toEqual([{ path: "a", stamp: "1" }])
    expect(settle.due(5000, 10)).toEqual([])
    expect(settle.size()).toBe(1)
  })

  it("starts the quiet time anew when the stamp has changed, and only then", () => {
    const settle = Settle.make(1000)
    expect(settle.observe(path("a"), stamp(1), 0)).toBe(true)
    expect(settle.observe(path("a"), stamp(1), 900)).toBe(false)
    expect(settle.nextDue()).toBe(1000)
    expect(settle.observe(path("a"), stamp(2), 900)).toBe(true)
    expect(settle.nextDue()).toBe(1900)
    expect(names(settle.due(1899, 10))).toEqual([])
    expect(settle.due(1900, 10)).toEqual([{ path: "a", stamp: "2" }])
  })

  it("keeps a file that changes after it was handed out", () => {
    const settle = Settle.make(1000)
    settle.observe(path("a"), stamp(1), 0)
    const [file] = settle.due(1000, 10)
    settle.observe(path("a"), stamp(2), 1001)
    if (file !== undefined) settle.done(file)
    expect(settle.size()).toBe(1)
    expect(settle.due(2001, 10)).toEqual([{ path: "a", stamp: "2" }])
  })

  it("lets a file that could not be accepted wait again", () => {
    const settle = Settle.make(1000)
    settle.observe(path("a"), stamp(1), 0)
    const [file] = settle.due(1000, 10)
    if (file !== undefined) settle.again(file, 1500)
    expect(settle.nextDue()).toBe(2500)
    if (file !== undefined) settle.again(file, 9000)
    expect(settle.nextDue()).toBe(2500)
  })

  it("forgets a file that is gone, wherever it is in the queue", () => {
    const settle = Settle.make(10)
    for (const name of ["a", "b", "c", "d"]) settle.observe(path(name), stamp(1), 0)
    settle.forget(path("a"))
    settle.forget(path("c"))
    settle.forget(path("d"))
    settle.forget(path("unheard of"))
    expect(names(settle.due(10, 10))).toEqual(["b"])
    settle.forget(path("b"))
    expect(settle.size()).toBe(0)
    expect(settle.nextDue()).toBeNull()
  })

  it("takes files as ready at once where no quiet time is asked for", () => {
    const settle = Settle.make(0)
    settle.observe(path("a"), stamp(1), 5)
    expect(names(settle.due(5, 10))).toEqual(["a"])
  })

  it("agrees with a plain model whatever happens in whatever order", () => {
    const command = fc.record({
      kind: fc.constantFrom("observe", "due", "forget", "finish", "again"),
      name: fc.constantFrom("a", "b", "c", "d"),
      stamp: fc.integer({ min: 0, max: 3 }),
      wait: fc.integer({ min: 0, max: 7 })
    })
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
        const quiet = 10
        const settle = Settle.make(quiet)
        const model = new Map<string, { stamp: string; due: number | null }>()
        let out: Array<Settle.Waiting> = []
        let now = 0
        for (const { kind, name, stamp: value, wait } of commands) {
          now += wait
          const known = model.get(name)
          if (kind === "observe") {
            settle.observe(path(name), stamp(value), now)
            if (known?.stamp !== String(value)) model.set(name, { stamp: String(value), due: now + quiet })
          } else if (kind === "forget") {
            settle.forget(path(name))
            model.delete(name)
          } else if (kind === "due") {
            const ready = settle.due(now, 2)
            const waiting = [...model].flatMap(([at, { due }]) => (due !== null && due <= now ? [{ at, due }] : []))
            expect(ready.length).toBe(Math.min(2, waiting.length))
            for (const file of ready) {
              const entry = model.get(file.path)
              expect(entry?.stamp).toBe(file.stamp)
              // none that was left behind has waited longer
              const left = waiting.filter(({ at }) => !ready.some((other) => other.path === at))
              expect(left.every(({ due }) => due >= (entry?.due ?? Number.POSITIVE_INFINITY))).toBe(true)
            }
            for (const file of ready) model.set(file.path, { stamp: file.stamp, due: null })
            out = out.concat(ready)
          } else {
            const file = out.pop()
            if (file === undefined) continue
            const entry = model.get(file.path)
            const isOut = entry !== undefined && entry.stamp === file.stamp && entry.due === null
            if (kind === "finish") {
              settle.done(file)
              if (isOut) model.delete(file.path)
            } else {
              settle.again(file, now)
              if (isOut) model.set(file.path, { stamp: file.stamp, due: now + quiet })
            }
          }
          const dues = [...model.values()].flatMap(({ due }) => (due === null ? [] : [due]))
          expect(settle.size()).toBe(model.size)
          expect(settle.nextDue()).toBe(dues.length === 0 ? null : Math.min(...dues))
        }
      })
    )
  })

  it("takes constant time for each of 100,000 files", () => {
    const before = Array.from({ length: 100_000 }, (_, index) => ({ path: path(`file-${index}`), stamp: stamp(index) }))
    const after = before.map((file) => ({ path: file.path, stamp: stamp(`${file.stamp} changed`) }))
    const settle = Settle.make(1000)
    const began = performance.now()
    for (const file of before) settle.observe(file.path, file.stamp, 0)
    for (const file of after) settle.observe(file.path, file.stamp, 500)
    const out: Array<Settle.Waiting> = []
    for (let batch = settle.due(1500, 500); batch.length > 0; batch = settle.due(1500, 500)) out.push(...batch)
    for (const file of out) settle.done(file)
    // about 0.1 s; were any of it linear in the number of files, minutes
    expect(performance.now() - began).toBeLessThan(5000)
    expect(out).toEqual(after)
    expect(settle.size()).toBe(0)
  })
})
