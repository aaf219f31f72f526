import { FetchHttpClient, HttpApi, HttpServer } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, LogLevel, Option, Redacted, Scope, Stream } from "effect"
import { connect, createServer } from "node:net"
import { Api } from "../../src/http/Api.ts"
import * as Client from "../../src/http/Client.ts"
import { isLoopback } from "../../src/http/Security.ts"
import * as Server from "../../src/http/Server.ts"
import { LogError, LogRepo } from "../../src/store/LogRepo.ts"
import { logEntry } from "../contracts/logRepo.ts"
import { call, delivery, port, services, testServer, World } from "./testServer.ts"

const token = { http: { host: "127.0.0.1", port: 0, token: Option.some(Redacted.make("t0ken")) } }

/** Every call of the API, with something in place of its parameters. */
const routes: ReadonlyArray<readonly [method: string, path: string]> = (() => {
  const all: Array<readonly [string, string]> = []
  HttpApi.reflect(Api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint }) => {
      const id = endpoint.path.includes("/logs/") ? logEntry(1).id : "1"
      const path = endpoint.path.replace(":id", id).replace(":file", "app-12345678.js")
      all.push([endpoint.method, path])
    }
  })
  return all
})()

describe("every route", () => {
  it("is known here", () => {
    expect(routes.map((route) => route.join(" "))).toEqual([
      "GET /api/v1/logs",
      "POST /api/v1/logs",
      "GET /api/v1/logs/export",
      `GET /api/v1/logs/${logEntry(1).id}`,
      `DELETE /api/v1/logs/${logEntry(1).id}`,
      "GET /api/v1/stats",
      "GET /api/v1/stats/folders",
      "GET /api/v1/stats/extensions",
      "GET /api/v1/stats/times",
      "GET /api/v1/deliveries",
      "GET /api/v1/deliveries/1",
      "POST /api/v1/deliveries/retry",
      "POST /api/v1/deliveries/1/retry",
      "POST /api/v1/deliveries/1/cancel",
      "POST /api/v1/deliveries/undo",
      "POST /api/v1/deliveries/1/undo",
      `POST /api/v1/logs/${logEntry(1).id}/undo`,
      "GET /api/v1/sources",
      "GET /api/v1/destinations",
      "POST /api/v1/sources/pause",
      "POST /api/v1/sources/resume",
      "POST /api/v1/destinations/pause",
      "POST /api/v1/destinations/resume",
      "GET /api/v1/now",
      "GET /api/v1/live",
      "GET /api/v1/events",
      "GET /api/v1/status",
      "GET /api/v1/config",
      "POST /api/v1/reload",
      "POST /api/v1/explain",
      `GET /api/v1/logs/${logEntry(1).id}/explain`,
      "GET /api/v1/schema",
      "GET /api/v1/schema/spec",
      "GET /",
      "GET /dashboard/app-12345678.js",
      "GET /healthz",
      "GET /readyz",
      "GET /metrics"
    ])
  })

  it.scopedLive("refuses a Host that is not served here", () =>
    Effect.gen(function* () {
      for (const [method, path] of routes) {
        const answer = yield* call(method, path, { headers: { host: "evil.example:80" } })
        expect([path, answer.status, answer.json]).toEqual([
          path,
          421,
          { detail: 'this server does not answer for "evil.example:80": use the address it listens on' }
        ])
      }
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("needs the token, but for what says nothing of the files", () =>
    Effect.gen(function* () {
      const open = ["/", "/healthz", "/readyz"]
      for (const [method, path] of routes) {
        const answer = yield* call(method, path)
        // no dashboard is built here
        const status = open.includes(path) ? 200 : path.startsWith("/dashboard/") ? 404 : 401
        expect([path, answer.status]).toEqual([path, status])
        if (answer.status === 401) {
          expect(answer.json).toEqual({ detail: "a token is needed: send it as Authorization: Bearer <token>" })
          expect(answer.headers["www-authenticate"]).toContain("Bearer")
          const wrong = yield* call(method, path, { headers: { authorization: "Bearer t0ken2" } })
          expect([wrong.status, wrong.json]).toEqual([401, { detail: "the token is not the one in http.token" }])
        }
      }
      expect((yield* call("GET", "/api/v1/logs", { headers: { authorization: "Bearer t0ken" } })).status).toBe(200)
      expect((yield* call("GET", "/api/v1/logs", { headers: { "x-token": "t0ken" } })).status).toBe(200)
      for (const path of [
        "/HEALTHZ",
        "/healthz/",
        "//healthz",
        "/healthz;/../api/v1/logs",
        "/./healthz",
        "/nothing",
        "/dashboard/",
        "/dashboard/a/b",
        "/dashboard/%2e%2e%2fx"
      ]) {
        expect((yield* call("GET", path)).status).toBe(401)
      }
    }).pipe(Effect.provide(testServer(token)))
  )

  it.scopedLive("that changes something refuses a page of another origin", () =>
    Effect.gen(function* () {
      const at = yield* port
      for (const [method, path] of routes.filter(([method]) => method !== "GET")) {
        for (const headers of [
          { origin: "http://evil.example" },
          { origin: "null" },
          { origin: `http://127.0.0.1:${at + 1}` },
          { "sec-fetch-site": "cross-site" },
          { "sec-fetch-site": "same-site" }
        ]) {
          expect([path, (yield* call(method, path, { headers })).status]).toEqual([path, 403])
        }
        for (const headers of [{ origin: `http://127.0.0.1:${at}` }, { "sec-fetch-site": "same-origin" }]) {
          expect((yield* call(method, path, { headers })).status).not.toBe(403)
        }
      }
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("answers with careful headers, whatever it answers", () =>
    Effect.gen(function* () {
      for (const path of ["/", "/api/v1/logs", "/api/v1/schema", "/nothing", "/api/v1/logs?limit=x"]) {
        expect((yield* call("GET", path)).headers).toMatchObject({
          "x-content-type-options": "nosniff",
          "x-frame-options": "DENY",
          "referrer-policy": "no-referrer",
          "cache-control": "no-store",
          "cross-origin-resource-policy": "same-origin",
          "content-security-policy": expect.stringContaining("default-src 'none'")
        })
      }
    }).pipe(Effect.provide(testServer()))
  )
})

describe("Host", () => {
  const status = (host: string) => Effect.map(call("GET", "/healthz", { headers: { host } }), (answer) => answer.status)

  it.scopedLive("is served by every name of loopback, with and without a port", () =>
    Effect.gen(function* () {
      for (const host of ["localhost", "LOCALHOST:3001", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:80"]) {
        expect([host, yield* status(host)]).toEqual([host, 200])
      }
      for (const host of [
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "a b",
        "localhost:x",
        "@localhost"
      ]) {
        expect([host, yield* status(host)]).toEqual([host, 421])
      }
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("is served by the configured name, and by own addresses where all are listened on", () =>
    Effect.gen(function* () {
      expect(yield* status("127.0.0.1")).toBe(200)
      expect(yield* status("0.0.0.0:80")).toBe(200)
      expect(yield* status("192.0.2.1")).toBe(421)
      expect(yield* status("evil.example")).toBe(421)
    }).pipe(Effect.provide(testServer({ http: { ...token.http, host: "0.0.0.0" } })))
  )

  it("knows loopback", () => {
    expect(["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "a.localhost"].every(isLoopback)).toBe(true)
    expect(["0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.example.org", ""].some(isLoopback)).toBe(false)
  })
})

describe("bad requests", () => {
  it.scopedLive("of an unknown route or method", () =>
    Effect.gen(function* () {
      expect(yield* call("GET", "/api/v1/nothing")).toMatchObject({
        status: 404,
        json: { detail: "there is nothing at /api/v1/nothing; /api/v1/schema lists what there is" }
      })
      expect(yield* call("GET", "/api/v1/logs/%zz")).toMatchObject({
        status: 400,
        json: { detail: "the path /api/v1/logs/%zz can't be read" }
      })
      expect(yield* call("PUT", "/api/v1/logs?x=1")).toMatchObject({
        status: 405,
        headers: { allow: "GET, POST, HEAD" },
        json: { detail: "PUT is not possible here; possible are GET, POST, HEAD" }
      })
      expect(yield* call("POST", "/healthz")).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } })
      expect(yield* call("GET", "/api/v1/deliveries/1/retry")).toMatchObject({
        status: 405,
        headers: { allow: "POST" }
      })
      expect(yield* call("HEAD", "/healthz")).toMatchObject({ status: 200, text: "" })
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("that are no HTTP, or too large to be any", () =>
    Effect.gen(function* () {
      const at = yield* port
      const send = (text: string) =>
        Effect.async<string, Error>((resume) => {
          let answer = ""
          const socket = connect(at, "127.0.0.1", () => socket.write(text))
          socket.setEncoding("utf8")
          socket.on("data", (chunk) => (answer += String(chunk)))
          socket.on("end", () => resume(Effect.succeed(answer)))
          socket.on("error", (error) => resume(Effect.fail(error)))
        })
      expect(yield* send("hello\r\n\r\n")).toMatch(
        /^HTTP\/1\.1 400 Bad Request\r\n.*\r\n\r\n\{"detail":"that is not a valid HTTP request"\}$/s
      )
      expect(yield* send(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(17_000)}\r\n\r\n`)).toMatch(
        /^HTTP\/1\.1 431 .*\{"detail":"the headers are too large: 16 KiB at most"\}$/s
      )
      expect(yield* send("GET /healthz HTTP/1.0\r\n\r\n")).toMatch(
        /^HTTP\/1\.1 400 .*\{"detail":"the Host header is missing"\}$/s
      )
    }).pipe(Effect.provide(testServer()))
  )
})

describe("failures of the program", () => {
  const broken = (stats: Effect.Effect<never, LogError>) =>
    Layer.succeed(LogRepo, {
      append: () => stats,
      query: () => stats,
      all: () => Stream.fromEffect(stats),
      get: () => stats,
      remove: () => stats,
      undone: () => stats,
      stats: () => stats,
      folderStats: () => stats,
      extensionStats: () => stats,
      timeStats: () => stats,
      prune: () => stats
    })

  it.scopedLive("say what the database said, where it was the database", () =>
    Effect.gen(function* () {
      const error = new LogError({ reason: "the log could not be read: disk I/O error", cause: Option.none() })
      const layer = Server.layer.pipe(Layer.provide(broken(Effect.fail(error))), Layer.provide(services()))
      for (const path of [
        "/api/v1/stats",
        "/api/v1/stats/folders",
        "/api/v1/stats/extensions",
        "/api/v1/stats/times",
        "/api/v1/logs",
        "/api/v1/logs/export?format=csv",
        `/api/v1/logs/${logEntry(1).id}`
      ]) {
        const answer = yield* call("GET", path).pipe(Effect.provide(layer))
        expect([answer.status, answer.json]).toEqual([500, { detail: "the log could not be read: disk I/O error" }])
      }
    }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
  )

  it.scopedLive("are a 500 that shows nothing of the inside", () =>
    Effect.gen(function* () {
      const layer = Server.layer.pipe(Layer.provide(broken(Effect.die(new Error("secret")))), Layer.provide(services()))
      const answer = yield* call("GET", "/api/v1/stats").pipe(Effect.provide(layer))
      expect([answer.status, answer.json]).toEqual([500, { detail: "an error in the program: its log has more" }])
    }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
  )
})

describe("the schema", () => {
  it.scopedLive("is an OpenAPI 3.1 document in which every error is a detail", () =>
    Effect.gen(function* () {
      const { json, status } = yield* call("GET", "/api/v1/schema/spec")
      expect(status).toBe(200)
      expect(json).toMatchObject({
        openapi: expect.stringMatching(/^3\.1\./),
        info: { title: "filedispatch" },
        paths: {
          "/api/v1/logs": {
            get: {
              parameters: expect.arrayContaining([expect.objectContaining({ name: "byte_size__lte", in: "query" })])
            },
            post: { responses: { "201": expect.anything(), "400": expect.anything(), "409": expect.anything() } }
          }
        }
      })
      expect(JSON.stringify(json)).not.toContain("HttpApiDecodeError")
      // nothing refers to what is not there
      const text = JSON.stringify(json)
      const names = new Set(Array.from(text.matchAll(/"#\/components\/schemas\/([^"]+)"/g), (match) => match[1]))
      for (const name of names) expect(text).toContain(`"${name ?? ""}":{`)
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("has a page that needs nothing from elsewhere", () =>
    Effect.gen(function* () {
      const { headers, text } = yield* call("GET", "/api/v1/schema")
      expect(headers["content-type"]).toContain("text/html")
      expect(text).toContain("byte_size__gte")
      expect(text).toContain("/api/v1/deliveries/{id}/retry")
      const home = yield* call("GET", "/")
      for (const page of [text, home.text]) expect(page).not.toMatch(/<script|https?:\/\/|src=/)
    }).pipe(Effect.provide(testServer()))
  )
})

describe("listening", () => {
  const listen = (http: { readonly host: string; readonly port: number }) =>
    Effect.scoped(Layer.build(Server.layer.pipe(Layer.provide(services({ http: { ...http, token: Option.none() } })))))

  it.scopedLive("on a port in use says so", () =>
    Effect.gen(function* () {
      const taken = yield* Effect.acquireRelease(
        Effect.async<number>((resume) => {
          const server = createServer().listen(0, "127.0.0.1", () => {
            const address = server.address()
            resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
          })
          closers.push(() => server.close())
        }),
        () => Effect.sync(() => closers.splice(0).forEach((close) => close()))
      )
      const error = yield* Effect.flip(listen({ host: "127.0.0.1", port: taken }))
      expect(error.message).toBe(
        `port ${taken} on 127.0.0.1 is in use by another program: choose another with -P or http.port`
      )
    })
  )

  it.scopedLive("on an address that is not this machine's says so", () =>
    Effect.gen(function* () {
      // 127.0.0.1 would do without a token; this one is of a network for documentation
      const layer = Server.layer.pipe(
        Layer.provide(services({ http: { host: "192.0.2.1", port: 0, token: Option.some(Redacted.make("t")) } }))
      )
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      expect(error.message).toBe("192.0.2.1 is no address of this machine: choose another with -H or http.host")
    })
  )

  it.scopedLive("off loopback without a token is refused", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(listen({ host: "0.0.0.0", port: 0 }))
      expect(error.message).toBe(
        "other machines can reach 0.0.0.0: set http.token, or listen on 127.0.0.1 with -H or http.host"
      )
    })
  )

  it.scopedLive("ends with its scope, and frees the port", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(testServer(), scope)
      const at = yield* port.pipe(Effect.provide(context))
      expect((yield* call("GET", "/healthz").pipe(Effect.provide(context))).status).toBe(200)
      yield* Scope.close(scope, Exit.void)
      yield* listen({ host: "127.0.0.1", port: at })
    })
  )
})

const closers: Array<() => void> = []

describe("the derived client", () => {
  const client = (secret?: string) =>
    Effect.flatMap(HttpServer.HttpServer, () =>
      Effect.flatMap(port, (at) =>
        Client.make({
          baseUrl: Client.localUrl({ host: "127.0.0.1", port: at }),
          token: Option.map(Option.fromNullable(secret), Redacted.make)
        })
      )
    )

  it.scopedLive("speaks every part of the API, with the token", () =>
    Effect.gen(function* () {
      const { deliveries } = yield* World
      const api = yield* client("t0ken")
      const created = yield* api.logs.create({
        payload: {
          filename: "a.txt",
          source: "/inbox",
          destination: "file:///out",
          protocol: "file",
          status: "SUCCEEDED",
          byte_size: 5
        }
      })
      expect(yield* api.logs.list({ urlParams: { byte_size__gte: 5, status: "SUCCEEDED", limit: 10 } })).toEqual([
        created
      ])
      const [, response] = yield* api.logs.list({ urlParams: {}, withResponse: true })
      expect(response.headers["x-total-count"]).toBe("1")
      expect(yield* api.logs.get({ path: { id: created.id } })).toEqual(created)
      expect(yield* api.logs.stats({ urlParams: { interval: "month" } })).toMatchObject([{ files: 1, bytes: 5 }])
      yield* api.logs.remove({ path: { id: created.id } })
      deliveries.set(1, delivery(1, { state: "DEAD" }))
      expect(yield* api.deliveries.list({ urlParams: { state: ["DEAD", "PENDING"] } })).toMatchObject([{ id: 1 }])
      expect(yield* api.deliveries.retry({ path: { id: 1 }, urlParams: {} })).toMatchObject({ id: 1, state: "PENDING" })
      expect(yield* api.deliveries.get({ path: { id: 1 } })).toMatchObject({ id: 1, history: [] })
      expect(yield* api.health.sources()).toMatchObject([{ name: "inbox" }])
      expect(yield* api.health.destinations()).toMatchObject([{ health: "down" }])
      expect(yield* api.readyz()).toEqual({ status: "ready" })
      expect(yield* api.metrics()).toContain("filedispatch_lane_up")
    }).pipe(Effect.provide(Layer.merge(testServer(token), FetchHttpClient.layer)))
  )

  it.scopedLive("has the server's errors as typed errors", () =>
    Effect.gen(function* () {
      const api = yield* client("t0ken")
      const missing = yield* Effect.flip(api.logs.get({ path: { id: logEntry(1).id } }))
      expect(missing).toMatchObject({ _tag: "NotFound", detail: `there is no log entry with the id ${logEntry(1).id}` })
      const gone = yield* Effect.flip(api.deliveries.retry({ path: { id: 9 }, urlParams: {} }))
      expect(gone).toMatchObject({ _tag: "NotFound", detail: "there is no delivery 9" })
      const cursor = yield* Effect.flip(api.logs.list({ urlParams: { cursor: "x" } }))
      expect(cursor).toMatchObject({ _tag: "BadRequest" })
      const stranger = yield* client()
      expect(yield* Effect.flip(stranger.logs.list({ urlParams: {} }))).toMatchObject({ _tag: "Unauthorized" })
    }).pipe(Effect.provide(Layer.merge(testServer(token), FetchHttpClient.layer)))
  )

  it("knows how to reach a daemon on this machine", () => {
    expect(Client.localUrl({ host: "0.0.0.0", port: 1 })).toBe("http://127.0.0.1:1")
    expect(Client.localUrl({ host: "::", port: 1 })).toBe("http://[::1]:1")
    expect(Client.localUrl({ host: "::1", port: 1 })).toBe("http://[::1]:1")
    expect(Client.localUrl({ host: "example.org", port: 1 })).toBe("http://example.org:1")
  })
})
