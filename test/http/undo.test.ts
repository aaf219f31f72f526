import { describe, expect, it } from "@effect/vitest"
import { Effect, PubSub, Queue } from "effect"
import { call, delivery, testServer, World } from "./testServer.ts"

describe("POST /api/v1/deliveries/{id}/undo", () => {
  it.scopedLive("puts back, and tells whoever follows; refused is 409, unknown 404", () =>
    Effect.gen(function* () {
      const { deliveries, events } = yield* World
      for (const one of [delivery(1, { state: "DELIVERED" }), delivery(2)]) deliveries.set(one.id, one)
      const heard = yield* PubSub.subscribe(events)
      const dry = yield* call("POST", "/api/v1/deliveries/1/undo?dry_run=true")
      expect(dry).toMatchObject({ status: 200, json: { undone: true, file: "/inbox/a", from: "/out/a", reason: null } })
      expect(deliveries.get(1)?.state).toBe("DELIVERED")
      expect((yield* call("POST", "/api/v1/deliveries/1/undo")).json).toEqual({
        delivery: 1,
        deliveries: [1],
        undone: true,
        file: "/inbox/a",
        from: "/out/a",
        reason: null,
        notes: ["what was delivered elsewhere stays there"]
      })
      expect(yield* Queue.take(heard)).toMatchObject({ delivery: 1, state: "CANCELLED" })
      expect((yield* call("GET", "/api/v1/deliveries/1")).json).toMatchObject({ undone: "1970-01-01T00:00:07.000Z" })
      expect(yield* call("POST", "/api/v1/deliveries/2/undo")).toMatchObject({
        status: 409,
        json: { detail: "it was not delivered" }
      })
      expect(yield* call("POST", "/api/v1/deliveries/3/undo")).toMatchObject({ status: 404 })
      const entry = "00000000-0000-4000-8000-00000000ffff"
      expect(yield* call("POST", `/api/v1/logs/${entry}/undo`)).toMatchObject({ status: 404 })
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("is refused from pages of other origins, and with parameters that are none", () =>
    Effect.gen(function* () {
      const { deliveries } = yield* World
      deliveries.set(1, delivery(1, { state: "DELIVERED" }))
      const headers = { origin: "http://evil.example" }
      expect(yield* call("POST", "/api/v1/deliveries/1/undo", { headers })).toMatchObject({ status: 403 })
      for (const path of ["1/undo?dry_run=maybe", "x/undo", "undo", "undo?last=0", "undo?last=9999", "undo?all=1"]) {
        expect((yield* call("POST", `/api/v1/deliveries/${path}`)).status, path).toBe(400)
      }
      expect(deliveries.get(1)?.state).toBe("DELIVERED")
    }).pipe(Effect.provide(testServer()))
  )
})
