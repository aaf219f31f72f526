import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer, Ref, Scope } from "effect"
import { request } from "node:http"
import { inMemory, route } from "../TestApp.ts"
import * as Process from "../cli/process.ts"
import { call, lane, port, source, testServer, World } from "./testServer.ts"

const settings = {
  sources: [
    {
      name: "inbox",
      path: "/inbox",
      recursive: false,
      include: ["**"],
      exclude: [],
      settle: 1000,
      marker: null,
      minAge: 0,
      symlinks: "skip",
      watch: "auto",
      pollInterval: 2000,
      rescan: 300_000,
      after: { _tag: "Keep" },
      onDead: { _tag: "Keep" }
    }
  ],
  routes: [
    route("texts", [inMemory("one", "a"), inMemory("one", "b", { concurrency: 7 }), inMemory("two")]),
    { ...route("others", [inMemory("two")]), rules: [{ _tag: "Sources", sources: ["elsewhere"] }] }
  ]
} as const

/** Reads a stream of events until the scope is closed. */
const reader = (path: string) =>
  Effect.gen(function* () {
    const at = yield* port
    let text = ""
    let ended = false
    let type = ""
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        request({ host: "127.0.0.1", port: at, path, agent: false })
          .on("response", (response) => {
            type = response.headers["content-type"] ?? ""
            response.setEncoding("utf8")
            response.on("data", (chunk: string) => (text += chunk))
            response.on("end", () => (ended = true))
          })
          .on("error", () => (ended = true))
          .end()
      ),
      (opened) => Effect.sync(() => opened.destroy())
    )
    return {
      type: () => type,
      ended: () => ended,
      events: (): ReadonlyArray<Record<string, unknown>> =>
        Array.from(text.matchAll(/^event: now\ndata: (.*)\n\n/gm), ([, data = ""]) => JSON.parse(data))
    }
  })

const until = (condition: () => boolean, what: string) => Process.until(condition, () => what, 20)

describe("GET /now", () => {
  it.scopedLive("tells of sources, destinations, and all ways between them", () =>
    Effect.gen(function* () {
      const { counts, flows } = yield* World
      counts.push({ lane: "ftp://user@host:21", state: "PENDING", count: 12 })
      flows.push(
        { source: "/inbox", route: "texts", lane: "memory://two", delivered: 3, failed: 1, bytes: 30 },
        { source: "/inbox", route: "of an older config", lane: "memory://two", delivered: 1, failed: 0, bytes: 1 }
      )
      const { json, status } = yield* call("GET", "/api/v1/now")
      expect(status).toBe(200)
      expect(json).toMatchObject({
        time: expect.stringMatching(/^\d{4}-/),
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
        started: expect.stringMatching(/^\d{4}-/),
        concluded: 2,
        sources: [{ name: "inbox", paused: null, last_scan: "1970-01-01T00:00:05.000Z" }],
        destinations: [
          { lane: "memory://one", health: "up", concurrency: 7, limit: 7, sending: [], last_error: null, waiting: {} },
          { lane: "memory://two", concurrency: 2 },
          {
            lane: "ftp://user@host:21",
            bytes: 500,
            last_error: { time: "1970-01-01T00:00:08.000Z", file: "b", reason: "550 no", state: "RETRY_WAIT" },
            waiting: { PENDING: 12 }
          }
        ],
        config: { file: "/etc/filedispatch.yml", loaded: "1970-01-01T00:00:04.000Z", error: null, restart: [] }
      })
      expect(json).toHaveProperty("flows", [
        { source: "inbox", folder: "texts", lane: "memory://one", delivered: 0, failed: 0, bytes: 0 },
        { source: "inbox", folder: "texts", lane: "memory://two", delivered: 3, failed: 1, bytes: 30 }
      ])
    }).pipe(Effect.provide(testServer(settings)))
  )
})

