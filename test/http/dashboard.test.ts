import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { brotliCompressSync, gzipSync } from "node:zlib"
import * as Process from "../cli/process.ts"
import { type Call, call, testServer } from "./testServer.ts"

const page = "<!doctype html><title>filedispatch</title>"
const script = `console.log("${"x".repeat(500)}")`

/** A server with a built dashboard, and a token. */
const server = Layer.unwrapScoped(
  Effect.map(Process.directory, (directory) => {
    const folder = join(directory, "dashboard")
    fs.mkdirSync(join(folder, "inner"), { recursive: true })
    for (const [name, content] of [
      ["index.html", page],
      ["app-3fA9xQ2_.js", script],
      ["app-3fA9xQ2_.css", "body{}"]
    ] as const) {
      fs.writeFileSync(join(folder, name), content)
      fs.writeFileSync(join(folder, `${name}.gz`), gzipSync(content))
      fs.writeFileSync(join(folder, `${name}.br`), brotliCompressSync(content))
    }
    fs.writeFileSync(join(folder, "icon.svg"), "<svg/>")
    fs.writeFileSync(join(folder, "inner", "secret-12345678.js"), "")
    fs.writeFileSync(join(directory, "secret-12345678.js"), "")
    const http = { host: "127.0.0.1", port: 0, token: Option.some(Redacted.make("t0ken")) }
    return testServer({ http }, {}, folder)
  })
)

const get = (path: string, headers: NonNullable<Call["headers"]> = {}) => call("GET", path, { headers })

describe("the dashboard", () => {
  it.scopedLive("is at / and needs no token, nor do the files that it is made of", () =>
    Effect.gen(function* () {
      const home = yield* get("/")
      expect([home.status, home.text]).toEqual([200, page])
      expect(home.headers).toMatchObject({
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-cache",
        "x-content-type-options": "nosniff",
        "content-security-policy":
          "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
      })
      const asset = yield* get("/dashboard/app-3fA9xQ2_.js")
      expect([asset.status, asset.text]).toEqual([200, script])
      expect(asset.headers).toMatchObject({
        "content-type": "text/javascript; charset=utf-8",
        "cache-control": "public, max-age=31536000, immutable"
      })
      expect((yield* get("/dashboard/app-3fA9xQ2_.css")).headers["content-type"]).toBe("text/css; charset=utf-8")
      expect((yield* get("/dashboard/icon.svg")).headers).toMatchObject({
        "content-type": "image/svg+xml",
        "cache-control": "no-cache"
      })
      // the rest does
      expect((yield* get("/api/v1/now")).status).toBe(401)
      expect((yield* get("/metrics")).headers["content-security-policy"]).not.toContain("script-src")
    }).pipe(Effect.provide(server))
  )

  it.scopedLive("is sent as small as the browser can read it", () =>
    Effect.gen(function* () {
      for (const [accepted, encoding] of [
        ["gzip, deflate, br, zstd", "br"],
        ["gzip, deflate", "gzip"],
        ["br;q=0, gzip;q=0.5", "gzip"],
        ["*", "br"],
        ["br;q=0, *;q=0", undefined],
        ["identity", undefined],
        ["", undefined]
      ] as const) {
        const { headers } = yield* get("/dashboard/app-3fA9xQ2_.js", { "accept-encoding": accepted })
        expect([accepted, headers["content-encoding"]]).toEqual([accepted, encoding])
        expect(headers["vary"]).toBe("accept-encoding")
        expect(Number(headers["content-length"]) < 200).toBe(encoding !== undefined)
      }
      // without a compressed form there is the plain one
      expect((yield* get("/dashboard/icon.svg", { "accept-encoding": "br" })).text).toBe("<svg/>")
    }).pipe(Effect.provide(server))
  )

  it.scopedLive("is not sent again to who has it", () =>
    Effect.gen(function* () {
      for (const accepted of ["", "br"]) {
        const { headers } = yield* get("/", { "accept-encoding": accepted })
        const again = yield* get("/", { "accept-encoding": accepted, "if-none-match": headers["etag"] ?? "none" })
        expect([again.status, again.text, again.headers["etag"]]).toEqual([304, "", headers["etag"]])
        expect(again.headers["cache-control"]).toBe("no-cache")
      }
      const plain = (yield* get("/")).headers["etag"] ?? "none"
      expect((yield* get("/", { "accept-encoding": "br", "if-none-match": plain })).status).toBe(200)
    }).pipe(Effect.provide(server))
  )

  it.scopedLive("has no files but its own", () =>
    Effect.gen(function* () {
      const headers = { authorization: "Bearer t0ken" }
      for (const file of ["nothing.js", "..", "inner", "secret-12345678.js", "index.html.br", "app-3fA9xQ2_.js.gz"]) {
        expect([file, (yield* get(`/dashboard/${file}`, headers)).status]).toEqual([file, 404])
      }
      for (const path of [
        "..%2fsecret-12345678.js",
        "%2e%2e%2fsecret-12345678.js",
        "inner/secret-12345678.js",
        "%00"
      ]) {
        expect([path, (yield* get(`/dashboard/${path}`, headers)).status]).toEqual([path, 404])
        expect([path, (yield* get(`/dashboard/${path}`)).status]).toEqual([path, 401])
      }
      expect((yield* get("/dashboard/nothing.js")).json).toEqual({
        detail: 'the dashboard has no file "nothing.js": load the page again'
      })
    }).pipe(Effect.provide(server))
  )

  it.scopedLive("is a plain page where it was not built", () =>
    Effect.gen(function* () {
      const home = yield* get("/")
      expect(home.text).toContain("/api/v1/schema")
      expect(home.headers["content-security-policy"]).not.toContain("script-src")
    }).pipe(Effect.provide(testServer()))
  )
})
