/**
 * The parts of `verify` that need no server: what is drawn, what is said, and when all holds.
 */
import { describe, expect, it } from "@effect/vitest"
import { Option } from "effect"
import * as Sample from "../../src/cli/VerifySample.ts"
import * as Report from "../../src/cli/VerifyReport.ts"
import { sinceOf } from "../../src/cli/VerifyCommand.ts"
import { DeliveryId } from "../../src/domain/Delivery.ts"
import { GenerationId, Stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Delivered } from "../../src/store/Receipts.ts"
import { inMemory } from "../TestApp.ts"

const groups = (...counts: ReadonlyArray<number>) => {
  let first = 1
  return counts.map((count) => {
    const group = { first, count }
    first += count
    return group
  })
}
const drawn = (counts: ReadonlyArray<number>, size: number, seed = 1) => Sample.draw(groups(...counts), size, seed)
const sizes = (counts: ReadonlyArray<number>, size: number) => drawn(counts, size).map(({ length }) => length)

describe("a sample", () => {
  it("takes about as many of each target, and what one has not from the others", () => {
    expect(sizes([1000, 1000, 1000], 30)).toEqual([10, 10, 10])
    expect(sizes([2, 1000, 5], 30)).toEqual([2, 23, 5])
    expect(sizes([1_000_000], 7)).toEqual([7])
    expect(sizes([3, 4], 100)).toEqual([3, 4])
    expect(sizes([0, 4], 2)).toEqual([0, 2])
    expect(sizes([], 2)).toEqual([])
    const odd = sizes([50, 50, 50], 31)
    expect(odd.reduce((sum, count) => sum + count, 0)).toBe(31)
    expect(odd.every((count) => count >= 10)).toBe(true)
  })

  it("takes from as many targets as it can where it is smaller than their number", () => {
    const counts = Array.from({ length: 40 }, () => 10)
    const taken = sizes(counts, 12)
    expect(taken.filter((count) => count === 1)).toHaveLength(12)
    const others = Sample.draw(groups(...counts), 12, 2).map(({ length }) => length)
    expect(others).not.toEqual(taken)
  })

  it("draws different numbers of each group, ascending; the same by the same seed, others by another", () => {
    const [one = [], two = []] = drawn([500, 500], 200)
    expect(new Set([...one, ...two]).size).toBe(200)
    expect(one.every((number) => number >= 1 && number <= 500)).toBe(true)
    expect(two.every((number) => number > 500 && number <= 1000)).toBe(true)
    expect(one).toEqual(one.toSorted((a, b) => a - b))
    expect(drawn([500, 500], 200)).toEqual([one, two])
    expect(drawn([500, 500], 200, 2)).not.toEqual([one, two])
  })

  it("is fair: each number comes up about as often", () => {
    const hits = Array.from({ length: 20 }, () => 0)
    for (let seed = 0; seed < 4000; seed++) {
      for (const number of drawn([20], 5, seed)[0] ?? []) hits[number - 1] = (hits[number - 1] ?? 0) + 1
    }
    for (const count of hits) expect(Math.abs(count - 1000)).toBeLessThan(150)
  })
})

describe("--since", () => {
  const now = Date.UTC(2026, 0, 31, 12)
  it.each([
    ["7d", now - 7 * 86_400_000],
    ["1h30m", now - 5_400_000],
    ["2026-01-30", Date.UTC(2026, 0, 30)],
    ["2026-01-30T10:00Z", Date.UTC(2026, 0, 30, 10)],
    ["2026-01-30 10:00:00Z", Date.UTC(2026, 0, 30, 10)]
  ])("%s", (text, time) => expect(sinceOf(text, now)).toEqual(Option.some(time)))
  it.each(["", "7", "yesterday", "2026-13-45", "2026-1-1", "-7d", "7 parsecs"])("not %s", (text) =>
    expect(sinceOf(text, now)).toEqual(Option.none())
  )
})

