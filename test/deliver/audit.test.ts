/**
 * Receipts held against destinations that answer, fail, hang, or are not there.
 */
import { describe, expect, it } from "@effect/vitest"
import { Array as Arr, Effect, Fiber, Layer, Option, Stream, TestClock } from "effect"
import * as Audit from "../../src/deliver/Audit.ts"
import * as Destination from "../../src/deliver/Destination.ts"
import * as Memory from "../../src/deliver/destination/Memory.ts"
import type { Verdict } from "../../src/deliver/Examine.ts"
import { DeliveryId } from "../../src/domain/Delivery.ts"
import { LaneDownError, PermanentError, TransientError, type DeliveryError } from "../../src/domain/DeliveryError.ts"
import { GenerationId, Stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Target } from "../../src/domain/Target.ts"
import * as FileFactsLive from "../../src/files/FileFactsLive.ts"
import type { Delivered } from "../../src/store/Receipts.ts"
import { inMemory, route, settingsOf } from "../TestApp.ts"

const cause = Option.none()
const refused = new LaneDownError({ reason: "connection refused", cause })
const broken = new TransientError({ reason: "the connection broke", cause })
const denied = new PermanentError({ reason: "550 permission denied", cause })

let last = 0
const receiptFor = (target: Target, name = `${(last += 1)}.txt`): Delivered => ({
  id: DeliveryId.make((last += 1)),
  generation: {
    id: GenerationId.make(1),
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
  target,
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
  receipt: { bytes: 3, sha256: null, said: "stored", verified: "size", name: RelPath.make(name) },
  created: 0,
  updated: 0
})

/** A destination for the scheme that answers each question so. */
const answering = (
  scheme: string,
  examine: ((task: Destination.ExamineTask) => Effect.Effect<Destination.Examination, DeliveryError>) | undefined,
  examineAll?: Destination.Connection["examineAll"]
) => {
  const asked: Array<string> = []
  const { destination } = Memory.make({ scheme })
  const layer = Destination.layer(
    Effect.succeed({
      ...destination,
      open: (lane: string, options: Destination.OpenOptions) =>
        Effect.map(destination.open(lane, options), ({ deliver, recover }) => ({
          deliver,
          recover,
          ...(examineAll === undefined ? {} : { examineAll }),
          ...(examine === undefined
            ? {}
            : {
                examine: (task: Destination.ExamineTask) =>
                  Effect.zipRight(
                    Effect.sync(() => asked.push(task.receipt.name)),
                    examine(task)
                  )
              })
        }))
    })
  )
  return { asked, layer }
}

const present: Destination.Examination = { _tag: "File", size: 3, sha256: undefined }

const at = (target: Target, scheme: string): Target => ({
  ...target,
  scheme,
  url: target.url.replace("memory:", `${scheme}:`),
  lane: target.lane.replace("memory:", `${scheme}:`)
})

/** Asks about these, lane by lane; answers `status: reason`, by name. */
const audit = (
  receipts: ReadonlyArray<Delivered>,
  layers: ReadonlyArray<Layer.Layer<never, never, Destination.Destinations>>,
  targets: ReadonlyArray<Target> = receipts.map(({ target }) => target)
) =>
  Effect.gen(function* () {
    const found = new Map<string, Verdict>()
    const lanes = Object.entries(Arr.groupBy(receipts, ({ target }) => target.lane))
    yield* Audit.run({
      settings: settingsOf("/nowhere", { routes: [route("all", targets)] }),
      lanes: lanes.map(([lane, all]) => ({ lane, pages: Stream.fromIterable([all.slice(0, 2), all.slice(2)]) })),
      verify: "auto",
      found: ({ receipt }, verdict) => Effect.sync(() => void found.set(receipt.name, verdict))
    }).pipe(
      Effect.provide(
        Layer.mergeAll(Layer.empty, ...layers).pipe(
          Layer.provideMerge(Destination.layerRegistry),
          Layer.merge(FileFactsLive.layer)
        )
      )
    )
    expect(found.size).toBe(receipts.length)
    return receipts.map(({ receipt }) => found.get(receipt.name))
  })

const reasons = (verdicts: ReadonlyArray<Verdict | undefined>) =>
  verdicts.map((verdict) => (verdict?.status === "present" ? "present" : `${verdict?.status}: ${verdict?.reason}`))

/** Questions that are put together, by name, and how they are answered. */
const together = (answer: NonNullable<Destination.Connection["examineAll"]>["examine"]) => {
  const asked: Array<ReadonlyArray<string>> = []
  const examineAll: Destination.Connection["examineAll"] = {
    size: 2,
    accepts: ({ name }) => !name.startsWith("large"),
    examine: (tasks) =>
      Effect.suspend(() => {
        asked.push(tasks.map(({ receipt }) => receipt.name))
        return answer(tasks)
      })
  }
  return { asked, examineAll }
}

describe("an audit", () => {
  it.effect("says of each receipt what is there now", () =>
    Effect.gen(function* () {
      const answers = new Map<string, Destination.Examination>([
        ["same", present],
        ["short", { _tag: "File", size: 2, sha256: undefined }],
        ["lost", { _tag: "Nothing" }],
        ["folder", { _tag: "Other", what: "a folder" }],
        ["form", { _tag: "Unverifiable", reason: "A form." }],
        ["blind", { _tag: "File", size: null, sha256: undefined }]
      ])
      const { layer } = answering("memory", ({ receipt }) => Effect.succeed(answers.get(receipt.name) ?? present))
      const verdicts = yield* audit(
        Array.from(answers.keys(), (name) => receiptFor(inMemory("one"), name)),
        [layer]
      )
      expect(reasons(verdicts)).toEqual([
        "present",
        "changed: Its size is 2 bytes instead of 3.",
        "gone: There is nothing of that name.",
        "changed: There is a folder in its place.",
        "unverifiable: A form.",
        "unverifiable: It is there, and its size is not told. --hash reads it back."
      ])
    })
  )

  it.effect("asks a server that is down three times and no more, and the others all the same", () =>
    Effect.gen(function* () {
      const dead = answering("memory", () => Effect.fail(refused))
      const alive = answering("other", () => Effect.succeed(present))
      const there = at(inMemory("two"), "other")
      const receipts = Array.from({ length: 30 }, (_, index) => receiptFor(index % 2 === 0 ? inMemory("one") : there))
      const verdicts = yield* audit(
        receipts,
        [dead.layer, alive.layer],
        [inMemory("one", "in", { concurrency: 1 }), there]
      )
      expect(dead.asked).toHaveLength(3)
      expect(alive.asked).toHaveLength(15)
      expect(reasons(verdicts).filter((said) => said === "unknown: connection refused")).toHaveLength(15)
      expect(reasons(verdicts).filter((said) => said === "present")).toHaveLength(15)
    })
  )

  it.effect("asks once more, a moment later, where a connection broke", () =>
    Effect.gen(function* () {
      let first = true
      const { asked, layer } = answering("memory", () =>
        Effect.suspend(() => {
          const answer = first ? Effect.fail(broken) : Effect.succeed(present)
          first = false
          return answer
        })
      )
      const fiber = yield* Effect.fork(audit([receiptFor(inMemory("one"))], [layer]))
      yield* TestClock.adjust("999 millis")
      expect(asked).toHaveLength(1)
      yield* TestClock.adjust("1 millis")
      expect(reasons(yield* Fiber.join(fiber))).toEqual(["present"])
      expect(asked).toHaveLength(2)
    })
  )

  it.effect("goes on where one file is refused, and a server that has answered is given up later", () =>
    Effect.gen(function* () {
      const { asked, layer } = answering("memory", ({ receipt }) =>
        receipt.name === "first" ? Effect.succeed(present) : Effect.fail(receipt.name === "denied" ? denied : refused)
      )
      const one = inMemory("one", "in", { concurrency: 1 })
      const receipts = ["first", "denied", ...Array.from({ length: 40 }, (_, index) => `later ${index}`)]
      const verdicts = yield* audit(
        receipts.map((name) => receiptFor(one, name)),
        [layer]
      )
      expect(reasons(verdicts).slice(0, 3)).toEqual([
        "present",
        "unknown: 550 permission denied",
        "unknown: connection refused"
      ])
      expect(asked).toHaveLength(22)
    })
  )

  it.effect("gives up what hangs, but not what goes on", () =>
    Effect.gen(function* () {
      const { layer } = answering("memory", ({ progress, receipt }) =>
        receipt.name === "hangs"
          ? Effect.never
          : Effect.repeatN(
              Effect.zipRight(
                Effect.sleep("30 seconds"),
                Effect.sync(() => progress(1))
              ),
              9
            ).pipe(Effect.as(present))
      )
      const one = inMemory("one", "in", { timeout: 60_000 })
      const fiber = yield* Effect.fork(
        audit(
          ["hangs", "goes on"].map((name) => receiptFor(one, name)),
          [layer]
        )
      )
      yield* TestClock.adjust("10 minutes")
      expect(reasons(yield* Fiber.join(fiber))).toEqual([
        "unknown: memory://one/in gave no answer within 60 s. Check that it works.",
        "present"
      ])
    })
  )

  it.effect("asks several at once where it can, and by itself what is left", () =>
    Effect.gen(function* () {
      const several = together((tasks) =>
        Effect.succeed(
          tasks.map(({ receipt: { name } }) =>
            name === "denied" ? undefined : name === "lost" ? { _tag: "Nothing" } : present
          )
        )
      )
      const { asked, layer } = answering(
        "memory",
        ({ receipt: { name } }) => (name === "denied" ? Effect.fail(denied) : Effect.succeed(present)),
        several.examineAll
      )
      const one = inMemory("one", "in", { concurrency: 1 })
      // pages of two, and the rest
      const names = ["large", "a", "b", "large 2", "denied", "lost", "c"]
      const verdicts = yield* audit(
        names.map((name) => receiptFor(one, name)),
        [layer]
      )
      expect(reasons(verdicts)).toEqual([
        "present",
        "present",
        "present",
        "present",
        "unknown: 550 permission denied",
        "gone: There is nothing of that name.",
        "present"
      ])
      expect(several.asked).toEqual([
        ["b", "denied"],
        ["lost", "c"]
      ])
      expect(asked.toSorted()).toEqual(["a", "denied", "large", "large 2"])
    })
  )

  it.effect("asks each by itself where several at once hang or fail, and gives up where these do as well", () =>
    Effect.gen(function* () {
      const hanging = together(() => Effect.never)
      const faulty = together(() => Effect.dieMessage("oh"))
      const alive = answering("memory", () => Effect.succeed(present), hanging.examineAll)
      const dead = answering("other", () => Effect.never, hanging.examineAll)
      const odd = answering("odd", () => Effect.succeed(present), faulty.examineAll)
      const one = inMemory("one", "in", { timeout: 60_000, concurrency: 1 })
      const targets = [one, at(one, "other"), at(one, "odd")]
      const fiber = yield* Effect.fork(
        audit(
          targets.flatMap((target) => Array.from({ length: 6 }, () => receiptFor(target))),
          [alive.layer, dead.layer, odd.layer]
        )
      )
      yield* TestClock.adjust("1 hours")
      const said = reasons(yield* Fiber.join(fiber))
      const silent = "unknown: other://one/in gave no answer within 60 s. Check that it works."
      expect(said).toEqual([
        ...said.slice(0, 6).map(() => "present"),
        ...said.slice(0, 6).map(() => silent),
        ...said.slice(0, 6).map(() => "present")
      ])
      // twice each, and the first three only
      expect(dead.asked).toHaveLength(6)
    })
  )

  it.effect("says where the config has lost the password, and asks where none is needed", () =>
    Effect.gen(function* () {
      const { asked, layer } = answering("memory", () => Effect.succeed(present))
      const open = inMemory("open")
      const guarded: Target = { ...inMemory("guarded"), url: "memory://anna@guarded/in", username: "anna" }
      const verdicts = yield* audit([receiptFor(open), receiptFor(guarded)], [layer], [inMemory("another")])
      expect(reasons(verdicts)).toEqual([
        "present",
        expect.stringContaining("unknown: The config has no target memory://anna@guarded/in any more")
      ])
      expect(asked).toHaveLength(1)
    })
  )

  it.effect("says where nobody can look, and that a bug is one", () =>
    Effect.gen(function* () {
      const mute = answering("memory", undefined)
      const faulty = answering("other", () => Effect.dieMessage("oh"))
      const verdicts = yield* audit(
        [
          receiptFor(inMemory("one")),
          receiptFor(at(inMemory("two"), "other")),
          receiptFor(at(inMemory("three"), "none"))
        ],
        [mute.layer, faulty.layer]
      )
      expect(reasons(verdicts)).toEqual([
        "unverifiable: Nothing here can look at what a target of memory has.",
        expect.stringContaining("unknown: The question itself failed"),
        "unverifiable: Nothing here can look at what a target of none has."
      ])
    })
  )
})
