import { describe, expect, it } from "@effect/vitest"
import { Effect, PubSub, Ref } from "effect"
import { request } from "node:http"
import { DeliveryId } from "../../src/domain/Delivery.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { call, delivery, lane, port, source, testServer, World } from "./testServer.ts"

const store = (...all: ReadonlyArray<ReturnType<typeof delivery>>) =>
  Effect.map(World, ({ deliveries }) => {
    for (const one of all) deliveries.set(one.id, one)
  })

const ids = (json: unknown) => (Array.isArray(json) ? json.map(({ id }: { readonly id: number }) => id) : json)

describe("GET /api/v1/deliveries", () => {
  it.scopedLive("lists what is in the journal, newest first, by state and lane", () =>
    Effect.gen(function* () {
      yield* store(
        delivery(1, { state: "DEAD" }),
        delivery(2),
        delivery(3, { state: "RETRY_WAIT" }),
        delivery(4, { state: "DELIVERED" })
      )
      const list = (query: string) => Effect.map(call("GET", `/api/v1/deliveries${query}`), ({ json }) => ids(json))
      expect(yield* list("")).toEqual([4, 3, 2, 1])
      expect(yield* list("?state=DEAD")).toEqual([1])
      expect(yield* list("?state=dead,RETRY_WAIT")).toEqual([3, 1])
      expect(yield* list("?lane=ftp://user@host:21")).toEqual([4, 3, 2, 1])
      expect(yield* list("?lane=file")).toEqual([])
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("pages by the Link header", () =>
    Effect.gen(function* () {
      yield* store(...[1, 2, 3, 4, 5].map((id) => delivery(id)))
      let path = "/api/v1/deliveries?limit=2&state=PENDING"
      const pages: Array<unknown> = []
      while (path !== "") {
        const { headers, json } = yield* call("GET", path)
        pages.push(ids(json))
        path = /^<(\S+)>; rel="next"$/.exec(String(headers.link ?? ""))?.[1] ?? ""
      }
      expect(pages).toEqual([[5, 4], [3, 2], [1]])
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("refuses what is no state, limit or cursor", () =>
    Effect.gen(function* () {
      expect(yield* call("GET", "/api/v1/deliveries?state=DEAD,LOST")).toMatchObject({
        status: 400,
        json: {
          detail: expect.stringMatching(/^state must be one or more of PENDING, SENDING, .*, and was "DEAD,LOST"$/)
        }
      })
      expect(yield* call("GET", "/api/v1/deliveries?limit=many")).toMatchObject({ status: 400 })
      expect(yield* call("GET", "/api/v1/deliveries?cursor=x")).toMatchObject({ status: 400 })
    }).pipe(Effect.provide(testServer()))
  )
})

describe("/api/v1/deliveries/{id}", () => {
  it.scopedLive("GET answers all of one, readable whatever the file is called, with its attempts", () =>
    Effect.gen(function* () {
      const { attempts } = yield* World
      const name = RelPath.fromBytes(Uint8Array.from([0x61, 0xff]))
      yield* store(
        delivery(7, {
          name,
          state: "RETRY_WAIT",
          attempts: 1,
          due: 60_000,
          reason: "530 login denied",
          priority: 5,
          facts: { mime: "image/png", sha256: null, groups: { year: "2024" }, counter: 3 },
          receipt: { bytes: 1, sha256: "ab", said: "226", verified: "size", name, sourceSha256: "cd" }
        })
      )
      attempts.push({
        delivery: DeliveryId.make(7),
        number: 1,
        started: 0,
        ended: 1_500,
        outcome: "RETRY_WAIT",
        reason: "530 login denied"
      })
      const answer = yield* call("GET", "/api/v1/deliveries/7")
      expect(answer.status).toBe(200)
      expect(answer.json).toEqual({
        id: 7,
        state: "RETRY_WAIT",
        source: "/inbox",
        path: "file-7.txt",
        size: 10,
        modified: "1970-01-01T00:00:01.000Z",
        destination: "ftp://user@host/in/a\\xff",
        route: "texts",
        lane: "ftp://user@host:21",
        priority: 5,
        facts: { mime: "image/png", sha256: null, groups: { year: "2024" }, counter: 3 },
        attempts: 1,
        due: "1970-01-01T00:01:00.000Z",
        reason: "530 login denied",
        receipt: { bytes: 1, sha256: "ab", source_sha256: "cd", said: "226", verified: "size", name: "a\\xff" },
        created: "1970-01-01T00:00:02.000Z",
        updated: "1970-01-01T00:00:03.000Z",
        history: [
          {
            number: 1,
            started: "1970-01-01T00:00:00.000Z",
            ended: "1970-01-01T00:00:01.500Z",
            outcome: "RETRY_WAIT",
            reason: "530 login denied"
          }
        ]
      })
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("POST retry brings a dead one back and wakes its lane; what is not dead is a conflict", () =>
    Effect.gen(function* () {
      const { notified } = yield* World
      yield* store(delivery(1, { state: "DEAD" }))
      expect(yield* call("POST", "/api/v1/deliveries/1/retry")).toMatchObject({
        status: 200,
        json: { id: 1, state: "PENDING" }
      })
      expect(notified).toEqual(["ftp://user@host:21"])
      expect(yield* call("POST", "/api/v1/deliveries/1/retry")).toMatchObject({
        status: 409,
        json: { detail: expect.stringMatching(/^delivery 1 is PENDING: only what is DEAD, .* can be tried again$/) }
      })
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("POST cancel gives one up; what is over is a conflict", () =>
    Effect.gen(function* () {
      yield* store(delivery(1, { state: "RETRY_WAIT" }), delivery(2, { state: "DELIVERED" }))
      expect(yield* call("POST", "/api/v1/deliveries/1/cancel")).toMatchObject({
        status: 200,
        json: { id: 1, state: "CANCELLED" }
      })
      expect(yield* call("POST", "/api/v1/deliveries/2/cancel")).toMatchObject({
        status: 409,
        json: { detail: "delivery 2 is DELIVERED: only what is neither under way nor over can be given up" }
      })
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("POST retry without an id brings all back", () =>
    Effect.gen(function* () {
      const { notified } = yield* World
      yield* store(delivery(1, { state: "DEAD" }), delivery(2, { state: "CANCELLED" }), delivery(3))
      expect(yield* call("POST", "/api/v1/deliveries/retry")).toMatchObject({ status: 200, json: { replayed: 2 } })
      expect(notified).toEqual(["ftp://user@host:21"])
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("POST retry of a lane brings back what went there", () =>
    Effect.gen(function* () {
      const { target } = delivery(1)
      const other = { ...target, lane: "file:/" }
      yield* store(delivery(1, { state: "DEAD" }), delivery(2, { state: "DEAD", target: other }))
      expect(yield* call("POST", "/api/v1/deliveries/retry?lane=file:%2f")).toMatchObject({ json: { replayed: 1 } })
      expect(yield* call("GET", "/api/v1/deliveries/1")).toMatchObject({ json: { state: "DEAD" } })
      expect(yield* call("GET", "/api/v1/deliveries/2")).toMatchObject({ json: { state: "PENDING" } })
      expect(yield* call("POST", "/api/v1/deliveries/retry?lane=nowhere")).toMatchObject({ json: { replayed: 0 } })
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("answers 404 for one that is not there, and 400 for what is no id", () =>
    Effect.gen(function* () {
      for (const [method, path] of [
        ["GET", "/api/v1/deliveries/9"],
        ["POST", "/api/v1/deliveries/9/retry"],
        ["POST", "/api/v1/deliveries/9/cancel"]
      ] as const) {
        expect(yield* call(method, path)).toMatchObject({ status: 404, json: { detail: "there is no delivery 9" } })
      }
      expect(yield* call("GET", "/api/v1/deliveries/nine")).toMatchObject({
        status: 400,
        json: { detail: 'id must be a whole number from 1 to 9007199254740991, and was "nine"' }
      })
    }).pipe(Effect.provide(testServer()))
  )
})

describe("health", () => {
  it.scopedLive("GET /api/v1/sources answers how each source is", () =>
    Effect.gen(function* () {
      const answer = yield* call("GET", "/api/v1/sources")
      const { lastEvent: _, lastScan: __, ...rest } = source
      expect(answer.json).toEqual([
        { ...rest, last_scan: "1970-01-01T00:00:05.000Z", last_event: "1970-01-01T00:00:06.000Z" }
      ])
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("GET /api/v1/destinations answers how each lane is and what waits there", () =>
    Effect.gen(function* () {
      const { counts } = yield* World
      counts.push(
        { lane: lane.lane, state: "PENDING", count: 12 },
        { lane: lane.lane, state: "DEAD", count: 1 },
        { lane: "file", state: "PENDING", count: 2 }
      )
      const answer = yield* call("GET", "/api/v1/destinations")
      const { lastError, ...rest } = lane
      expect(answer.json).toEqual([
        {
          ...rest,
          last_error: { ...lastError, time: "1970-01-01T00:00:08.000Z" },
          probe: "1970-01-01T00:00:09.000Z",
          sending: [{ ...lane.sending[0], started: "1970-01-01T00:00:00.001Z" }],
          waiting: { PENDING: 12, DEAD: 1 }
        }
      ])
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("GET /healthz answers while the process lives, /readyz once all is scanned", () =>
    Effect.gen(function* () {
      const { sources } = yield* World
      expect(yield* call("GET", "/healthz")).toMatchObject({ status: 200, json: { status: "ok" } })
      expect(yield* call("GET", "/readyz")).toMatchObject({ status: 200, json: { status: "ready" } })
      yield* Ref.set(sources, [source, { ...source, health: "starting", lastScan: null }])
      expect(yield* call("GET", "/readyz")).toMatchObject({
        status: 503,
        json: { detail: "1 of 2 sources are not scanned yet" }
      })
      // a source that is not there does not keep the others from being served
      yield* Ref.set(sources, [source, { ...source, health: "missing", lastScan: null }])
      expect(yield* call("GET", "/readyz")).toMatchObject({ status: 200 })
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("GET /metrics answers figures for Prometheus", () =>
    Effect.gen(function* () {
      const { counts, lanes } = yield* World
      counts.push({ lane: lane.lane, state: "PENDING", count: 12 })
      yield* Ref.set(lanes, [lane, { ...lane, lane: 'odd"\\\n', health: "up" }])
      const { headers, text } = yield* call("GET", "/metrics")
      expect(headers["content-type"]).toContain("text/plain; version=0.0.4")
      const lines = text.split("\n")
      expect(lines).toContain('filedispatch_deliveries{lane="ftp://user@host:21",state="PENDING"} 12')
      expect(lines).toContain('filedispatch_lane_up{lane="ftp://user@host:21"} 0')
      expect(lines).toContain('filedispatch_lane_up{lane="odd\\"\\\\\\n"} 1')
      expect(lines).toContain('filedispatch_source_accepted_total{source="inbox"} 7')
      expect(lines).toContain('filedispatch_source_missed_events_total{source="inbox"} 4')
      const form = /^(# (HELP|TYPE) filedispatch_\w+ .+|filedispatch_\w+(\{.*\})? [0-9.]+|)$/
      expect(lines.filter((line) => !form.test(line))).toEqual([])
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("GET /api/v1/events streams deliveries as they change, and ends with the server", () =>
    Effect.gen(function* () {
      const event = {
        delivery: DeliveryId.make(1),
        state: "DELIVERED",
        file: "a\nb",
        destination: "file:///out/a",
        size: 1,
        reason: null
      }
      const received = yield* Effect.scoped(
        Effect.gen(function* () {
          const { events } = yield* World
          const at = yield* port
          let text = ""
          const ended = new Promise<string>((resolve, reject) => {
            request({ host: "127.0.0.1", port: at, path: "/api/v1/events" }, (response) => {
              expect(response.headers["content-type"]).toBe("text/event-stream")
              response.setEncoding("utf8")
              response.on("data", (chunk: string) => (text += chunk))
              response.on("end", () => resolve(text))
            })
              .on("error", reject)
              .end()
          })
          // until it is heard: the subscription follows the first bytes
          while (!text.includes("data:")) {
            yield* PubSub.publish(events, event)
            yield* Effect.sleep(5)
          }
          return ended
        }).pipe(
          Effect.provide(testServer()),
          Effect.map((ended) => ({ ended }))
        )
      )
      const text = yield* Effect.promise(() => received.ended)
      expect(text.startsWith(": events follow\n\n")).toBe(true)
      expect(text).toContain(`event: delivery\ndata: ${JSON.stringify(event)}\n\n`)
    })
  )
})
