import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, SubscriptionRef, TestClock } from "effect"
import { randomBytes } from "node:crypto"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as CurrentSettings from "../../src/config/CurrentSettings.ts"
import * as Bandwidth from "../../src/deliver/Bandwidth.ts"
import { DeliveryId, type Delivery } from "../../src/domain/Delivery.ts"
import { GenerationId, Stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { noSecrets, type Bandwidth as Limit, type Route, type Settings } from "../../src/domain/Settings.ts"
import type { Target } from "../../src/domain/Target.ts"
import type { Files } from "../../src/files/Files.ts"
import * as FilesDirect from "../../src/files/FilesDirect.ts"
import * as FilesWorker from "../../src/files/FilesWorker.ts"
import { findWorker } from "../../src/files/workerUrl.ts"
import { breath, elapse, folder, inMemory, settingsOf, start } from "../TestApp.ts"

const KiB = 1024
const MiB = 1024 * 1024

const limited = (...targets: ReadonlyArray<readonly [Target, Partial<Limit>]>): Route => ({
  name: "all",
  extensions: undefined,
  rules: [],
  otherwise: false,
  priority: 0,
  order: "arrival",
  targets: targets.map(([target, limit]) => ({
    target,
    secrets: noSecrets,
    bandwidth: { target: null, lane: null, ...limit },
    rename: "{relpath}"
  }))
})

const deliveryTo = (target: Target, size = 10 * MiB): Delivery => ({
  id: DeliveryId.make(1),
  generation: {
    id: GenerationId.make(1),
    source: "/in",
    path: RelPath.make("a"),
    stamp: Stamp.make(`1:2:${size}:4:5`),
    size,
    mtime: 0,
    born: 0,
    after: { _tag: "Keep" },
    onDead: null,
    marker: null
  },
  route: "all",
  target,
  name: RelPath.make("a"),
  priority: 0,
  facts: null,
  state: "SENDING",
  attempts: 0,
  due: null,
  reason: null,
  chosen: null,
  resume: null,
  sole: false,
  interrupted: false,
  receipt: null,
  created: 0,
  updated: 0
})

const make = (...routes: ReadonlyArray<Route>) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(CurrentSettings.layer(settingsOf("/nowhere", { routes })))
    const bandwidth = yield* Effect.provide(Bandwidth.make, context)
    const settings = yield* Effect.provide(CurrentSettings.CurrentSettings, context)
    const change = (...next: ReadonlyArray<Route>) =>
      SubscriptionRef.update(settings, (now): Settings => ({ ...now, routes: next }))
    return { bandwidth, change }
  })

type Made = Effect.Effect.Success<ReturnType<typeof make>>

/** An upload without an end; `sent` is what has gone out so far. */
const upload = ({ bandwidth }: Pick<Made, "bandwidth">, target: Target) => {
  const state = { sent: 0, ended: false, held: 0 }
  const pace = bandwidth.pace(deliveryTo(target), {
    ended: () => state.ended,
    held: (held) => {
      state.held += held ? 1 : -1
    }
  })
  if (pace === undefined) throw new Error("no pace")
  const go = async () => {
    while (!state.ended) {
      const bytes = Math.min(256 * KiB, pace.chunk())
      await pace.wait(bytes)
      if (!state.ended) state.sent += bytes
      // without a limit it would go on for ever
      if (state.sent > 1000 * MiB) return
    }
  }
  void go()
  return state
}

const seconds = (count: number) =>
  Effect.repeatN(
    Effect.zipRight(
      TestClock.adjust(250),
      Effect.promise(() => new Promise(setImmediate))
    ),
    count * 4 - 1
  )

