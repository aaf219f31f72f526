/** What the page makes of numbers, times and names, before it shows them. */
import { describe, expect, it } from "@effect/vitest"
import * as Buckets from "../../src/dashboard/buckets.ts"
import { frames } from "../../src/dashboard/frames.ts"
import * as Format from "../../src/dashboard/format.ts"

describe("a name", () => {
  it("is shown as it is where every character of it can be seen", () => {
    for (const name of ["report.pdf", "été – grün 日本語.txt", "a b", "😀.png", "<b>&amp;"]) {
      expect(Format.pieces(name)).toEqual([{ text: name, hidden: false }])
    }
  })

  it("has the numbers of those that can't be seen, or turn the text around", () => {
    const hidden = [
      0, 7, 10, 13, 0x1b, 0x7f, 0x85, 0xa0, 0xad, 0x200b, 0x200d, 0x200f, 0x2028, 0x202e, 0x2066, 0x3000, 0xfe0f,
      0xfeff, 0xe0041
    ]
    for (const point of hidden) {
      const number = `U+${point.toString(16).toUpperCase().padStart(4, "0")}`
      expect(Format.pieces(`a${String.fromCodePoint(point)}b`)).toEqual([
        { text: "a", hidden: false },
        { text: number, hidden: true },
        { text: "b", hidden: false }
      ])
      expect(Format.plain(`a${String.fromCodePoint(point)}b`)).toBe(`a‹${number}›b`)
    }
    expect(Format.plain("\ud800")).toBe("‹U+D800›")
    // and so where the API has spelled them out
    expect(Format.plain("a\\u{202e}b\\xff.txt")).toBe("a‹U+202E›b‹byte FF›.txt")
  })
})

describe("numbers and times", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KB"],
    [150 * 1024, "150 KB"],
    [5 * 2 ** 30, "5.0 GB"]
  ])("%i bytes are %s", (bytes, text) => expect(Format.bytes(bytes)).toBe(text))

  it.each([
    [3.21, "3.2 ms"],
    [999, "999 ms"],
    [1234, "1.2 s"],
    [59_400, "59 s"],
    [200_000, "3 min 20 s"],
    [7_500_000, "2 h 5 min"],
    [90_000_000, "1 d 1 h"]
  ])("%d ms are %s", (ms, text) => expect(Format.duration(ms)).toBe(text))
})

describe("intervals", () => {
  it("begin on Mondays and on the first, and have a place each, whether anything was in them or not", () => {
    expect(Buckets.startOf("2026-11-23", "week")).toBe("2026-11-23")
    expect(Buckets.startOf("2026-11-22", "week")).toBe("2026-11-16")
    expect(Buckets.startOf("2026-11-23", "month")).toBe("2026-11-01")
    expect(Buckets.lastOf("2028-02-01", "month")).toBe("2028-02-29")
    expect(Buckets.starts("2026-02-27", "2026-03-02", "day")).toEqual([
      "2026-02-27",
      "2026-02-28",
      "2026-03-01",
      "2026-03-02"
    ])
    expect(Buckets.starts("2025-12-31", "2026-02-01", "month")).toEqual(["2025-12-01", "2026-01-01", "2026-02-01"])
    expect(Buckets.starts("0001-01-01", "9999-12-31", "day")).toHaveLength(2000)
  })

  it("make one series for each name, the largest first, and one of all that are too many", () => {
    const rows = Array.from({ length: 12 }, (_, index) => ({
      start: index % 2 === 0 ? "a" : "b",
      name: `n${index}`,
      files: 12 - index
    }))
    const series = Buckets.seriesOf(
      rows,
      ["a", "b", "c"],
      ({ name }) => name,
      ({ files }) => files,
      (_, rank) => rank
    )
    expect(series.map(({ name }) => name)).toEqual(["n0", "n1", "n2", "n3", "n4", "n5", "n6", "5 others"])
    expect(series[0]).toEqual({ name: "n0", values: [12, 0, 0], tone: 0 })
    expect(series.at(-1)?.values).toEqual([4 + 2, 5 + 3 + 1, 0])
    const all = series.flatMap(({ values }) => values).reduce<number>((sum, value) => sum + (value ?? 0), 0)
    expect(all).toBe((12 * 13) / 2)
  })
})

describe("server-sent events", () => {
  const read = async (...parts: ReadonlyArray<string>) => {
    const encoder = new TextEncoder()
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (const part of parts) controller.enqueue(encoder.encode(part))
        controller.close()
      }
    })
    const found = []
    for await (const frame of frames(body)) found.push(frame)
    return found
  }

  it("are read in whatever pieces they come; comments have no name", async () => {
    const text = ': hello\n\nevent: now\ndata: {"a":\ndata: "é"}\n\nevent: now\ndata: 2\n\n'
    const wanted = [
      { event: "", data: "" },
      { event: "now", data: '{"a":\n"é"}' },
      { event: "now", data: "2" }
    ]
    expect(await read(text)).toEqual(wanted)
    expect(await read(...text)).toEqual(wanted)
    // one that was cut is none
    expect(await read("event: now\ndata: 1")).toEqual([])
  })
})
