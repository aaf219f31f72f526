/**
 * What every Journal promises. Run by each implementation's own test file.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Layer, TestClock } from "effect"
import { DeliveryId, type Delivery } from "../../src/domain/Delivery.ts"
import { type After, type Found, Stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { usualOptions, type Target, type TargetOptions } from "../../src/domain/Target.ts"
import { Journal, type Admission, type Conclusion } from "../../src/store/Journal.ts"
import { LogRepo } from "../../src/store/LogRepo.ts"
import { Deliveries } from "../../src/store/Deliveries.ts"
import { logEntry } from "./logRepo.ts"

export const targetOptions = (options: Partial<TargetOptions> = {}): TargetOptions => ({
  ...usualOptions,
  conflict: "overwrite",
  retry: { attempts: 3, base: 1000, factor: 2, cap: 60_000 },
  concurrency: 2,
  timeout: 60_000,
  fieldname: "file",
  upload: "multipart",
  method: null,
  secure: "none",
  ...options
})

/** A target in a folder of a made-up host, which is its lane. */
export const target = (host = "one", folder = "in", options: Partial<TargetOptions> = {}): Target => ({
  url: `memory://${host}/${folder}`,
  scheme: "memory",
  lane: `memory://${host}`,
  host,
  port: null,
  username: null,
  path: `/${folder}`,
  options: targetOptions(options)
})

export const found = (path: string, version = 1, fields: Partial<Found> = {}): Found => ({
  path: RelPath.make(path),
  stamp: Stamp.make(`1:2:${100 + version}:${version}000:${version}000`),
  size: 100 + version,
  mtime: 1_700_000_000_123.5,
  born: 1_600_000_000_000,
  ...fields
})

/** One without priority, rank and facts. */
export const placement = (
  name: string,
  fields: Partial<Admission["placements"][number]> = {}
): Admission["placements"][number] => ({
  target: target(),
  name: RelPath.make(name),
  route: "route-0",
  priority: 0,
  rank: 0,
  facts: null,
  ...fields
})

export const admission = (
  file: Found,
  targets: ReadonlyArray<Target> = [target()],
  after: After = { _tag: "Keep" },
  source = "/inbox",
  fields: Partial<Admission> = {}
): Admission => ({
  source,
  after,
  file,
  onDead: { _tag: "Keep" },
  marker: null,
  placements: targets.map((one, index) => placement(file.path, { target: one, route: `route-${index}` })),
  ...fields
})

let entries = 0

export const deliveredNow = (delivery: Delivery): Conclusion => ({
  _tag: "Delivered",
  delivery,
  receipt: { bytes: delivery.generation.size, sha256: null, said: "stored", verified: "size", name: delivery.name },
  log: logEntry((entries += 1), { delivery: delivery.id })
})

type NotDelivered = Extract<Conclusion, { _tag: "NotDelivered" }>

export const failedNow = (
  delivery: Delivery,
  state: NotDelivered["state"],
  fields: Partial<NotDelivered> = {}
): Conclusion => ({
  _tag: "NotDelivered",
  delivery,
  state,
  reason: `it is ${state}`,
  due: null,
  counts: true,
  started: -10,
  // the clock of a test begins there
  ended: 0,
  log: state === "DEAD" ? logEntry((entries += 1), { delivery: delivery.id, status: "FAILED" }) : null,
  ...fields
})

type Services = Journal | LogRepo | Deliveries

