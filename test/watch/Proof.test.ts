import { describe, expect, it } from "vitest"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Proof from "../../src/watch/Proof.ts"

const paths = (...names: ReadonlyArray<string>) => names.map(RelPath.make)

/** A source that has been scanned once while events came, and what happens to it. */
const proven = () => {
  const proof = Proof.make()
  const scan = (now: number, ...found: ReadonlyArray<string>) => {
    proof.scanBegins([], true)
    proof.found(paths(...found), now)
    proof.scanEnds(true)
  }
  /** What is missed of the files that were found long enough ago, if all of them are there. */
  const judge = (now: number) => proof.judge(proof.suspects(now), () => true, now)
  /** A new file that an event names. */
  const arrive = (...names: ReadonlyArray<string>) => {
    proof.named(paths(...names))
    proof.arrived(paths(...names))
  }
  scan(0, "there", "at the start")
  return { proof, scan, judge, arrive }
}

const { grace, probation } = Proof

describe("Proof", () => {
  it("misses a file that a scan finds and no event names", () => {
    const { judge, proof, scan } = proven()
    scan(1000, "a", "b")
    expect(judge(1000 + grace - 1)).toEqual([])
    expect(judge(1000 + grace)).toEqual(["a", "b"])
    expect(proof.inDoubt()).toBe(true)
    expect(proof.counts()).toEqual({ named: 0, missed: 2 })
  })

  it("misses none that was there at the start, or is excused", () => {
    const { judge, proof, scan } = proven()
    expect(judge(grace)).toEqual([])
    proof.excuse()
    scan(1000, "a")
    scan(2000, "b")
    proof.excuse()
    expect(judge(99_000)).toEqual([])
    // excused while it goes on: what it found before and after is, and it is not what others are compared with
    scan(100_000)
    proof.scanBegins([], true)
    proof.found(paths("c"), 101_000)
    proof.excuse()
    proof.found(paths("d"), 101_000)
    proof.scanEnds(true)
    scan(102_000, "e")
    expect(judge(200_000)).toEqual([])
    scan(200_000, "f")
    expect(judge(300_000)).toEqual(["f"])
  })

  it("holds no scan against events that could not come, and none that was not complete", () => {
    const { judge, proof, scan } = proven()
    proof.scanBegins([], false)
    proof.found(paths("a"), 0)
    proof.scanEnds(true)
    scan(0, "b")
    expect(judge(99_000)).toEqual([])
    scan(0)
    proof.scanBegins([], true)
    proof.scanEnds(false)
    scan(0, "c")
    expect(judge(99_000)).toEqual([])
  })

  it("knows events that come before, during, and after the scan that finds their file", () => {
    const { judge, proof } = proven()
    proof.scanBegins(paths("in hand"), true)
    proof.named(paths("during"))
    proof.found(paths("in hand", "during", "after", "never"), 0)
    proof.scanEnds(true)
    proof.named(paths("after"))
    expect(judge(grace)).toEqual(["never"])
  })

  it("is told of some at the last moment, and of others that they are gone", () => {
    const { proof, scan } = proven()
    scan(0, "named", "gone", "missed")
    const suspects = proof.suspects(grace)
    expect(suspects).toEqual(["named", "gone", "missed"])
    proof.named(paths("named"))
    expect(proof.judge(suspects, (path) => path !== "gone", grace)).toEqual(["missed"])
    expect(proof.suspects(99_000)).toEqual([])
  })

  it("expects no event of a name that is not UTF-8", () => {
    const { judge, proof } = proven()
    proof.scanBegins([], true)
    proof.found([RelPath.fromBytes(Buffer.from([0x63, 0xe9])), RelPath.make("c\ufffd")], 0)
    proof.scanEnds(true)
    expect(judge(grace)).toEqual([])
  })

  it("recovers once events name new files for a while", () => {
    const { arrive, judge, proof, scan } = proven()
    scan(0, "a")
    judge(grace)
    arrive("b", "c")
    expect(proof.recovers(grace + 2 * probation)).toBe(false)
    arrive("d")
    expect(proof.recovers(grace + probation - 1)).toBe(false)
    expect(proof.recovers(grace + probation)).toBe(true)
    expect(proof.inDoubt()).toBe(false)
    expect(proof.recovers(99_000)).toBe(false)
  })

  it("does not recover while files are missed, or may have been", () => {
    const { arrive, judge, proof, scan } = proven()
    scan(0, "a")
    judge(grace)
    arrive("b", "c", "d")
    scan(50_000, "e")
    expect(proof.recovers(51_000)).toBe(false)
    expect(judge(60_000)).toEqual(["e"])
    expect(proof.recovers(500_000)).toBe(false)
    arrive("f", "g", "h")
    expect(proof.recovers(500_000)).toBe(true)
  })

  it("counts an event that comes after the scan, too", () => {
    const { arrive, judge, proof, scan } = proven()
    scan(0, "a")
    judge(grace)
    arrive("b", "c")
    scan(20_000, "d")
    proof.named(paths("d"))
    expect(proof.recovers(50_000)).toBe(true)
  })

  it("does not take one directory's events for another's, unless nothing comes there for long", () => {
    const { arrive, judge, proof, scan } = proven()
    scan(0, "silent/a")
    judge(grace)
    arrive("b", "other/c", "other/d")
    expect(proof.recovers(1_000_000)).toBe(false)
    arrive("silent/e")
    expect(proof.recovers(1_000_000)).toBe(true)
    scan(1_000_000, "silent/f")
    judge(1_000_000 + grace)
    arrive("b", "other/c", "other/d")
    expect(proof.recovers(1_000_000 + grace + 3_599_999)).toBe(false)
    expect(proof.recovers(1_000_000 + grace + 3_600_000)).toBe(true)
  })

  it("takes twice as long after each relapse, and an hour at most", () => {
    const { arrive, judge, proof, scan } = proven()
    let now = 0
    const waits: Array<number> = []
    for (let round = 0; round < 9; round++) {
      scan(now, `a${round}`)
      now += grace
      expect(judge(now).length).toBe(1)
      arrive("b", "c", "d")
      const from = now
      while (!proof.recovers(now)) now += 30_000
      waits.push((now - from) / probation)
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 120, 120])
    // and after a good day it is the first again
    now += 86_400_000
    scan(now, "z")
    now += grace
    judge(now)
    arrive("b", "c", "d")
    expect(proof.recovers(now + probation)).toBe(true)
  })

  it("remembers no more than some, however many files are found", () => {
    const { judge, proof, scan } = proven()
    const many = Array.from({ length: 50_000 }, (_, index) => `f${index}`)
    scan(0, ...many)
    expect(judge(grace).length).toBe(5000)
    scan(20_000, ...many)
    expect(proof.suspects(99_000).length).toBe(100)
    // so many events during a scan that it is not held against them
    proof.judge(proof.suspects(99_000), () => false, 99_000)
    proof.scanBegins([], true)
    for (let index = 0; index < 101; index++)
      proof.named(Array.from({ length: 1000 }, (_, i) => RelPath.make(`${index}/${i}`)))
    proof.found(paths("x"), 100_000)
    expect(proof.suspects(200_000)).toEqual([])
  })
})
