import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc, Option } from "effect"
import * as Quantity from "../../src/config/Quantity.ts"

describe("Quantity", () => {
  it.each([
    ["0", 0],
    ["0s", 0],
    [0, 0],
    [1.5, 1500],
    ["500ms", 500],
    ["1s", 1000],
    ["1h30m", 5_400_000],
    ["90d", 7_776_000_000],
    ["1 s", undefined],
    ["-1s", undefined],
    ["1y", undefined],
    ["", undefined],
    ["1e9d", undefined],
    ["999999999999d", undefined],
    [NaN, undefined],
    [Infinity, undefined]
  ])("the duration %s is %s", (input, expected) => {
    expect(Option.getOrUndefined(Quantity.parseDuration(input))).toBe(expected)
  })

  it.each([
    [512, 512],
    ["10MiB", 10_485_760],
    ["1GB", 1e9],
    ["1.5 kib", 1536],
    ["10b", 10],
    ["10M", undefined],
    ["-1", undefined],
    ["", undefined]
  ])("the size %s is %s", (input, expected) => {
    expect(Option.getOrUndefined(Quantity.parseSize(input))).toBe(expected)
  })

  it("reads what it writes", () => {
    fc.assert(
      fc.property(fc.nat({ max: 1e12 }), (value) => {
        expect(Quantity.parseDuration(Quantity.formatDuration(value))).toEqual(Option.some(value))
        expect(Quantity.parseSize(Quantity.formatBytes(value))).toEqual(Option.some(value))
      })
    )
  })
})