describe("the bandwidth", () => {
  for (const rate of [KiB, 100 * KiB, MiB, 10 * MiB]) {
    it.scoped(`of a target is ${rate} bytes a second, and hardly ever more`, () =>
      Effect.gen(function* () {
        const made = yield* make(limited([inMemory("one"), { target: rate }]))
        const state = upload(made, inMemory("one"))
        let before = 0
        for (let second = 0; second < 10; second++) {
          yield* seconds(1)
          expect(state.sent - before).toBeLessThanOrEqual(rate * 1.25 + KiB)
          before = state.sent
        }
        expect(state.sent).toBeGreaterThanOrEqual(rate * 9)
        expect(state.sent).toBeLessThanOrEqual(rate * 10.25 + KiB)
        expect(state.held).toBe(1)
        state.ended = true
      })
    )
  }

  it.scoped("is saved up for a quarter of a second at most", () =>
    Effect.gen(function* () {
      const { bandwidth } = yield* make(limited([inMemory("one"), { target: MiB }]))
      const pace = bandwidth.pace(deliveryTo(inMemory("one")), { ended: () => false, held: () => undefined })
      yield* TestClock.adjust("1 hour")
      let sent = 0
      const go = async () => {
        while (sent < 100 * MiB) {
          await pace?.wait(64 * KiB)
          sent += 64 * KiB
        }
      }
      void go()
      yield* Effect.promise(() => new Promise(setImmediate))
      expect(sent).toBeLessThanOrEqual(256 * KiB)
      expect(sent).toBeGreaterThan(0)
    })
  )

  it.scoped("is shared evenly by the uploads to a target, and by the targets of a lane", () =>
    Effect.gen(function* () {
      const [a, b] = [inMemory("one", "a"), inMemory("one", "b")]
      const made = yield* make(limited([a, { target: 800 * KiB, lane: MiB }], [b, { lane: 2 * MiB }]))
      const [first, second] = [upload(made, a), upload(made, a)]
      yield* seconds(4)
      expect(Math.abs(first.sent - second.sent)).toBeLessThanOrEqual(256 * KiB)
      expect(first.sent + second.sent).toBeLessThanOrEqual(3400 * KiB)
      // the smallest of a lane's limits counts, for all of them together
      const before = first.sent + second.sent
      const other = upload(made, b)
      yield* seconds(8)
      const all = first.sent + second.sent - before + other.sent
      expect(all).toBeLessThanOrEqual(8.5 * MiB)
      expect(all).toBeGreaterThanOrEqual(7.5 * MiB)
      expect(other.sent).toBeGreaterThan(2 * MiB)
      for (const state of [first, second, other]) state.ended = true
    })
  )

  it.scoped("changes for what is under way within a second", () =>
    Effect.gen(function* () {
      const made = yield* make(limited([inMemory("one"), { target: KiB }]))
      const state = upload(made, inMemory("one"))
      yield* seconds(3)
      expect(state.sent).toBeLessThanOrEqual(4 * KiB)
      yield* made.change(limited([inMemory("one"), { target: MiB }]))
      yield* seconds(5)
      expect(state.sent).toBeGreaterThanOrEqual(4 * MiB)
      yield* made.change(limited([inMemory("one"), { target: 10 * KiB }]))
      yield* seconds(1)
      const before = state.sent
      yield* seconds(10)
      expect(state.sent - before).toBeLessThanOrEqual(110 * KiB)
      expect(state.sent - before).toBeGreaterThanOrEqual(60 * KiB)
      yield* made.change(limited([inMemory("one"), {}]))
      yield* seconds(1)
      expect(state.sent).toBeGreaterThan(1000 * MiB)
      state.ended = true
    })
  )

  it.scoped("is not kept back by an upload that has ended", () =>
    Effect.gen(function* () {
      const made = yield* make(limited([inMemory("one"), { target: 100 * KiB }]))
      const cancelled = Array.from({ length: 50 }, () => upload(made, inMemory("one")))
      yield* Effect.promise(() => new Promise(setImmediate))
      for (const one of cancelled) one.ended = true
      const state = upload(made, inMemory("one"))
      yield* seconds(2)
      expect(state.sent).toBeGreaterThanOrEqual(150 * KiB)
      state.ended = true
    })
  )

  it.scoped("costs a small file nothing where there is no limit", () =>
    Effect.gen(function* () {
      const { bandwidth } = yield* make(limited([inMemory("one"), {}], [inMemory("two"), { target: MiB }]))
      const watcher = { ended: () => false, held: () => undefined }
      expect(bandwidth.pace(deliveryTo(inMemory("one"), KiB), watcher)).toBeUndefined()
      expect(bandwidth.limits(deliveryTo(inMemory("one")))).toBe(false)
      expect(bandwidth.pace(deliveryTo(inMemory("two"), KiB), watcher)?.chunk()).toBe(256 * KiB)
      expect(bandwidth.limits(deliveryTo(inMemory("two"), KiB))).toBe(true)
      // what is no longer in the config has no limit
      expect(bandwidth.limits(deliveryTo(inMemory("three")))).toBe(false)
      // a limit may come while a long one is sent
      expect(bandwidth.pace(deliveryTo(inMemory("one")), watcher)?.chunk()).toBe(Infinity)
    })
  )
})