export const journalContract = (name: string, layer: Layer.Layer<Services, unknown>) => {
  const test = (title: string, body: () => Effect.Effect<void, unknown, Services>) =>
    it.effect(title, () => Effect.provide(body(), layer))

  const get = (id: number) =>
    Effect.flatMap(Deliveries, (deliveries) => Effect.flatten(deliveries.get(DeliveryId.make(id))))
  const admit = (...batch: ReadonlyArray<Admission>) =>
    Effect.flatMap(Journal, (journal) => journal.admit("rules", batch))
  const claim = (lane = "memory://one", limit = 100, now = 0) =>
    Effect.flatMap(Journal, (journal) => journal.claim(lane, limit, now))
  const claimOne = Effect.flatMap(claim("memory://one", 1), ([first]) => Effect.fromNullable(first))
  const conclude = (...batch: ReadonlyArray<Conclusion>) =>
    Effect.flatMap(Journal, (journal) => journal.conclude(batch))
  const nothing = { dispose: [], dead: [] }
  const paths = (deliveries: ReadonlyArray<Delivery>) => deliveries.map(({ generation }) => generation.path)
  const total = Effect.gen(function* () {
    const page = yield* Effect.flatten((yield* LogRepo).query({ filter: {}, order: "-created", limit: 100 }))
    return page.total
  })
  const isUnknown = (file: Found, ruleset = "rules") =>
    Effect.flatMap(Journal, (journal) =>
      Effect.map(journal.unknown("/inbox", ruleset, [file]), (unknown) => unknown.length === 1)
    )

  describe(`a journal ${name}`, () => {
    test("hands out what it was given, with all that an attempt needs", () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(5000)
        const raw = RelPath.fromBytes(Uint8Array.from([0x61, 0xff, 0x2f, 0x5c, 0x0a, 0x62]))
        const lanes = yield* admit(
          admission(found("", 1, { path: raw }), [target("one", "x", { conflict: "rename" })], {
            _tag: "Archive",
            template: "done/{relpath}"
          })
        )
        expect(lanes).toEqual(["memory://one"])
        const [delivery] = yield* claim("memory://one", 10, 6000)
        expect(delivery).toMatchObject({
          generation: {
            source: "/inbox",
            path: raw,
            stamp: found("", 1).stamp,
            size: 101,
            mtime: 1_700_000_000_123.5,
            born: 1_600_000_000_000,
            after: { _tag: "Archive", template: "done/{relpath}" }
          },
          route: "route-0",
          target: target("one", "x", { conflict: "rename" }),
          name: raw,
          state: "SENDING",
          attempts: 0,
          due: null,
          reason: null,
          chosen: null,
          resume: null,
          sole: false,
          interrupted: false,
          receipt: null,
          created: 5000
        })
      }))

    test("knows what it has admitted, by path and stamp", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(admission(found("a")), admission(found("b")))
        const asked = [found("a"), found("b"), found("a", 2), found("c")]
        expect((yield* journal.unknown("/inbox", "rules", asked)).map((file) => file.stamp + file.path)).toEqual(
          [found("a", 2), found("c")].map((file) => file.stamp + file.path)
        )
        // whatever the rules are now, and only of this source
        expect(yield* isUnknown(found("a"), "other rules")).toBe(false)
        expect(yield* journal.unknown("/other", "rules", [found("a")])).toEqual([found("a")])
        expect(yield* journal.unknown("/inbox", "rules", [])).toEqual([])
      }))

    test("remembers a file that no route wanted, until the rules are others", () =>
      Effect.gen(function* () {
        expect(yield* admit(admission(found("a"), []))).toEqual([])
        expect(yield* isUnknown(found("a"))).toBe(false)
        expect(yield* isUnknown(found("a"), "new")).toBe(true)
        const journal = yield* Journal
        yield* journal.admit("new", [admission(found("a"), [])])
        expect(yield* isUnknown(found("a"), "new")).toBe(false)
        yield* journal.admit("newer", [admission(found("a"))])
        expect(paths(yield* claim())).toEqual(["a"])
        expect(yield* isUnknown(found("a"), "whatever")).toBe(false)
      }))

    test("admits a generation once, however often, even within one batch", () =>
      Effect.gen(function* () {
        yield* admit(admission(found("a")), admission(found("a")))
        expect(yield* admit(admission(found("a")))).toEqual([])
        const [delivery] = yield* claim()
        yield* admit(admission(found("a")))
        expect(yield* claim()).toEqual([])
        if (delivery !== undefined) yield* conclude(deliveredNow(delivery))
        yield* admit(admission(found("a")))
        expect(yield* claim()).toEqual([])
      }))

    test("many at once", () =>
      Effect.gen(function* () {
        const many = Array.from({ length: 1500 }, (_, index) => admission(found(`f${index}`)))
        yield* admit(...many)
        const claimed = yield* claim("memory://one", 2000)
        expect(paths(claimed)).toEqual(many.map(({ file }) => file.path))
        yield* conclude(...claimed.map(deliveredNow))
        expect(yield* total).toBe(1500)
        const journal = yield* Journal
        const known = many.map(({ file }) => file)
        expect(yield* journal.unknown("/inbox", "rules", [...known, found("x")])).toEqual([found("x")])
      }))

    test("supersedes what has not begun by a newer generation, and nothing else", () =>
      Effect.gen(function* () {
        const targets = ["one", "two", "three", "four"].map((host) => target(host))
        yield* admit(admission(found("a"), targets), admission(found("b")))
        const [sending] = yield* claim("memory://two")
        const [waiting] = yield* claim("memory://three")
        const [blocked] = yield* claim("memory://four")
        if (sending === undefined || waiting === undefined || blocked === undefined) throw new Error("nothing claimed")
        yield* conclude(
          failedNow(waiting, "RETRY_WAIT", { due: 50 }),
          failedNow(blocked, "BLOCKED", { due: 50, counts: false })
        )
        expect((yield* admit(admission(found("a", 2)))).length).toBe(1)
        // the next is the other file, then the new generation
        const next = yield* claim("memory://one")
        expect(next.map(({ generation }) => [generation.path, generation.size])).toEqual([
          ["b", 101],
          ["a", 102]
        ])
        expect((yield* get(sending.id)).state).toBe("SENDING")
        for (const one of [waiting, blocked]) {
          const now = yield* get(one.id)
          expect(now).toMatchObject({ state: "SUPERSEDED", due: null })
          expect(now.reason).toContain("newer")
        }
        expect(yield* claim("memory://three", 10, 1e6)).toEqual([])
      }))

    test("claims the oldest first, those that are due before those that are new, and none twice", () =>
      Effect.gen(function* () {
        yield* admit(...["a", "b", "c", "d"].map((path) => admission(found(path))))
        yield* admit(admission(found("other"), [target("two")]))
        const [a, b] = yield* claim("memory://one", 2)
        if (a === undefined || b === undefined) throw new Error("nothing claimed")
        yield* conclude(
          failedNow(a, "RETRY_WAIT", { due: 2000 }),
          failedNow(b, "BLOCKED", { due: 1000, counts: false })
        )
        expect(paths(yield* claim("memory://one", 1, 999))).toEqual(["c"])
        expect(paths(yield* claim("memory://one", 10, 2000))).toEqual(["b", "a", "d"])
        expect(yield* claim("memory://one", 10, 5000)).toEqual([])
        expect(paths(yield* claim("memory://two"))).toEqual(["other"])
        expect(yield* claim("memory://none")).toEqual([])
      }))

    test("takes back what was not begun", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(admission(found("a")), admission(found("b")))
        const claimed = yield* claim()
        yield* journal.release(claimed.slice(0, 1).map(({ id }) => id))
        expect(paths(yield* claim())).toEqual(["a"])
        yield* journal.release([])
        // only what is claimed
        yield* conclude(...claimed.map(deliveredNow))
        yield* journal.release(claimed.map(({ id }) => id))
        expect(yield* claim()).toEqual([])
      }))

    test("keeps the name that was chosen over failures and restarts", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(admission(found("a.txt")))
        const delivery = yield* claimOne
        yield* journal.choose(delivery.id, "a (1).txt")
        expect(yield* get(delivery.id)).toMatchObject({ state: "PUBLISHING", chosen: "a (1).txt" })
        expect(yield* journal.recover).toBe(1)
        const again = yield* claimOne
        expect(again).toMatchObject({ state: "SENDING", chosen: "a (1).txt", interrupted: true })
        yield* conclude(failedNow(again, "RETRY_WAIT", { due: 0 }))
        expect(yield* claimOne).toMatchObject({ chosen: "a (1).txt", attempts: 1 })
      }))

    test("records a delivery with its receipt and its log entry", () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(7000)
        yield* admit(admission(found("a")))
        const delivery = yield* claimOne
        expect(yield* conclude(deliveredNow(delivery))).toEqual(nothing)
        expect(yield* get(delivery.id)).toMatchObject({
          state: "DELIVERED",
          receipt: { bytes: 101, said: "stored", verified: "size", name: "a", sha256: null },
          updated: 7000
        })
        expect(yield* total).toBe(1)
        expect(yield* (yield* Journal).backlog).toEqual([])
        // all is well with nothing, too
        expect(yield* conclude()).toEqual(nothing)
      }))

    test("counts attempts that count, and remembers why each failed", () =>
      Effect.gen(function* () {
        yield* admit(admission(found("a")))
        const first = yield* claimOne
        yield* conclude(failedNow(first, "RETRY_WAIT", { due: 0, reason: "cut", started: 1, ended: 2 }))
        const second = yield* claimOne
        expect(second).toMatchObject({ attempts: 1, reason: "cut" })
        yield* conclude(
          failedNow(second, "BLOCKED", { due: 0, reason: "refused", counts: false, started: 3, ended: 4 })
        )
        const third = yield* claimOne
        expect(third.attempts).toBe(1)
        yield* conclude(failedNow(third, "DEAD", { reason: "too large", started: 5, ended: 6 }))
        expect(yield* get(third.id)).toMatchObject({ state: "DEAD", reason: "too large", attempts: 2 })
        expect(yield* (yield* Deliveries).attempts(third.id)).toEqual([
          { delivery: third.id, number: 1, started: 1, ended: 2, outcome: "RETRY_WAIT", reason: "cut" },
          { delivery: third.id, number: 2, started: 3, ended: 4, outcome: "BLOCKED", reason: "refused" },
          { delivery: third.id, number: 2, started: 5, ended: 6, outcome: "DEAD", reason: "too large" }
        ])
        expect(yield* total).toBe(1)
        expect(yield* claim("memory://one", 10, 1e9)).toEqual([])
      }))

    test("disposes of a file once each of its targets has it, and not before", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(
          admission(found("a"), [target("one"), target("one", "second"), target("two")], { _tag: "Delete" }),
          admission(found("b"), [target("three")], { _tag: "Delete" }),
          admission(found("c"), [target("three")])
        )
        const [one, second] = yield* claim("memory://one")
        const [two] = yield* claim("memory://two")
        const [b, c] = yield* claim("memory://three")
        if (!one || !second || !two || !b || !c) throw new Error("nothing claimed")
        expect([one.sole, b.sole, c.sole]).toEqual([false, true, false])
        expect(yield* conclude(deliveredNow(one), failedNow(second, "RETRY_WAIT", { due: 0 }))).toEqual(nothing)
        expect(yield* conclude(deliveredNow(two))).toEqual(nothing)
        expect(yield* journal.disposals(10)).toEqual([])
        const again = yield* claimOne
        const disposing = yield* conclude(deliveredNow(again), deliveredNow(b), deliveredNow(c))
        expect(disposing.dispose.map(({ path }) => path).sort()).toEqual(["a", "b"])
        expect(disposing.dead).toEqual([])
        const disposals = yield* journal.disposals(10)
        expect(disposals).toEqual(
          [one, b].map(({ generation }) => ({
            generation,
            because: "done",
            origin: { source: "/inbox", path: generation.path },
            facts: null,
            since: 0
          }))
        )
        expect((yield* journal.disposals(1)).length).toBe(1)
        yield* journal.disposed([{ id: one.generation.id, note: null }])
        expect((yield* journal.disposals(10)).map(({ generation }) => generation.path)).toEqual(["b"])
        // with a note it is done with as well
        yield* journal.disposed([{ id: b.generation.id, note: "it has changed" }])
        expect(yield* journal.disposals(10)).toEqual([])
        // and known as what it was
        expect(yield* isUnknown(found("a"))).toBe(false)
        expect(yield* isUnknown(found("b"))).toBe(false)
      }))

    test("puts off what can't be disposed of now, until it is told to try again", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(admission(found("a"), [target()], { _tag: "Delete" }))
        yield* conclude(deliveredNow(yield* claimOne))
        const [intent] = yield* journal.disposals(10)
        if (intent === undefined) throw new Error("nothing to dispose of")
        const { id } = intent.generation
        yield* TestClock.adjust("1 hour")
        yield* journal.disposed([{ id, note: "the disk is full", later: true }])
        expect(yield* journal.disposals(10)).toEqual([])
        yield* journal.retryDisposals
        // the time that templates go by is that of the intent
        expect(yield* journal.disposals(10)).toEqual([intent])
        yield* journal.disposed([{ id, note: null }])
        yield* journal.retryDisposals
        expect(yield* journal.disposals(10)).toEqual([])
      }))

    const day = 86_400_000
    /** On the hundredth day, after which the clock is set back. */
    const twoUnderWay = Effect.gen(function* () {
      yield* TestClock.setTime(100 * day)
      yield* admit(admission(found("a")), admission(found("b")))
      const [a, b] = yield* claim("memory://one", 10, 100 * day)
      if (!a || !b) throw new Error("nothing claimed")
      return [a, b] as const
    })

    test("waits as long as it was to, and no longer, where the clock is set back", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const [a, b] = yield* twoUnderWay
        yield* conclude(
          failedNow(a, "RETRY_WAIT", { due: 100 * day + 500 }),
          failedNow(b, "BLOCKED", { due: 100 * day + 1000 })
        )
        yield* TestClock.setTime(day)
        yield* journal.clockSetBack
        expect(yield* journal.nextDue("memory://one")).toBe(day + 500)
        expect(paths(yield* claim("memory://one", 10, day + 499))).toEqual([])
        expect(paths(yield* claim("memory://one", 10, day + 500))).toEqual(["a"])
        // what is no longer than it was to be stays
        yield* journal.clockSetBack
        expect(yield* journal.nextDue("memory://one")).toBe(day + 1000)
        yield* conclude(failedNow(a, "RETRY_WAIT", { due: day + 2000 }))
        yield* TestClock.setTime(0)
        // and the same after a restart
        yield* journal.recover
        expect(paths(yield* claim("memory://one", 10, 2000))).toEqual(["b", "a"])
      }))

    test("waits as long as it was to where the clock is set back between the end of an attempt and its record", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const [a, b] = yield* twoUnderWay
        const ended = 100 * day
        yield* TestClock.setTime(day)
        yield* journal.clockSetBack
        yield* conclude(
          failedNow(a, "RETRY_WAIT", { due: ended + 500, ended }),
          failedNow(b, "BLOCKED", { due: ended + 1000, ended })
        )
        expect(paths(yield* claim("memory://one", 10, day + 499))).toEqual([])
        expect(paths(yield* claim("memory://one", 10, day + 999))).toEqual(["a"])
        expect(paths(yield* claim("memory://one", 10, day + 1000))).toEqual(["b"])
      }))

    test("knows a file again whose disk has got another number, if all its targets have it", () =>
      Effect.gen(function* () {
        const moved = (file: Found): Found => ({ ...file, stamp: Stamp.make(file.stamp.replace(/^1:/, "7:")) })
        yield* admit(admission(found("a")), admission(found("b")), admission(found("c"), []))
        const [a] = yield* claim("memory://one", 1)
        if (a === undefined) throw new Error("nothing claimed")
        yield* conclude(deliveredNow(a))
        expect(yield* isUnknown(moved(found("a")))).toBe(false)
        expect(yield* isUnknown(moved(found("a", 2)))).toBe(true)
        // what is owed goes by its stamp, and so it is taken up anew
        expect(yield* isUnknown(moved(found("b")))).toBe(true)
        expect(yield* isUnknown(moved(found("c")))).toBe(true)
      }))

    for (const state of ["DEAD", "SKIPPED", "AMBIGUOUS", "SUPERSEDED"] as const) {
      test(`keeps the source while one delivery is ${state}`, () =>
        Effect.gen(function* () {
          yield* admit(admission(found("a"), [target("one"), target("one", "second")], { _tag: "Delete" }))
          const [one, second] = yield* claim()
          if (!one || !second) throw new Error("nothing claimed")
          expect(yield* conclude(deliveredNow(one), failedNow(second, state))).toEqual(nothing)
          expect(yield* (yield* Journal).disposals(10)).toEqual([])
        }))
    }

    test("does not dispose of what a newer generation has replaced", () =>
      Effect.gen(function* () {
        yield* admit(admission(found("a"), [target()], { _tag: "Delete" }))
        const old = yield* claimOne
        yield* admit(admission(found("a", 2), [target("two")], { _tag: "Delete" }))
        expect(yield* conclude(deliveredNow(old))).toEqual(nothing)
        expect(yield* (yield* Journal).disposals(10)).toEqual([])
      }))

    test("carries out an intent to dispose, although a newer generation has come", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(admission(found("a"), [target()], { _tag: "Delete" }))
        yield* conclude(deliveredNow(yield* claimOne))
        // the old file may have been moved aside already
        yield* admit(admission(found("a", 2), [target("two")], { _tag: "Delete" }))
        expect((yield* journal.disposals(10)).map(({ generation }) => generation.size)).toEqual([101])
      }))

    test("brings back what was under way when the process died, and marks it", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(...["a", "b", "c", "d", "e"].map((path) => admission(found(path))))
        const [a, b, c, d] = yield* claim("memory://one", 4)
        if (!a || !b || !c || !d) throw new Error("nothing claimed")
        yield* journal.choose(b.id, "b")
        yield* conclude(failedNow(c, "BLOCKED", { due: 90_000, counts: false }), deliveredNow(d))
        yield* TestClock.setTime(1000)
        expect(yield* journal.recover).toBe(2)
        const all = yield* claim("memory://one", 10, 1000)
        // what was blocked is tried afresh
        expect(all.map(({ generation, interrupted }) => [generation.path, interrupted])).toEqual([
          ["c", false],
          ["a", true],
          ["b", true],
          ["e", false]
        ])
      }))

    test("stays interrupted until an attempt came to an end, not only to a wait", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(admission(found("a")))
        yield* claimOne
        yield* journal.recover
        // the lane is down: nobody could look for the traces
        yield* conclude(failedNow(yield* claimOne, "BLOCKED", { due: 0, counts: false }))
        const again = yield* claimOne
        expect(again.interrupted).toBe(true)
        yield* journal.release([again.id])
        const third = yield* claimOne
        expect(third.interrupted).toBe(true)
        yield* conclude(failedNow(third, "RETRY_WAIT", { due: 0 }))
        const fourth = yield* claimOne
        expect(fourth.interrupted).toBe(true)
        yield* conclude(failedNow(fourth, "AMBIGUOUS"))
        expect((yield* get(fourth.id)).interrupted).toBe(false)
      }))

    test("tells the backlog of each lane, and when something is due", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(
          ...["a", "b", "c"].map((path) => admission(found(path))),
          admission(found("d"), [target("two")]),
          admission(found("e"), [target("three")])
        )
        const [a, b] = yield* claim("memory://one", 2)
        const [e] = yield* claim("memory://three")
        if (!a || !b || !e) throw new Error("nothing claimed")
        expect(yield* journal.nextDue("memory://one")).toBeNull()
        yield* conclude(
          failedNow(a, "RETRY_WAIT", { due: 3000 }),
          failedNow(b, "BLOCKED", { due: 2000, counts: false }),
          failedNow(e, "DEAD")
        )
        expect(yield* journal.nextDue("memory://one")).toBe(2000)
        expect(yield* journal.nextDue("memory://two")).toBeNull()
        const backlog = yield* journal.backlog
        expect(backlog.toSorted((left, right) => left.lane.localeCompare(right.lane))).toEqual([
          { lane: "memory://one", open: 3, nextDue: 2000 },
          { lane: "memory://two", open: 1, nextDue: null }
        ])
      }))

    test("unblocks a lane that works again, and no other", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(...["a", "b"].map((path) => admission(found(path))), admission(found("c"), [target("two")]))
        const [a, b] = yield* claim()
        const [c] = yield* claim("memory://two")
        if (!a || !b || !c) throw new Error("nothing claimed")
        yield* conclude(
          failedNow(a, "BLOCKED", { due: 9000, counts: false }),
          failedNow(b, "RETRY_WAIT", { due: 9000 }),
          failedNow(c, "BLOCKED", { due: 9000, counts: false })
        )
        yield* journal.unblock("memory://one")
        expect(paths(yield* claim("memory://one", 10, 0))).toEqual(["a"])
        expect(yield* claim("memory://two", 10, 0)).toEqual([])
      }))

    test("replays what is dead, ambiguous, skipped or cancelled, with all its attempts", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const names = ["a", "b", "c", "d", "e", "f"]
        yield* admit(...names.map((path) => admission(found(path))))
        const claimed = yield* claim("memory://one", 5)
        const [a, b, c, d, e] = claimed
        if (!a || !b || !c || !d || !e) throw new Error("nothing claimed")
        yield* conclude(
          failedNow(a, "DEAD"),
          failedNow(b, "AMBIGUOUS"),
          failedNow(c, "SKIPPED", { counts: false }),
          deliveredNow(d),
          failedNow(e, "SUPERSEDED", { counts: false })
        )
        const f = DeliveryId.make(e.id + 1)
        const [last] = yield* (yield* Deliveries).list({ limit: 1 })
        expect(yield* journal.cancel([last?.id ?? f])).toEqual([last?.id])
        expect(yield* journal.replay([a.id, d.id, e.id, DeliveryId.make(999)])).toEqual([
          { id: a.id, lane: "memory://one" }
        ])
        expect(yield* get(a.id)).toMatchObject({ state: "PENDING", attempts: 0, due: null })
        expect((yield* journal.replay("all")).map(({ id }) => id).sort((x, y) => x - y)).toEqual([b.id, c.id, last?.id])
        expect(yield* journal.replay("all")).toEqual([])
        expect(paths(yield* claim())).toEqual(["a", "b", "c", "f"])
      }))

    test("replays what was given up of one lane, and no other", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const both = [target("one"), target("two")]
        yield* admit(admission(found("a"), both), admission(found("b"), both))
        const ones = yield* claim()
        const twos = yield* claim("memory://two")
        yield* conclude(...[...ones, ...twos].map((one) => failedNow(one, "DEAD")))
        expect(yield* journal.replay({ lane: "memory://none" })).toEqual([])
        expect((yield* journal.replay({ lane: "memory://two" })).map(({ id }) => id).sort((x, y) => x - y)).toEqual(
          twos.map(({ id }) => id)
        )
        expect(yield* claim()).toEqual([])
        expect(paths(yield* claim("memory://two"))).toEqual(["a", "b"])
        expect(yield* journal.replay("all")).toHaveLength(2)
      }))

    test("keeps a note of what was begun at the target, until it is delivered or cleared away", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(admission(found("a")))
        const first = yield* claimOne
        yield* journal.note(first.id, "upload 7, part 3")
        expect((yield* get(first.id)).resume).toBe("upload 7, part 3")
        // over a failure, a restart, and a return from the dead
        yield* conclude(failedNow(first, "RETRY_WAIT", { due: 0 }))
        const second = yield* claimOne
        expect(second.resume).toBe("upload 7, part 3")
        yield* journal.recover
        const third = yield* claimOne
        expect(third).toMatchObject({ resume: "upload 7, part 3", interrupted: true })
        yield* conclude(failedNow(third, "DEAD"))
        yield* journal.replay([third.id])
        const fourth = yield* claimOne
        expect(fourth.resume).toBe("upload 7, part 3")
        yield* journal.note(fourth.id, null)
        expect((yield* get(fourth.id)).resume).toBeNull()
        yield* journal.note(fourth.id, "upload 8")
        yield* conclude(deliveredNow(fourth))
        expect(yield* get(fourth.id)).toMatchObject({ state: "DELIVERED", resume: null })
        expect(yield* journal.litter("memory://one", 10)).toEqual([])
      }))

    test("lists as litter what was given up and has left something, and nothing else", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const ends = ["DEAD", "AMBIGUOUS", "SKIPPED", "SUPERSEDED", "RETRY_WAIT", "BLOCKED", "PENDING"] as const
        const names = [...ends, "CANCELLED", "DELIVERED", "SENDING", "CLEAN"]
        yield* admit(...names.map((name) => admission(found(name))))
        const claimed = yield* claim()
        const one = (name: string) => Effect.fromNullable(claimed.find(({ generation }) => generation.path === name))
        for (const { generation, id } of claimed) {
          if (generation.path !== "CLEAN") yield* journal.note(id, `of ${generation.path}`)
        }
        for (const state of ends) yield* conclude(failedNow(yield* one(state), state, { due: 9e15 }))
        yield* conclude(deliveredNow(yield* one("DELIVERED")), failedNow(yield* one("CLEAN"), "DEAD"))
        const cancelled = yield* one("CANCELLED")
        yield* conclude(failedNow(cancelled, "RETRY_WAIT", { due: 9e15 }))
        yield* journal.cancel([cancelled.id])
        yield* admit(admission(found("other"), [target("two")]))
        const [other] = yield* claim("memory://two")
        yield* journal.note(other?.id ?? cancelled.id, "of the other lane")
        yield* conclude(failedNow(other ?? cancelled, "DEAD"))

        const litter = yield* journal.litter("memory://one", 100)
        expect(litter.map(({ resume }) => resume)).toEqual([
          "of DEAD",
          "of AMBIGUOUS",
          "of SKIPPED",
          "of SUPERSEDED",
          "of CANCELLED"
        ])
        expect(litter[0]).toMatchObject({ target: target(), name: "DEAD", generation: { source: "/inbox" } })
        expect((yield* journal.litter("memory://one", 2)).map(({ resume }) => resume)).toEqual([
          "of DEAD",
          "of AMBIGUOUS"
        ])
        // its lane is to be opened for it alone
        const backlog = yield* journal.backlog
        expect(backlog.find(({ lane }) => lane === "memory://two")).toEqual({
          lane: "memory://two",
          open: 0,
          nextDue: null
        })
        expect(backlog.find(({ lane }) => lane === "memory://one")?.open).toBe(4)
        yield* journal.note(litter[0]?.id ?? cancelled.id, null)
        expect((yield* journal.litter("memory://one", 100)).length).toBe(4)
        // what is brought back is litter no more
        yield* journal.replay([cancelled.id])
        expect((yield* journal.litter("memory://one", 100)).length).toBe(3)
      }))

    test("takes note that litter is cleared away, but not of a delivery that was brought back meanwhile", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(admission(found("a")))
        const one = yield* claimOne
        yield* journal.note(one.id, "upload 1")
        yield* conclude(failedNow(one, "DEAD"))
        // what was cleared away is not what is there by now
        yield* journal.cleared(one.id, "upload 0")
        expect((yield* get(one.id)).resume).toBe("upload 1")
        // who has claimed it goes by what it was told, and so must the next
        yield* journal.replay([one.id])
        expect((yield* claimOne).resume).toBe("upload 1")
        yield* journal.cleared(one.id, "upload 1")
        expect((yield* get(one.id)).resume).toBe("upload 1")
        yield* conclude(failedNow(one, "DEAD"))
        yield* journal.cleared(one.id, "upload 1")
        expect((yield* get(one.id)).resume).toBeNull()
      }))

    test("lists as litter what was given up after the program had ended in the middle of it", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(admission(found("a")), admission(found("b")))
        yield* claim()
        yield* journal.recover
        expect(yield* journal.litter("memory://one", 10)).toEqual([])
        const [a] = yield* claim()
        yield* conclude(failedNow(yield* Effect.fromNullable(a), "RETRY_WAIT", { due: 9e15 }))
        yield* journal.cancel([(yield* Effect.fromNullable(a)).id])
        const litter = yield* journal.litter("memory://one", 10)
        expect(litter).toMatchObject([{ id: a?.id, resume: null, interrupted: true }])
        yield* journal.cleared((yield* Effect.fromNullable(a)).id, null)
        expect(yield* journal.litter("memory://one", 10)).toEqual([])
      }))

    test("does not forget litter before it is cleared away", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* TestClock.setTime(1000)
        yield* admit(admission(found("old")))
        const old = yield* claimOne
        yield* journal.note(old.id, "upload 1")
        yield* conclude(failedNow(old, "RETRY_WAIT", { due: 0 }))
        yield* admit(admission(found("old", 2)))
        yield* TestClock.setTime(9000)
        expect((yield* get(old.id)).state).toBe("SUPERSEDED")
        expect(yield* journal.prune(5000)).toBe(0)
        expect((yield* journal.litter("memory://one", 10)).map(({ id }) => id)).toEqual([old.id])
        yield* journal.note(old.id, null)
        expect(yield* journal.prune(5000)).toBe(1)
      }))

    test("cancels what is not under way", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(...["a", "b", "c", "d"].map((path) => admission(found(path))))
        const [a, b, c] = yield* claim("memory://one", 3)
        if (!a || !b || !c) throw new Error("nothing claimed")
        yield* conclude(failedNow(b, "RETRY_WAIT", { due: 0 }), deliveredNow(c))
        const [d] = yield* (yield* Deliveries).list({ states: ["PENDING"], limit: 1 })
        const cancelled = yield* journal.cancel([a.id, b.id, c.id, d?.id ?? a.id])
        expect(Array.from(cancelled).sort((x, y) => x - y)).toEqual([b.id, d?.id])
        expect(yield* claim("memory://one", 10, 1e9)).toEqual([])
        expect(yield* get(a.id)).toMatchObject({ state: "SENDING" })
      }))

    test("remembers the last attempts of one that waits for a lane that is down", () =>
      Effect.gen(function* () {
        yield* admit(admission(found("a")), admission(found("b")))
        const other = yield* claimOne
        yield* conclude(failedNow(other, "BLOCKED", { due: 1e9, counts: false }))
        for (let time = 0; time < 103; time++) {
          const one = yield* claimOne
          expect(one.id).not.toBe(other.id)
          yield* conclude(failedNow(one, "BLOCKED", { due: 0, counts: false, started: time, ended: time }))
        }
        const [one] = yield* claim()
        const attempts = yield* (yield* Deliveries).attempts(one?.id ?? other.id)
        expect(attempts.map(({ started }) => started)).toEqual(Array.from({ length: 100 }, (_, index) => index + 3))
        expect((yield* (yield* Deliveries).attempts(other.id)).length).toBe(1)
      }))

    test("owes what was lost again where the file is back as it was, but not for ever", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(admission(found("a"), [target(), target("two")]), admission(found("b")), admission(found("c")))
        const [a, b, c] = yield* claim()
        const [two] = yield* claim("memory://two")
        if (!a || !b || !c || !two) throw new Error("nothing claimed")
        yield* conclude(
          failedNow(a, "SUPERSEDED", { counts: false, lost: true }),
          failedNow(two, "DEAD"),
          failedNow(b, "DEAD", { lost: true }),
          failedNow(c, "DEAD")
        )
        expect(yield* isUnknown(found("a"))).toBe(true)
        expect(yield* isUnknown(found("b"))).toBe(true)
        expect(yield* isUnknown(found("c"))).toBe(false)
        const lanes = yield* journal.admit("rules", [
          admission(found("a")),
          admission(found("b")),
          admission(found("c"))
        ])
        expect(lanes).toEqual(["memory://one"])
        expect(yield* isUnknown(found("a"))).toBe(false)
        expect(paths(yield* claim()).toSorted()).toEqual(["a", "b"])
        expect(yield* get(two.id)).toMatchObject({ state: "DEAD" })
        expect(yield* get(c.id)).toMatchObject({ state: "DEAD" })
        let again = 0
        for (let owed: Delivery | undefined = a; owed !== undefined; [owed] = yield* claim()) {
          yield* conclude(failedNow(owed, "SUPERSEDED", { counts: false, lost: true }))
          yield* journal.admit("rules", [admission(found("a"))])
          again += 1
        }
        expect(again).toBe(10)
        expect(yield* isUnknown(found("a"))).toBe(false)
        // what it may have left at the target is looked for
        yield* admit(admission(found("interrupted")))
        yield* claim()
        yield* journal.recover
        const [interrupted] = yield* claim()
        if (!interrupted) throw new Error("nothing claimed")
        yield* conclude(failedNow(interrupted, "SUPERSEDED", { counts: false, lost: true, traces: true }))
        expect((yield* journal.litter("memory://one", 10)).map(({ id }) => id)).toContain(interrupted.id)
        // where another has its place, it is that one's
        yield* conclude(failedNow(b, "DEAD", { lost: true }))
        expect(yield* journal.replaced(b.generation.id)).toBe(false)
        yield* admit(admission(found("b", 2)))
        expect(yield* journal.replaced(b.generation.id)).toBe(true)
        expect(yield* isUnknown(found("b"))).toBe(false)
      }))

    test("answers what is kept and has been over for long, and forgets it once its file is gone", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* TestClock.setTime(1000)
        yield* admit(
          admission(found("kept")),
          admission(found("unwanted"), []),
          admission(found("dead")),
          admission(found("recent")),
          admission(found("waits")),
          admission(found("open"))
        )
        const [kept, dead, recent, waits] = yield* claim("memory://one", 4)
        if (!kept || !dead || !recent || !waits) throw new Error("nothing claimed")
        yield* conclude(deliveredNow(kept), failedNow(dead, "DEAD"), failedNow(waits, "RETRY_WAIT", { due: 0 }))
        yield* TestClock.setTime(5000)
        yield* conclude(deliveredNow(recent))
        const aged = yield* journal.aged(4000, 0)
        expect(aged.next).toBeNull()
        expect(aged.generations.map(({ path }) => path)).toEqual(["kept", "unwanted", "dead"])
        expect((yield* journal.aged(1000, 0)).generations).toEqual([])
        yield* journal.disposed(aged.generations.map(({ id }) => ({ id, note: null })))
        expect((yield* journal.aged(4000, 0)).generations).toEqual([])
        expect(yield* journal.prune(4000)).toBe(0)
        expect(yield* journal.prune(6000)).toBe(3)
        expect(yield* isUnknown(found("kept"))).toBe(true)
        expect(yield* isUnknown(found("recent"))).toBe(false)
      }))

    test("forgets what is over and gone, and uses no id again", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* TestClock.setTime(1000)
        yield* admit(
          admission(found("gone"), [target()], { _tag: "Delete" }),
          admission(found("kept")),
          admission(found("old")),
          admission(found("waits"))
        )
        const [gone, kept, old] = yield* claim("memory://one", 3)
        if (!gone || !kept || !old) throw new Error("nothing claimed")
        yield* conclude(deliveredNow(gone), deliveredNow(kept), failedNow(old, "RETRY_WAIT", { due: 0 }))
        yield* journal.disposed([{ id: gone.generation.id, note: null }])
        yield* admit(admission(found("old", 2)))
        yield* TestClock.setTime(5000)
        expect(yield* journal.prune(1000)).toBe(0)
        expect(yield* journal.prune(4000)).toBe(2)
        expect(yield* journal.prune(4000)).toBe(0)
        expect(yield* isUnknown(found("gone"))).toBe(true)
        expect(yield* isUnknown(found("kept"))).toBe(false)
        expect(yield* isUnknown(found("waits"))).toBe(false)
        const ids = [gone.id, kept.id, old.id]
        yield* admit(admission(found("new")))
        for (const { id } of yield* claim()) expect(ids).not.toContain(id)
      }))
  })
}
