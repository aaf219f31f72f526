/**
 * What every Journal promises of priorities, dead files, archives, rules and counters. Run by each implementation's own
 * test file.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, type Layer, Option, TestClock } from "effect"
import { DeliveryId, type Delivery, type DeliveryState } from "../../src/domain/Delivery.ts"
import { noFacts, type Facts } from "../../src/domain/Facts.ts"
import { Stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { Deliveries } from "../../src/store/Deliveries.ts"
import { Journal, type Admission, type Conclusion } from "../../src/store/Journal.ts"
import type { LogRepo } from "../../src/store/LogRepo.ts"
import { admission, deliveredNow, failedNow, found, placement, target } from "./journal.ts"

type Services = Journal | LogRepo | Deliveries

const nothing = { dispose: [], dead: [] }

const move = { onDead: { _tag: "Move", template: "/dead/{name}" } } as const satisfies Partial<Admission>

/** One file with one delivery of that priority and rank. */
const ranked = (path: string, priority: number, rank = 0): Admission =>
  admission(found(path), [], undefined, undefined, { placements: [placement(path, { priority, rank })] })

/** One file for several hosts, one delivery for each. */
const movable = (path: string, hosts: ReadonlyArray<string>, fields: Partial<Admission> = {}): Admission =>
  admission(
    found(path),
    hosts.map((host) => target(host)),
    undefined,
    undefined,
    { ...move, ...fields }
  )

const facts: Facts = { mime: "image/png", sha256: "ab", groups: { year: "2024", "a\u{1f600}": "\n" }, counter: 7 }