describe("GET /live", () => {
  it.scopedLive("says it at once, and again when it has changed, once a second at most", () =>
    Effect.gen(function* () {
      const { lanes } = yield* World
      const { ended, events, type } = yield* reader("/api/v1/live")
      const began = Date.now()
      yield* until(() => events().length === 1, "the first")
      expect(type()).toContain("text/event-stream")
      expect(events()[0]).toMatchObject({ sources: [{ name: "inbox" }], destinations: [{ delivered: 5 }] })
      for (let delivered = 6; delivered < 60; delivered++) {
        yield* Ref.set(lanes, [{ ...lane, delivered }])
        yield* Effect.sleep(2)
      }
      yield* until(() => events().length === 2, "the second")
      expect(Date.now() - began).toBeGreaterThan(900)
      expect(events()[1]).toMatchObject({ destinations: [{ delivered: 59 }] })
      // the moment of the next probe wavers; that nothing else changed is no news
      for (const probe of [9_001, 8_999]) {
        yield* Ref.set(lanes, [{ ...lane, delivered: 59, probe }])
        yield* Effect.sleep(1100)
      }
      expect(events()).toHaveLength(2)
      expect(ended()).toBe(false)
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("looks once for all readers, counts with care, and does not look for none", () =>
    Effect.gen(function* () {
      const world = yield* World
      expect(world.looks).toBe(0)
      const scope = yield* Scope.make()
      const readers = yield* Effect.replicateEffect(reader("/api/v1/live"), 5).pipe(Scope.extend(scope))
      yield* until(() => readers.every(({ events }) => events().length === 1), "the first of each")
      const before = world.looks
      yield* Effect.sleep(2500)
      expect(world.looks - before).toBeGreaterThanOrEqual(1)
      expect(world.looks - before).toBeLessThanOrEqual(3)
      expect(world.counted).toBeLessThanOrEqual(world.looks)
      // one that comes later hears of it at once, and what it hears is as it is
      const { events } = yield* reader("/api/v1/live").pipe(Scope.extend(scope))
      yield* until(() => events().length === 1, "that of the late one")
      expect(events()[0]).toMatchObject({ destinations: [{ delivered: 5 }] })
      yield* Scope.close(scope, Exit.void)
      yield* Effect.sleep(1200)
      const after = world.looks
      yield* Effect.sleep(2200)
      expect(world.looks).toBe(after)
      // and again for a new one, who is told of what has changed meanwhile
      yield* Ref.set(world.sources, [{ ...source, accepted: 8 }])
      const again = yield* reader("/api/v1/live")
      yield* until(() => again.events().length > 0, "that of a new one")
      expect(again.events()[0]).toMatchObject({ sources: [{ accepted: 8 }] })
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("ends with the server", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(testServer(), scope)
      const { ended, events } = yield* Effect.provide(reader("/api/v1/live"), context)
      yield* until(() => events().length === 1, "the first")
      const began = Date.now()
      yield* Scope.close(scope, Exit.void)
      yield* until(ended, "the end")
      expect(Date.now() - began).toBeLessThan(2500)
    })
  )
})

describe("pausing", () => {
  it.scopedLive("answers how it is then", () =>
    Effect.gen(function* () {
      const ftp = encodeURIComponent(lane.lane)
      expect(yield* call("POST", "/api/v1/sources/pause?name=inbox")).toMatchObject({
        status: 200,
        json: { name: "inbox", paused: "1970-01-01T00:00:10.000Z" }
      })
      expect(yield* call("POST", "/api/v1/sources/resume?name=inbox")).toMatchObject({ json: { paused: null } })
      expect(yield* call("POST", `/api/v1/destinations/pause?lane=${ftp}`)).toMatchObject({
        status: 200,
        json: { lane: lane.lane, health: "down", paused: "1970-01-01T00:00:10.000Z" }
      })
      expect((yield* call("GET", "/metrics")).text).toContain(`filedispatch_lane_paused{lane="${lane.lane}"} 1`)
      expect(yield* call("POST", `/api/v1/destinations/resume?lane=${ftp}`)).toMatchObject({ json: { paused: null } })
      expect((yield* call("GET", "/metrics")).text).toContain('filedispatch_source_paused{source="inbox"} 0')
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("of what is not there says so", () =>
    Effect.gen(function* () {
      for (const verb of ["pause", "resume"]) {
        expect(yield* call("POST", `/api/v1/sources/${verb}?name=other`)).toMatchObject({
          status: 404,
          json: { detail: 'the config has no source "other": GET /api/v1/sources lists them' }
        })
        expect(yield* call("POST", `/api/v1/destinations/${verb}?lane=ftp%3A%2F%2Fh`)).toMatchObject({
          status: 404,
          json: { detail: 'there is no destination "ftp://h": GET /api/v1/destinations lists them' }
        })
        expect((yield* call("POST", `/api/v1/sources/${verb}`)).status).toBe(400)
        expect((yield* call("POST", `/api/v1/destinations/${verb}?name=x`)).status).toBe(400)
      }
    }).pipe(Effect.provide(testServer()))
  )
})