const delivered = (id: number, name = "a.txt"): Delivered => ({
  id: DeliveryId.make(id),
  generation: {
    id: GenerationId.make(id),
    source: "/in",
    path: RelPath.make(name),
    stamp: Stamp.make("1:2:3:4:5"),
    size: 3,
    mtime: 0,
    born: 0,
    after: { _tag: "Keep" },
    onDead: null,
    marker: null
  },
  route: "all",
  target: inMemory("one"),
  name: RelPath.make(name),
  priority: 0,
  facts: null,
  state: "DELIVERED",
  attempts: 0,
  due: null,
  reason: null,
  chosen: null,
  resume: null,
  sole: false,
  interrupted: false,
  receipt: { bytes: 3, sha256: "ab", said: "stored", verified: "hash", name: RelPath.make(name) },
  created: 0,
  updated: Date.UTC(2026, 0, 1)
})

const scope: Report.Scope = { since: null, destination: null, sample: null, oldest: null, retain: 90 * 86_400_000 }

describe("the report", () => {
  const present = Report.entryOf(delivered(1), { status: "present", by: "hash" })
  const changed = Report.entryOf(delivered(2), { status: "changed", differs: "size", reason: "Its size …" }, "same")
  const gone = Report.entryOf(delivered(3), { status: "gone", reason: "There is nothing of that name." }, "gone")
  const unknown = Report.entryOf(delivered(4), { status: "unknown", reason: "refused" })
  const unverifiable = Report.entryOf(delivered(5), { status: "unverifiable", reason: "a form" })
  const replaced = Report.replacedEntry(delivered(6), 7)

  const tallyOf = (...entries: ReadonlyArray<Report.Entry>) => {
    const tally = new Report.Tally()
    for (const entry of entries) tally.add(entry, entry.delivered.target.url)
    return tally
  }

  it("holds where nothing is changed, gone or unasked", () => {
    expect(Report.holds(tallyOf().total)).toBe(true)
    expect(Report.holds(tallyOf(present, unverifiable, replaced).total)).toBe(true)
    for (const bad of [changed, gone, unknown]) expect(Report.holds(tallyOf(present, bad).total)).toBe(false)
  })

  it("has a row for each that does not, with what can be done about it", () => {
    expect([present, changed, gone, unknown, unverifiable, replaced].filter(Report.isFinding)).toEqual([
      changed,
      gone,
      unknown
    ])
    expect(Report.row(changed)).toEqual([
      "2",
      "changed",
      "memory://one/in/a.txt",
      "2026-01-01T00:00:00.000Z",
      "same",
      "Its size …"
    ])
    const lines = Report.summary(tallyOf(present, changed, gone, unknown, unverifiable, replaced), {
      ...scope,
      oldest: 0,
      since: 0,
      sample: { size: 5, seed: 42, of: 1000 }
    })
    expect(lines).toEqual([
      "5 of 1000 receipts since 1970-01-01T00:00:00.000Z: 1 is as delivered (1 by hash, 0 by size), 1 changed, 1 gone, 1 could not be asked, 1 can't be verified at all.",
      "1 more was replaced by a later delivery to the same place.",
      "The sample's seed is 42: --sample 5 --seed 42 draws it again from the same receipts.",
      expect.stringContaining("The oldest of them is from 1970-01-01T00:00:00.000Z. The journal forgets"),
      expect.stringContaining("`touch`")
    ])
    expect(Report.summary(tallyOf(), scope)).toEqual(["There is no receipt."])
  })

  it("keeps what would break a line or a terminal out of both", () => {
    const name = RelPath.fromBytes(Uint8Array.from([0x61, 0x0a, 0x1b, 0x5b, 0xff]))
    const entry = Report.entryOf(delivered(1, name), { status: "gone", reason: "There is nothing of that name." })
    for (const line of [Report.row(entry).join("\t"), Report.jsonOf(entry)]) {
      expect(line).not.toContain("\n")
      expect(line).not.toContain("\u001b")
    }
    expect(JSON.parse(Report.jsonOf(entry))).toMatchObject({ delivery: 1, status: "gone", bytes: 3, sha256: "ab" })
  })
})