export const journalRoutingContract = (name: string, layer: Layer.Layer<Services, unknown>) => {
  const test = (title: string, body: () => Effect.Effect<void, unknown, Services>) =>
    it.effect(title, () => Effect.provide(body(), layer))

  const get = (id: number) =>
    Effect.flatMap(Deliveries, (deliveries) => Effect.flatten(deliveries.get(DeliveryId.make(id))))
  const judged = (id: number) =>
    Effect.flatMap(Deliveries, (deliveries) => Effect.flatten(deliveries.judged(DeliveryId.make(id))))
  const routed = (before?: Parameters<(typeof Deliveries.Service)["routed"]>[0]["before"], limit = 10) =>
    Effect.flatMap(Deliveries, (deliveries) => deliveries.routed({ before, limit }))
  const admit = (...batch: ReadonlyArray<Admission>) =>
    Effect.flatMap(Journal, (journal) => journal.admit("rules", batch))
  const claim = (lane = "memory://one", limit = 100, now = 0) =>
    Effect.flatMap(Journal, (journal) => journal.claim(lane, limit, now))
  const claimOne = (host = "one") =>
    Effect.flatMap(claim(`memory://${host}`, 1), ([first]) => Effect.fromNullable(first))
  const conclude = (...batch: ReadonlyArray<Conclusion>) =>
    Effect.flatMap(Journal, (journal) => journal.conclude(batch))
  const paths = (deliveries: ReadonlyArray<Delivery>) => deliveries.map(({ generation }) => generation.path)
  const disposals = Effect.flatMap(Journal, (journal) => journal.disposals(10))
  /** Where its file lies once it was moved. */
  const place = (path: string) => ({
    source: "/dead",
    path: RelPath.make(path),
    stamp: Stamp.make(`moved:${path}`),
    marker: null
  })
  /** A file for these hosts, whose deliveries have all ended as they say. */
  const ended = (path: string, states: Readonly<Record<string, DeliveryState>>, fields: Partial<Admission> = {}) =>
    Effect.gen(function* () {
      yield* admit(movable(path, Object.keys(states), fields))
      const all: Array<Delivery> = []
      for (const [host, state] of Object.entries(states)) {
        const delivery = yield* claimOne(host)
        all.push(delivery)
        if (state === "CANCELLED") {
          const { release, cancel } = yield* Journal
          yield* release([delivery.id])
          yield* cancel([delivery.id])
        } else if (state === "DELIVERED") yield* conclude(deliveredNow(delivery))
        else if (state === "DEAD" || state === "SKIPPED" || state === "AMBIGUOUS" || state === "SUPERSEDED")
          yield* conclude(failedNow(delivery, state))
        else if (state !== "SENDING") throw new Error(`no way to ${state}`)
      }
      return all
    })

  describe(`a journal ${name}, of routing`, () => {
    test("hands out what was learnt of a file, and what becomes of it", () =>
      Effect.gen(function* () {
        const marker = RelPath.fromBytes(Uint8Array.from([0x61, 0xff, 0x2e, 0x64]))
        yield* admit(
          movable("a", [], { marker, placements: [placement("a", { priority: 5, rank: -12.5, facts })] }),
          admission(found("b"))
        )
        const [a, b] = yield* claim()
        expect(a).toMatchObject({ priority: 5, facts, generation: { ...move, marker } })
        expect(b).toMatchObject({ priority: 0, facts: null, generation: { onDead: { _tag: "Keep" }, marker: null } })
        for (const one of [a, b]) {
          const shown = yield* get(one?.id ?? 0)
          expect({ ...shown, updated: 0 }).toEqual({ ...one, updated: 0 })
        }
      }))

    test("keeps both hashes of what was transformed on its way", () =>
      Effect.gen(function* () {
        yield* admit(admission(found("a")), admission(found("b")))
        const [a, b] = yield* claim()
        if (!a || !b) throw new Error("nothing claimed")
        const one = deliveredNow(a)
        if (one._tag !== "Delivered") throw new Error("not delivered")
        yield* conclude(
          { ...one, receipt: { ...one.receipt, bytes: 7, sha256: "sent", sourceSha256: "source" } },
          deliveredNow(b)
        )
        expect((yield* get(a.id)).receipt).toMatchObject({ bytes: 7, sha256: "sent", sourceSha256: "source" })
        expect((yield* get(b.id)).receipt).not.toHaveProperty("sourceSha256")
      }))

    test("claims by priority, then by rank, then by age", () =>
      Effect.gen(function* () {
        yield* admit(
          ranked("plain", 0),
          ranked("low", -1, -9),
          ranked("late", 5, 20),
          ranked("high", 5, 10.5),
          ranked("higher", 7, 99),
          ranked("plain 2", 0),
          ranked("first", 0, -1),
          ranked("last", 0, 1e15),
          ranked("high 2", 5, 10.5)
        )
        expect(paths(yield* claim())).toEqual([
          "higher",
          "high",
          "high 2",
          "late",
          "first",
          "plain",
          "plain 2",
          "last",
          "low"
        ])
      }))

    test("claims those of one priority and no rank as they came, however few at a time", () =>
      Effect.gen(function* () {
        const names = Array.from({ length: 23 }, (_, index) => `f${index}`)
        yield* admit(...names.map((path) => ranked(path, 3)))
        const claimed: Array<string> = []
        for (const limit of [1, 1, 5, 2, 9, 1, 4]) claimed.push(...paths(yield* claim("memory://one", limit)))
        expect(claimed).toEqual(names)
      }))

    test("gives every fourth to what has waited longest, in each lane, so that none waits for ever", () =>
      Effect.gen(function* () {
        yield* admit(ranked("old", -1), ranked("older than the rest", 0, 1e9))
        const order: Array<string> = []
        for (let round = 0; round < 9; round++) {
          yield* admit(ranked(`high ${round} a`, 9), ranked(`high ${round} b`, 9))
          // another lane has a count of its own
          yield* admit(admission(found(`other ${round}`), [target("two")]))
          order.push(...paths(yield* claim("memory://one", 1)))
          yield* claim("memory://two", 1)
        }
        expect(order[3]).toBe("old")
        expect(order[7]).toBe("older than the rest")
        expect(order.filter((path) => path.startsWith("high")).length).toBe(7)
        // of many at a time a quarter
        const many = paths(yield* claim("memory://one", 8))
        expect(many.length).toBe(8)
        expect(new Set(many).size).toBe(8)
        yield* admit(...["x", "y", "z"].map((path) => ranked(path, -5)))
        yield* admit(...Array.from({ length: 20 }, (_, index) => ranked(`new ${index}`, 9)))
        while ((yield* (yield* Deliveries).list({ states: ["PENDING"], limit: 100 })).length > 20) {
          yield* claim("memory://one", 1)
        }
        const some = paths(yield* claim("memory://one", 12))
        expect(some.length).toBe(12)
        expect(some.filter((path) => ["x", "y", "z"].includes(path)).length).toBeGreaterThan(1)
      }))

    it.effect.prop(
      "hands each delivery out once, and before four times as many as had come before it",
      [
        FastCheck.array(
          FastCheck.oneof(
            FastCheck.record({
              priority: FastCheck.integer({ min: -2, max: 2 }),
              rank: FastCheck.constantFrom(0, 0, -3, 2.5)
            }),
            FastCheck.record({ limit: FastCheck.integer({ min: 1, max: 6 }) })
          ),
          { maxLength: 40 }
        )
      ],
      ([steps]) =>
        Effect.gen(function* () {
          const journal = yield* Journal
          const waiting: Array<{ readonly path: string; readonly ahead: number; readonly since: number }> = []
          let count = 0
          let handed = 0
          const claims = [...steps, ...Array.from({ length: 20 }, () => ({ limit: 3 }))]
          for (const step of claims) {
            if ("limit" in step) {
              const claimed = paths(yield* journal.claim("memory://one", step.limit, 0))
              expect(claimed.length).toBe(Math.min(step.limit, waiting.length))
              for (const path of claimed) {
                const index = waiting.findIndex((one) => one.path === path)
                expect(index).toBeGreaterThanOrEqual(0)
                waiting.splice(index, 1)
              }
              handed += claimed.length
              for (const one of waiting) expect(handed - one.since).toBeLessThan(4 * (one.ahead + 1) + 4)
            } else {
              const path = `f${(count += 1)}`
              waiting.push({ path, ahead: waiting.length, since: handed })
              yield* journal.admit("rules", [ranked(path, step.priority, step.rank)])
            }
          }
        }).pipe(Effect.provide(layer)),
      { fastCheck: { numRuns: 8 }, timeout: 60_000 }
    )

    test("moves a file when nothing more is tried and one delivery is dead", () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(5000)
        yield* admit(movable("a", ["one", "two", "three"]))
        const [one, two, three] = [yield* claimOne("one"), yield* claimOne("two"), yield* claimOne("three")]
        expect(yield* conclude(failedNow(one, "DEAD"))).toEqual(nothing)
        expect(yield* conclude(failedNow(two, "RETRY_WAIT", { due: 0 }), deliveredNow(three))).toEqual(nothing)
        const again = yield* claimOne("two")
        expect(yield* conclude(deliveredNow(again))).toEqual({ dispose: [], dead: [one.generation] })
        // the intent is there until it is carried out
        const intent = { generation: one.generation, because: "dead", origin: { source: "/inbox", path: "a" } }
        expect(yield* disposals).toEqual([{ ...intent, facts: null, since: 5000 }])
        yield* (yield* Journal).disposed([{ id: one.generation.id, note: "it could not be moved" }])
        expect(yield* disposals).toEqual([])
      }))

    const ways: ReadonlyArray<readonly [Readonly<Record<string, DeliveryState>>, boolean]> = [
      [{ one: "DEAD" }, true],
      [{ one: "DEAD", two: "DELIVERED" }, true],
      [{ one: "DELIVERED", two: "DEAD" }, true],
      [{ one: "DEAD", two: "SKIPPED" }, true],
      [{ one: "DEAD", two: "CANCELLED" }, true],
      [{ one: "CANCELLED", two: "DEAD" }, true],
      [{ one: "DEAD", two: "DEAD" }, true],
      [{ one: "DEAD", two: "AMBIGUOUS" }, false],
      [{ one: "AMBIGUOUS", two: "DEAD" }, false],
      [{ one: "DEAD", two: "SUPERSEDED" }, false],
      [{ one: "DEAD", two: "SENDING" }, false],
      [{ one: "AMBIGUOUS" }, false],
      [{ one: "SKIPPED", two: "DELIVERED" }, false],
      [{ one: "CANCELLED" }, false],
      [{ one: "DELIVERED" }, false]
    ]
    for (const [states, moves] of ways) {
      test(`${moves ? "moves" : "does not move"} a file that is ${Object.values(states).join(" and ")}`, () =>
        Effect.gen(function* () {
          yield* ended("a", states)
          expect((yield* disposals).map(({ because }) => because)).toEqual(moves ? ["dead"] : [])
          // unless nobody asked for that
          yield* ended("kept", states, { onDead: { _tag: "Keep" } })
          expect((yield* disposals).length).toBe(moves ? 1 : 0)
        }))
    }

    test("does not move a file that a newer one has replaced", () =>
      Effect.gen(function* () {
        yield* admit(movable("a", ["one"]))
        const old = yield* claimOne()
        yield* admit(admission(found("a", 2), [target("two")]))
        expect(yield* conclude(failedNow(old, "DEAD"))).toEqual(nothing)
      }))

    test("moves a file when the last delivery that might have gone on is cancelled", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(movable("a", ["one", "two"]))
        const one = yield* claimOne("one")
        const two = yield* claimOne("two")
        yield* conclude(failedNow(one, "DEAD"), failedNow(two, "RETRY_WAIT", { due: 9e15 }))
        expect(yield* disposals).toEqual([])
        yield* journal.cancel([two.id])
        expect((yield* disposals).map(({ because }) => because)).toEqual(["dead"])
      }))

    test("reads a dead file where it was moved to, and takes a file at its old path for a new one", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const [dead] = yield* ended("a", { one: "DEAD" })
        if (!dead) throw new Error("nothing ended")
        // it is on its way: not now
        expect(yield* journal.replay("all")).toEqual([])
        expect(yield* journal.replay([dead.id])).toEqual([])
        yield* journal.moved(dead.generation.id, {
          ...place("x/a"),
          path: RelPath.fromBytes(Uint8Array.from([0x78, 0xfe])),
          marker: RelPath.make("x.done")
        })
        expect(yield* disposals).toEqual([])
        // also one with the very same stamp
        expect(yield* journal.unknown("/inbox", "rules", [found("a")])).toEqual([found("a")])
        yield* admit(admission(found("a"), [target("two")]))
        expect((yield* get(dead.id)).state).toBe("DEAD")

        expect((yield* journal.replay([dead.id])).map(({ id }) => id)).toEqual([dead.id])
        const again = yield* claimOne()
        expect(again.generation).toEqual({
          ...dead.generation,
          source: "/dead",
          path: RelPath.fromBytes(Uint8Array.from([0x78, 0xfe])),
          stamp: "moved:x/a",
          marker: "x.done"
        })
        expect((yield* judged(dead.id)).origin).toEqual({ source: "/inbox", path: "a" })
        // dead again it stays
        expect(yield* conclude(failedNow(again, "DEAD"))).toEqual(nothing)
        yield* journal.replay([dead.id])
        expect(yield* conclude(deliveredNow(yield* claimOne()))).toEqual(nothing)
      }))

    test("disposes of a dead file that was moved, once it is delivered after all", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* admit(
          admission(found("a"), [target()], { _tag: "Archive", template: "/archive/{relpath}" }, "/inbox", move)
        )
        const dead = yield* claimOne()
        yield* conclude(failedNow(dead, "DEAD"))
        yield* journal.moved(dead.generation.id, place("a (1)"))
        yield* journal.replay("all")
        const again = yield* claimOne()
        expect((yield* conclude(deliveredNow(again))).dispose).toEqual([again.generation])
        expect(yield* disposals).toEqual([
          {
            generation: { ...dead.generation, source: "/dead", path: "a (1)", stamp: "moved:a (1)" },
            because: "done",
            origin: { source: "/inbox", path: "a" },
            facts: null,
            since: 0
          }
        ])
      }))

    test("leaves a file to whoever found it where it was moved to", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const [dead] = yield* ended("a", { one: "DEAD" })
        if (!dead) throw new Error("nothing ended")
        const here = place("a")
        yield* admit(admission(found("a", 1, { stamp: here.stamp }), [target("two")], undefined, "/dead"))
        yield* journal.moved(dead.generation.id, here)
        expect(yield* disposals).toEqual([])
        expect((yield* claimOne("two")).generation.source).toBe("/dead")
        expect((yield* get(dead.id)).generation.source).toBe("/inbox")
        // of what is not there nothing comes
        yield* journal.moved(dead.generation.id, place("elsewhere"))
      }))

    test("says what is known of a file that goes by a template, and only of such a one", () =>
      Effect.gen(function* () {
        const archive = { _tag: "Archive", template: "/archive/{mime}" } as const
        const known = { placements: [placement("x"), placement("y", { facts, target: target("two") })] }
        yield* admit(
          admission(found("a"), [], archive, "/inbox", known),
          admission(found("b"), [target()], archive),
          admission(found("c"), [], { _tag: "Delete" }, "/inbox", { placements: [placement("c", { facts })] })
        )
        const all = [...(yield* claim()), yield* claimOne("two")]
        const hash = (one: Delivery): Conclusion => {
          const conclusion = deliveredNow(one)
          if (conclusion._tag !== "Delivered") throw new Error("not delivered")
          return { ...conclusion, receipt: { ...conclusion.receipt, sha256: `of ${one.name}` } }
        }
        yield* conclude(...all.map(hash))
        const told = new Map((yield* disposals).map((one) => [one.generation.path, one.facts]))
        // the hash of a receipt came first
        expect(told.get(RelPath.make("a"))).toEqual({ ...facts, sha256: "of x" })
        expect(told.get(RelPath.make("b"))).toEqual({ ...noFacts, sha256: "of b" })
        expect(told.get(RelPath.make("c"))).toBeNull()
      }))

    test("remembers archived files until their time is over", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const odd = RelPath.fromBytes(Uint8Array.from([0x2f, 0xff, 0x5c, 0x0a]))
        yield* admit(...["a", "b", "c"].map((path) => admission(found(path))))
        const [a, b, c] = yield* claim()
        if (!a || !b || !c) throw new Error("nothing claimed")
        const [first, second, third] = [a.generation.id, b.generation.id, c.generation.id]
        expect(yield* journal.expired(1e15, 10)).toEqual([])
        yield* journal.archived(first, "/archive/a", "inode 1", 3000)
        yield* journal.archived(second, odd, `{"path":"${odd}"}`, 2000)
        yield* journal.archived(third, "/archive/c", "inode 3", 9000)
        expect(yield* journal.expired(1999, 10)).toEqual([])
        expect(yield* journal.expired(3000, 10)).toEqual([
          { id: second, path: odd, identity: `{"path":"${odd}"}`, until: 2000 },
          { id: first, path: "/archive/a", identity: "inode 1", until: 3000 }
        ])
        expect((yield* journal.expired(9000, 1)).map(({ id }) => id)).toEqual([second])
        // the process may have died in the middle of it
        yield* journal.archived(second, odd, "other", 4000)
        expect((yield* journal.expired(9000, 10)).map(({ identity }) => identity)).toEqual([
          "inode 1",
          "other",
          "inode 3"
        ])
        yield* journal.expunged([first, third])
        yield* journal.expunged([])
        expect((yield* journal.expired(9000, 10)).map(({ id }) => id)).toEqual([second])
      }))

    test("counts the files of each route, with the files", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const counted = (path: string, counters: Readonly<Record<string, number>>) =>
          admission(found(path), [target()], undefined, undefined, { counters })
        expect(yield* journal.counters).toEqual(new Map())
        yield* admit(counted("a", { photos: 1, "a route's": 1 }), counted("b", { photos: 2 }), admission(found("c")))
        // what another source was given earlier may come later
        yield* admit(counted("d", { photos: 4 }))
        yield* admit(counted("e", { photos: 3, __proto__x: 8 }))
        expect(yield* journal.counters).toEqual(
          new Map([
            ["photos", 4],
            ["a route's", 1],
            ["__proto__x", 8]
          ])
        )
      }))

    test("knows by which rules, and on which facts, a delivery came to be", () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(7000)
        const journal = yield* Journal
        const deliveries = yield* Deliveries
        yield* journal.ruleset("rules", `{"of":"old"}`)
        yield* admit(
          admission(found("a"), [], undefined, undefined, {
            placements: [placement("a"), placement("x", { facts, route: "pictures", target: target("two") })]
          })
        )
        yield* journal.ruleset("newer", `{"of":"new"}`)
        yield* journal.ruleset("newer", `{"of":"new"}`)
        yield* journal.admit("newer", [admission(found("b"))])
        yield* journal.admit("unheard of", [admission(found("c"))])
        yield* TestClock.setTime(9000)
        const [a, b, c] = yield* claim()
        if (!a || !b || !c) throw new Error("nothing claimed")
        const why = yield* judged(a.id)
        expect(why).toMatchObject({
          generation: a.generation,
          origin: { source: "/inbox", path: "a" },
          at: 7000,
          ruleset: "rules",
          rules: `{"of":"old"}`
        })
        expect(why.deliveries.map((one) => [one.route, one.name, one.facts])).toEqual([
          ["route-0", "a", null],
          ["pictures", "x", facts]
        ])
        expect(yield* judged(b.id)).toMatchObject({ ruleset: "newer", rules: `{"of":"new"}` })
        expect(yield* judged(c.id)).toMatchObject({ ruleset: "unheard of", rules: null })
        expect(Option.isNone(yield* deliveries.judged(DeliveryId.make(999)))).toBe(true)
      }))

    test("routes what was given up anew, and leaves what it has", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* journal.ruleset("rules", "old")
        const all = yield* ended(
          "a",
          { one: "DEAD", two: "DELIVERED", three: "SKIPPED", four: "AMBIGUOUS", five: "CANCELLED", six: "SENDING" },
          { after: { _tag: "Delete" } }
        )
        const [dead, delivered, skipped, ambiguous, cancelled, sending] = all
        if (!dead || !delivered || !skipped || !ambiguous || !cancelled || !sending) throw new Error("nothing ended")
        yield* journal.note(dead.id, "upload 1")
        yield* journal.ruleset("new", "new")
        const again = yield* journal.reroute("new", [
          {
            generation: dead.generation.id,
            placements: [
              placement("a", { target: target("seven"), priority: 3, facts }),
              // it is there already, or on its way there
              placement("a", { target: target("two") }),
              placement("a", { target: target("six") }),
              // there it was given up
              placement("a", { target: target("one"), route: "other" }),
              placement("a", { target: target("one"), route: "twice" })
            ],
            counters: { photos: 5 }
          }
        ])
        expect(again.map(({ lane }) => lane)).toEqual(["memory://seven", "memory://one"])
        const first = again[0]?.id ?? dead.id
        for (const { id } of [dead, skipped, ambiguous, cancelled]) {
          expect(yield* get(id)).toMatchObject({ state: "CANCELLED", reason: `routed anew as delivery ${first}` })
        }
        expect((yield* get(delivered.id)).state).toBe("DELIVERED")
        expect((yield* get(sending.id)).state).toBe("SENDING")
        expect(yield* journal.counters).toEqual(new Map([["photos", 5]]))
        // what it had begun at the target is cleared away as ever
        expect((yield* journal.litter("memory://one", 10)).map(({ id }) => id)).toEqual([dead.id])
        // it can't come back beside what goes instead of it
        expect(yield* journal.replay("all")).toEqual([])
        expect(
          yield* journal.reroute("new", [{ generation: dead.generation.id, placements: [placement("z")] }])
        ).toEqual([])

        expect(yield* judged(dead.id)).toMatchObject({ ruleset: "rules", rules: "old" })
        const why = yield* judged(first)
        expect(why).toMatchObject({ ruleset: "new", rules: "new" })
        expect(why.deliveries.map(({ id }) => id)).toEqual(again.map(({ id }) => id))

        const seventh = yield* claimOne("seven")
        expect(seventh).toMatchObject({ id: first, sole: false, priority: 3, facts, generation: dead.generation })
        expect(yield* conclude(deliveredNow(seventh), deliveredNow(sending))).toEqual(nothing)
        // and then all is done
        expect((yield* conclude(deliveredNow(yield* claimOne("one")))).dispose).toEqual([dead.generation])
      }))

    test("routes nothing anew that has nothing to bring back, goes nowhere, or is not there", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const [delivered] = yield* ended("delivered", { one: "DELIVERED" })
        const [nowhere] = yield* ended("nowhere", { one: "DEAD" }, { onDead: { _tag: "Keep" } })
        const [there] = yield* ended("there", { one: "DEAD", two: "DELIVERED" }, { onDead: { _tag: "Keep" } })
        const [replaced] = yield* ended("replaced", { one: "DEAD" }, { onDead: { _tag: "Keep" } })
        const [moving] = yield* ended("moving", { one: "DEAD" })
        if (!delivered || !nowhere || !there || !replaced || !moving) throw new Error("nothing ended")
        yield* admit(admission(found("replaced", 2), [target("two")]))
        const everywhere = [delivered, replaced, moving].map(({ generation }) => ({
          generation: generation.id,
          placements: [placement("x", { target: target("nine") })]
        }))
        expect(
          yield* journal.reroute("new", [
            ...everywhere,
            { generation: nowhere.generation.id, placements: [] },
            { generation: there.generation.id, placements: [placement("there", { target: target("two") })] }
          ])
        ).toEqual([])
        for (const one of [nowhere, there, replaced, moving]) expect((yield* get(one.id)).state).toBe("DEAD")
        expect(yield* journal.reroute("new", [])).toEqual([])
      }))

    test("lists what it has judged, page by page, newest first", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const known = found("a", 1, { size: 5, mtime: 1.5, born: 2.5 })
        yield* admit(
          admission(known, [], undefined, undefined, {
            placements: [placement("x", { facts }), placement("y", { target: target("two"), route: "second" })]
          }),
          admission(found("unwanted"), []),
          admission(found("replaced"))
        )
        yield* admit(admission(found("replaced", 2)))
        const [moved] = yield* ended("moved", { three: "DEAD" })
        if (!moved) throw new Error("nothing ended")
        yield* journal.moved(moved.generation.id, place("there"))
        const [dead] = yield* ended("dead", { four: "DEAD" }, { onDead: { _tag: "Keep" } })
        if (!dead) throw new Error("nothing ended")
        yield* journal.reroute("new", [
          { generation: dead.generation.id, placements: [placement("dead", { target: target("five") })] }
        ])

        const first = yield* routed(undefined, 3)
        expect(first.map(({ path, size, source }) => [source, path, size])).toEqual([
          ["/inbox", "dead", 101],
          ["/inbox", "moved", 101],
          ["/inbox", "replaced", 102]
        ])
        expect(first[0]?.deliveries.map((one) => [one.target.host, one.state])).toEqual([["five", "PENDING"]])
        const rest = yield* routed(first[2]?.id)
        expect(rest.map(({ deliveries, path }) => [path, deliveries.length])).toEqual([
          ["unwanted", 0],
          ["a", 2]
        ])
        expect(rest[1]).toMatchObject({ size: 5, mtime: 1.5, born: 2.5, ruleset: "rules" })
        expect(rest[1]?.deliveries).toMatchObject([
          { route: "route-0", target: target(), name: "x", state: "PENDING", facts },
          { route: "second", target: target("two"), name: "y", state: "PENDING", facts: null }
        ])
        expect(yield* routed(rest[1]?.id)).toEqual([])
      }))

    test("forgets moved files, and rules by which nothing was judged that is left", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* TestClock.setTime(1000)
        const text = (id: number) => Effect.map(judged(id), ({ rules }) => rules)
        yield* journal.ruleset("rules", "old")
        const [moved] = yield* ended("moved", { one: "DEAD" })
        if (!moved) throw new Error("nothing ended")
        yield* journal.moved(moved.generation.id, place("there"))
        yield* journal.archived(moved.generation.id, "/archive/x", "x", 2000)
        yield* journal.ruleset("middle", "middle")
        yield* journal.admit("middle", [admission(found("kept"))])
        yield* journal.ruleset("brief", "brief")
        yield* journal.ruleset("later", "later")
        // admitted by rules that have ended to hold meanwhile
        yield* journal.admit("brief", [admission(found("late"))])
        const [kept, late] = yield* claim()
        if (!kept || !late) throw new Error("nothing claimed")
        yield* conclude(failedNow(kept, "DEAD"))
        yield* journal.reroute("by hand", [
          { generation: kept.generation.id, placements: [placement("x", { target: target("two") })] }
        ])
        yield* journal.ruleset("by hand", "hand")
        yield* journal.ruleset("later", "later")
        expect(yield* text(moved.id)).toBe("old")

        yield* TestClock.setTime(5000)
        expect(yield* journal.prune(1000)).toBe(0)
        expect(yield* journal.prune(4000)).toBe(1)
        // what is to be removed from the archive later is known still
        expect((yield* journal.expired(9000, 10)).length).toBe(1)
        expect(yield* text(kept.id)).toBe("middle")
        expect(yield* text(late.id)).toBe("brief")
        expect(yield* text((yield* claimOne("two")).id)).toBe("hand")
        // those of the moved file are gone, those that hold are there
        yield* journal.admit("rules", [admission(found("x"), [target("three")])])
        yield* journal.admit("later", [admission(found("y"), [target("three")])])
        const [x, y] = yield* claim("memory://three")
        expect(yield* text(x?.id ?? 0)).toBeNull()
        expect(yield* text(y?.id ?? 0)).toBe("later")
      }))
  })
}
