/** What the API, the metrics and the monitor say of the config, and how it is loaded again. */
import { expect, layer } from "@effect/vitest"
import { Effect, Ref } from "effect"
import { call, testServer, World } from "./testServer.ts"

layer(testServer())("the config over HTTP", (it) => {
  it.effect("is the one in force", () =>
    Effect.gen(function* () {
      const { config } = yield* World
      expect(yield* call("GET", "/api/v1/status")).toMatchObject({
        status: 200,
        json: {
          config: { file: "/etc/filedispatch.yml", loaded: "1970-01-01T00:00:04.000Z", error: null, restart: [] }
        }
      })
      expect((yield* call("GET", "/metrics")).text).toContain("filedispatch_config_ok 1")
      yield* Ref.update(config, (status) => ({ ...status, error: "config.yml:1:2: it is wrong", restart: ["db"] }))
      expect(yield* call("GET", "/api/v1/status")).toMatchObject({
        json: { config: { error: "config.yml:1:2: it is wrong", restart: ["db"] } }
      })
      expect((yield* call("GET", "/metrics")).text).toContain("filedispatch_config_ok 0")
    })
  )

  it.effect("is shown with what came of the last reload", () =>
    Effect.gen(function* () {
      expect(yield* call("GET", "/api/v1/config")).toMatchObject({
        status: 200,
        json: {
          file: "/etc/filedispatch.yml",
          loaded: "1970-01-01T00:00:04.000Z",
          lines: ["source: ./in"],
          marks: [{ line: 1, what: "source", name: "in" }],
          last_reload: {
            time: "1970-01-01T00:00:05.000Z",
            why: "a test",
            applied: ["folder texts is new"],
            error: null
          }
        }
      })
    })
  )

  it.effect("is loaded again, or stays and is told why", () =>
    Effect.gen(function* () {
      const { config } = yield* World
      yield* Ref.update(config, (status) => ({ ...status, error: null, restart: ["db"] }))
      expect(yield* call("POST", "/api/v1/reload")).toMatchObject({
        status: 200,
        json: { applied: ["folder texts is new"], restart: ["db"] }
      })
      yield* Ref.update(config, (status) => ({ ...status, error: "it is wrong" }))
      expect(yield* call("POST", "/api/v1/reload")).toMatchObject({
        status: 409,
        json: { detail: "/etc/filedispatch.yml: it is wrong" }
      })
      // a page elsewhere must not have it loaded
      expect((yield* call("POST", "/api/v1/reload", { headers: { origin: "http://elsewhere.example" } })).status).toBe(
        403
      )
      expect((yield* call("GET", "/api/v1/reload")).status).toBe(405)
    })
  )

  it.effect("sources say how many files wait", () =>
    Effect.gen(function* () {
      expect((yield* call("GET", "/api/v1/sources")).json).toMatchObject([{ name: "inbox", settling: 2, waiting: 3 }])
      expect((yield* call("GET", "/metrics")).text).toContain('filedispatch_source_waiting{source="inbox"} 3')
    })
  )
})