describe("2 MiB at 1 MiB a second", () => {
  const content = randomBytes(2 * MiB)
  const outbox = Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "filedispatch-bandwidth-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const local = (name: string, files: Layer.Layer<Files>) => {
    it.scopedLive.skipIf(name === "in worker threads" && findWorker("files/worker") === undefined)(
      `take two seconds to a local folder, ${name}`,
      () =>
        Effect.gen(function* () {
          const out = yield* outbox
          const app = yield* start({
            source: { settle: 0 },
            files,
            routes: [limited([folder(out), { target: MiB }])]
          })
          writeFileSync(join(app.inbox, "a"), content)
          const begun = Date.now()
          yield* app.hint("a")
          while ((yield* app.logs).length === 0) yield* breath
          const took = Date.now() - begun
          expect(took).toBeGreaterThanOrEqual(1700)
          expect(took).toBeLessThanOrEqual(4500)
          expect(readFileSync(join(out, "a")).equals(content)).toBe(true)
          expect(readdirSync(out)).toEqual(["a"])
          expect((yield* app.logs)[0]).toMatchObject({ status: "SUCCEEDED", byte_size: 2 * MiB, verified: "size" })
          expect((yield* app.logs)[0]?.sha256).toHaveLength(64)
        }),
      20_000
    )
  }
  local("on the calling thread", FilesDirect.layer)
  local("in worker threads", FilesWorker.layer)

  it.scoped("take two seconds to any other destination, and 64 small files as well", () =>
    Effect.gen(function* () {
      const app = yield* start({
        source: { settle: 0 },
        routes: [limited([inMemory("one", "in", { concurrency: 8 }), { lane: MiB }])]
      })
      yield* app.write("a", content.toString("latin1").slice(0, MiB))
      const size = Buffer.byteLength(content.toString("latin1").slice(0, MiB))
      const took = yield* elapse(
        Effect.map(app.logs, (logs) => logs.length === 1),
        "it is delivered",
        { step: 50 }
      )
      const expected = (size / MiB) * 1000
      expect(took).toBeGreaterThanOrEqual(expected * 0.85)
      expect(took).toBeLessThanOrEqual(expected * 1.6)
      for (let index = 0; index < 64; index++) yield* app.write(`s${index}`, "x".repeat(32 * KiB))
      const second = yield* elapse(
        Effect.map(app.logs, (logs) => logs.length === 65),
        "they are delivered",
        { step: 50 }
      )
      expect(second).toBeGreaterThanOrEqual(1600)
      expect(second).toBeLessThanOrEqual(3500)
    })
  )
})

it.scoped("an upload that a limit holds back for longer than the time-out is not taken for a stalled one", () =>
  Effect.gen(function* () {
    // with 16 of them, each gets a chunk of 1 KiB every 16 seconds
    const app = yield* start({
      source: { settle: 0 },
      routes: [limited([inMemory("one", "in", { concurrency: 16, timeout: 2000 }), { target: KiB }])]
    })
    for (let index = 0; index < 16; index++) yield* app.write(`f${index}`, "x".repeat(3 * KiB))
    yield* elapse(
      Effect.map(app.logs, (logs) => logs.length === 16),
      "all are delivered",
      { step: 250 }
    )
    expect(app.memory.attempts.length).toBe(16)
  })
)
