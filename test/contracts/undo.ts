/**
 * What every journal promises of files that are put back. Run over each implementation by test/store/undo.test.ts.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Layer, Option, TestClock } from "effect"
import { DeliveryId, type Delivery } from "../../src/domain/Delivery.ts"
import { Stamp, type Found } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { Deliveries } from "../../src/store/Deliveries.ts"
import { Journal, type Admission } from "../../src/store/Journal.ts"
import { LogRepo } from "../../src/store/LogRepo.ts"
import { UndoRepo } from "../../src/store/UndoRepo.ts"
import { admission, deliveredNow, failedNow, found, target } from "./journal.ts"

type Services = Journal | LogRepo | Deliveries | UndoRepo

export const undoContract = (name: string, layer: Layer.Layer<Services, unknown>) => {
  const test = (title: string, body: () => Effect.Effect<void, unknown, Services>) =>
    it.effect(title, () => Effect.provide(body(), layer))

  const claim = Effect.flatMap(Journal, (journal) => journal.claim("memory://one", 100, 0))
  const get = (id: number) =>
    Effect.flatMap(Deliveries, (deliveries) => Effect.flatten(deliveries.get(DeliveryId.make(id))))
  const find = (id: number) => Effect.flatMap(UndoRepo, (repo) => Effect.flatten(repo.find(DeliveryId.make(id))))
  const isUnknown = (file: Found) =>
    Effect.flatMap(Journal, (journal) =>
      Effect.map(journal.unknown("/inbox", "rules", [file]), (unknown) => unknown.length === 1)
    )

  /** A file that was delivered and taken away from its source. */
  const away = (path: string, fields: Partial<Admission> = {}) =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.admit("rules", [admission(found(path), [target()], { _tag: "Delete" }, "/inbox", fields)])
      const [delivery] = yield* claim
      if (!delivery) throw new Error("nothing claimed")
      const { dispose } = yield* journal.conclude([deliveredNow(delivery)])
      yield* journal.disposed(dispose.map(({ id }) => ({ id, note: null })))
      return delivery
    })

  const stamp = Stamp.make("1:7:101:1000:5000")
  const begin = ({ generation }: Delivery, at: Stamp = stamp) =>
    Effect.flatMap(UndoRepo, (repo) =>
      repo.begin(generation.id, { source: generation.source, path: generation.path, stamp: at }, "the intent")
    )
  const end = ({ generation, id }: Delivery, at: Stamp | null = stamp, taken = [id]) =>
    Effect.flatMap(UndoRepo, (repo) =>
      repo.end(generation.id, { stamp: at, marker: null, taken, reason: "undone: it was put back" })
    )
  /** The same file as a look found it. */
  const seen = (path: string, of: string) => found(path, 1, { stamp: Stamp.make(of) })

  describe(`files that are put back, in a journal ${name}`, () => {
    test("are known from before they are touched until they change", () =>
      Effect.gen(function* () {
        const delivery = yield* away("a")
        // as it will be found, which nobody knows yet
        const [before, copy] = [seen("a", "1:7:101:1000:4000"), seen("a", "2:9:101:999:7000")]
        expect(yield* isUnknown(before)).toBe(true)
        expect(yield* begin(delivery)).toBe(true)
        expect([yield* isUnknown(before), yield* isUnknown(copy)]).toEqual([false, false])
        // another file that comes meanwhile
        expect(yield* isUnknown(seen("a", "1:7:102:1000:4000"))).toBe(true)
        expect(yield* isUnknown(seen("a", "1:7:101:99000:4000"))).toBe(true)
        expect(yield* isUnknown(seen("b", "1:7:101:1000:4000"))).toBe(true)
        yield* end(delivery)
        // as it is, as it was seen before its last rename, and after its disk was mounted again
        for (const of of [stamp, "1:7:101:1000:4999", "3:7:101:1000:5000"]) {
          expect(yield* isUnknown(seen("a", of)), of).toBe(false)
        }
        // touched, chmodded, written to, and replaced
        for (const of of ["1:7:101:1001:6000", "1:7:101:1000:5001", "1:7:102:1000:5000", "1:8:101:1000:5000"]) {
          expect(yield* isUnknown(seen("a", of)), of).toBe(true)
        }
      }))

    test("are not admitted by whoever had seen them before", () =>
      Effect.gen(function* () {
        const delivery = yield* away("a")
        const { admit } = yield* Journal
        yield* begin(delivery)
        const again = (of: string) => admit("rules", [admission(seen("a", of), [target()], { _tag: "Delete" })])
        expect(yield* again("1:7:101:1000:4000")).toEqual([])
        yield* end(delivery)
        expect(yield* again("1:7:101:1000:4000")).toEqual([])
        expect(yield* claim).toEqual([])
        expect(yield* again("1:7:101:1000:6000")).toEqual(["memory://one"])
        expect(yield* claim).toHaveLength(1)
        expect((yield* find(delivery.id)).state).toBe("REPLACED")
      }))

    test("have their deliveries cancelled, to be retried on purpose only", () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(Date.UTC(2026, 0, 16))
        const delivery = yield* away("a")
        const journal = yield* Journal
        yield* begin(delivery)
        expect(yield* journal.replay([delivery.id])).toEqual([])
        yield* end(delivery)
        const undone = yield* get(delivery.id)
        expect(undone).toMatchObject({
          state: "CANCELLED",
          reason: "undone: it was put back",
          receipt: null,
          undone: Date.UTC(2026, 0, 16)
        })
        expect(yield* journal.replay("all")).toEqual([])
        expect(yield* journal.replay([delivery.id])).toHaveLength(1)
        const [again] = yield* claim
        if (!again) throw new Error("nothing claimed")
        expect(again.generation.stamp).toBe(stamp)
        // and is taken away again
        expect((yield* journal.conclude([deliveredNow(again)])).dispose).toHaveLength(1)
        expect((yield* get(delivery.id)).undone).toBeUndefined()
        expect((yield* get(delivery.id)).receipt).not.toBe(null)
      }))

    test("are marked as such in the log", () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(Date.UTC(2026, 0, 15))
        const delivery = yield* away("a")
        yield* away("b")
        const undone = Effect.map(
          Effect.flatten((yield* LogRepo).query({ filter: {}, order: "-created", limit: 9 })),
          ({ entries }) => entries.filter((entry) => entry.undone !== undefined).map((entry) => entry.delivery)
        )
        expect(yield* undone).toEqual([])
        yield* begin(delivery)
        yield* end(delivery)
        expect(yield* undone).toEqual([delivery.id])
      }))

    test("are as they were, where it came to nothing", () =>
      Effect.gen(function* () {
        const delivery = yield* away("a")
        const repo = yield* UndoRepo
        const before = yield* find(delivery.id)
        expect(before).toMatchObject({ state: "DISPOSED", archived: null, deliveries: [{ id: delivery.id }] })
        yield* begin(delivery)
        expect(yield* repo.begun).toEqual([{ id: delivery.generation.id, intent: "the intent" }])
        expect(yield* begin(delivery)).toBe(false)
        yield* repo.rollBack(delivery.generation.id)
        expect(yield* repo.begun).toEqual([])
        expect(yield* find(delivery.id)).toEqual(before)
        expect(yield* isUnknown(seen("a", stamp))).toBe(true)
        // and neither is to be ended then
        yield* end(delivery)
        expect(yield* find(delivery.id)).toEqual(before)
      }))

    test("are taken for none where another file is there by then", () =>
      Effect.gen(function* () {
        const delivery = yield* away("a")
        yield* begin(delivery)
        yield* end(delivery, null, [])
        expect(yield* find(delivery.id)).toMatchObject({ state: "UNDONE", deliveries: [{ state: "DELIVERED" }] })
        expect(yield* isUnknown(seen("a", "1:8:103:9000:9000"))).toBe(true)
      }))

    test("are not those that are still owed, or kept", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const repo = yield* UndoRepo
        yield* journal.admit("rules", [admission(found("open")), admission(found("kept"))])
        const [open, kept] = yield* claim
        if (!open || !kept) throw new Error("nothing claimed")
        yield* journal.conclude([deliveredNow(kept)])
        expect([yield* begin(open), yield* begin(kept)]).toEqual([false, false])
        expect(yield* repo.last(9)).toEqual([])
        expect(Option.isNone(yield* repo.find(DeliveryId.make(999)))).toBe(true)
      }))

    test("of archives are known with their places, whatever those are called", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const path = RelPath.fromBytes(Uint8Array.from([0x2f, 0x61, 0xff, 0x0a]))
        yield* journal.admit("rules", [admission(found("a"), [target()], { _tag: "Archive", template: "/x" })])
        const [delivery] = yield* claim
        if (!delivery) throw new Error("nothing claimed")
        yield* journal.conclude([deliveredNow(delivery)])
        const archived = { path, stamp, marker: { path: `${path}.ok`, stamp } }
        yield* journal.archived(delivery.generation.id, path, "inode", 7)
        yield* journal.disposed([{ id: delivery.generation.id, note: null, archived }])
        expect((yield* find(delivery.id)).archived).toEqual(archived)
        yield* begin(delivery)
        yield* end(delivery)
        expect((yield* find(delivery.id)).archived).toBe(null)
        expect(yield* journal.expired(8, 9)).toEqual([])
      }))

    test("that were dead and moved are at their first place again, and are not moved twice", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const repo = yield* UndoRepo
        yield* journal.admit("rules", [
          admission(found("a"), [target()], undefined, "/inbox", {
            onDead: { _tag: "Move", template: "/dead/{name}" },
            marker: RelPath.make("a.ok")
          })
        ])
        const [delivery] = yield* claim
        if (!delivery) throw new Error("nothing claimed")
        yield* journal.conclude([failedNow(delivery, "DEAD")])
        const place = { source: "/dead", path: RelPath.make("a"), stamp: Stamp.make("1:7:101:1000:1"), marker: null }
        yield* journal.moved(delivery.generation.id, place)
        expect(yield* repo.last(1)).toEqual([delivery.id])
        const fate = yield* find(delivery.id)
        expect([fate.state, fate.origin]).toEqual(["MOVED", { source: "/inbox", path: "a" }])
        yield* begin(delivery)
        yield* end(delivery, stamp, [])
        expect(yield* isUnknown(seen("a", stamp))).toBe(false)
        expect(yield* journal.replay("all")).toHaveLength(1)
        const [again] = yield* claim
        if (!again) throw new Error("nothing claimed")
        expect(again.generation).toMatchObject({ source: "/inbox", path: "a", stamp })
        expect((yield* journal.conclude([failedNow(again, "DEAD")])).dead).toEqual([])
      }))

    test("last are those that went last", () =>
      Effect.gen(function* () {
        const repo = yield* UndoRepo
        const all: Array<DeliveryId> = []
        for (const [index, path] of ["a", "b", "c"].entries()) {
          yield* TestClock.setTime(1_000_000 * (index + 1))
          all.push((yield* away(path)).id)
        }
        expect(yield* repo.last(2)).toEqual([all[2], all[1]])
        expect(yield* repo.last(9)).toEqual(all.toReversed())
        const third = yield* get(all[2] ?? 0)
        yield* begin(third)
        yield* end(third)
        expect(yield* repo.last(1)).toEqual([all[1]])
      }))

    test("are forgotten once they are gone for long", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const delivery = yield* away("a")
        yield* begin(delivery)
        yield* end(delivery)
        expect(yield* journal.prune(1e15)).toBe(0)
        expect((yield* journal.aged(1e15, 0)).generations.map(({ id }) => id)).toEqual([delivery.generation.id])
        yield* journal.disposed([{ id: delivery.generation.id, note: null }])
        expect(yield* (yield* UndoRepo).last(9)).toEqual([])
      }))
  })
}
