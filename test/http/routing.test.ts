import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { LogRepo } from "../../src/store/LogRepo.ts"
import * as Ruleset from "../../src/route/Ruleset.ts"
import * as Process from "../cli/process.ts"
import { harmful } from "../cli/harmful.ts"
import { logEntry } from "../contracts/logRepo.ts"
import { route, rules, source as sourceAt, to } from "../route/rules.ts"
import { call, delivery, testServer, World } from "./testServer.ts"

const explain = (body: unknown) => call("POST", "/api/v1/explain", { body })

const texts = route("texts", { extensions: ["txt"], targets: [to("ftp://user@host/in")] })
const letters = route("letters", {
  rules: [{ _tag: "Content", text: "dear", pattern: null, within: 100 }],
  targets: [to("/letters")]
})

describe("POST /api/v1/explain", () => {
  const sources = [sourceAt("/inbox"), sourceAt("/inbox/sub")]
  const layer = testServer({ sources, routes: [texts] })

  it.scopedLive("says for each source of the file where it goes, and why", () =>
    Effect.gen(function* () {
      expect(yield* explain({ file: "/inbox/sub/a.txt" })).toMatchObject({
        status: 200,
        json: [
          { file: "sub/a.txt", source: { name: "inbox" }, locations: ["ftp://user@host/in/sub/a.txt"] },
          { file: "a.txt", source: { name: "sub" }, locations: ["ftp://user@host/in/a.txt"] }
        ]
      })
      expect(yield* explain({ file: "/inbox/a.pdf" })).toMatchObject({
        status: 200,
        json: [{ folders: [{ matched: false }], locations: [] }]
      })
      expect(yield* explain({ file: "/inbox/sub/a.txt", source: "sub" })).toMatchObject({
        status: 200,
        json: [{ source: { name: "sub" } }]
      })
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("judges what is in no source as if it lay in the first, and what has no root as one below it", () =>
    Effect.gen(function* () {
      const outside = yield* explain({ file: "/etc/a.txt" })
      expect(outside).toMatchObject({
        status: 200,
        json: [{ file: "a.txt", source: { name: "inbox" }, locations: ["ftp://user@host/in/a.txt"] }]
      })
      expect(outside.text).toContain("judged as if it lay in inbox")
      expect(yield* explain({ file: "../../x/a.txt" })).toMatchObject({
        status: 200,
        json: [{ file: "x/a.txt", source: { name: "inbox" } }]
      })
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("refuses a source that is none, and what can't be a file", () =>
    Effect.gen(function* () {
      expect(yield* explain({ file: "/inbox/a.txt", source: "none\u202e" })).toMatchObject({
        status: 404,
        json: { detail: "there is no source none\\u{202e}; there are inbox, sub" }
      })
      for (const file of ["/inbox", "/", "/inbox/", "/inbox/a\0b"]) {
        expect(yield* explain({ file }), file).toMatchObject({ status: 400 })
      }
      for (const body of [{}, { file: "" }, { file: "x".repeat(8193) }, { file: "a", other: 1 }, { file: 3 }]) {
        expect(yield* explain(body), JSON.stringify(body)).toMatchObject({ status: 400 })
      }
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("a file in a source is read where a rule asks; one elsewhere never is, nor one behind a link", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const inbox = join(directory, "in")
      fs.mkdirSync(inbox)
      for (const path of ["letter", "in/letter", "in/ab\n\u001b[2J\u202ec"]) fs.writeFileSync(join(directory, path), "")
      fs.symlinkSync(directory, join(inbox, "out"))
      fs.symlinkSync(join(directory, "letter"), join(inbox, "link"))
      const given = { mime: "text/plain", text: "Dear Ada" }
      const server = testServer(
        { sources: [sourceAt(inbox)], routes: [letters] },
        { letter: given, "out/letter": given, link: given, "ab\n\u001b[2J\u202ec": given }
      )
      yield* Effect.gen(function* () {
        expect(yield* explain({ file: join(inbox, "letter") })).toMatchObject({
          json: [{ exists: true, folders: [{ matched: true }], locations: ["/letters/letter"] }]
        })
        expect(yield* explain({ file: join(directory, "letter") })).toMatchObject({
          json: [{ exists: false, folders: [{ matched: null }], locations: [] }]
        })
        for (const [file, had] of [
          ["out/letter", "behind a link"],
          ["link", "a link"]
        ] as const) {
          const answer = yield* explain({ file: join(inbox, file) })
          expect(answer).toMatchObject({
            json: [{ exists: false, source: { accepted: false }, folders: [{ matched: null }], locations: [] }]
          })
          expect(answer.text).toContain(had)
        }
        const hostile = yield* explain({ file: `${inbox}/ab\\u{a}\\u{1b}[2J\\u{202e}c` })
        expect(hostile).toMatchObject({ json: [{ exists: true, file: "ab\\u{a}\\u{1b}[2J\\u{202e}c" }] })
        expect(hostile.text).not.toMatch(harmful)
      }).pipe(Effect.provide(server))
    })
  )
})

describe("GET /api/v1/logs/{id}/explain", () => {
  const server = testServer({ sources: [sourceAt("/elsewhere")], routes: [] })
  const of = (id: string) => call("GET", `/api/v1/logs/${id}/explain`)

  it.scopedLive("says by which rules the file was judged, and where it went", () =>
    Effect.gen(function* () {
      const world = yield* World
      const logs = yield* LogRepo
      const { id } = logEntry(1)
      world.deliveries.set(7, delivery(7, { route: "letters", state: "DELIVERED" }))
      yield* logs.append([{ ...logEntry(1), delivery: 7 }])

      expect(yield* of(id)).toMatchObject({ status: 404 })
      expect((yield* of(id)).text).toContain("were not kept")

      world.rules = Ruleset.encode(rules([texts, letters], { sources: [sourceAt("/inbox")] }))
      const answer = yield* of(id)
      expect(answer).toMatchObject({
        status: 200,
        json: {
          file: "file-7.txt",
          source: { name: "inbox", accepted: true },
          decided: true,
          locations: ["ftp://user@host/in/file-7.txt"],
          folders: [
            { name: "texts", matched: true, gets: false },
            { name: "letters", matched: true, gets: true, locations: [{ name: "file-7.txt" }] }
          ]
        }
      })
      expect(answer.text).toContain("was accepted on 1970-01-01T00:00:02.000Z for ftp://user@host/in/file-7.txt")

      world.rules = "{}"
      expect(yield* of(id)).toMatchObject({ status: 404 })
    }).pipe(Effect.provide(server))
  )

  it.scopedLive("there must be such an entry, and a delivery behind it", () =>
    Effect.gen(function* () {
      const logs = yield* LogRepo
      yield* logs.append([
        { ...logEntry(1), delivery: null },
        { ...logEntry(2), delivery: 99 }
      ])
      expect(yield* of(logEntry(3).id)).toMatchObject({ status: 404 })
      expect((yield* of(logEntry(1).id)).text).toContain("stored by somebody else")
      expect((yield* of(logEntry(2).id)).text).toContain("has forgotten delivery 99")
    }).pipe(Effect.provide(server))
  )
})

describe("POST /api/v1/deliveries/{id}/retry?reroute=true", () => {
  const server = testServer({
    sources: [sourceAt("/inbox")],
    routes: [texts, route("copies", { extensions: ["txt"] })]
  })
  const dead = delivery(1, { state: "DEAD", reason: "no" })

  it.scopedLive("sends the file where today's config says, and answers the new delivery", () =>
    Effect.gen(function* () {
      const world = yield* World
      world.deliveries.set(1, dead)
      expect(yield* call("POST", "/api/v1/deliveries/1/retry?reroute=true")).toMatchObject({
        status: 200,
        json: { id: 2, route: "texts", state: "PENDING", destination: "ftp://user@host/in/file-1.txt" }
      })
      expect(world.deliveries.get(1)).toMatchObject({ state: "CANCELLED" })
      expect(world.deliveries.get(3)).toMatchObject({ route: "copies" })
      expect(world.notified.toSorted()).toEqual(["file:/", "ftp://host"])
    }).pipe(Effect.provide(server))
  )

  it.scopedLive("all of them; and without it as they were", () =>
    Effect.gen(function* () {
      const world = yield* World
      world.deliveries.set(1, dead)
      world.deliveries.set(2, delivery(2, { state: "DEAD" }))
      expect(yield* call("POST", "/api/v1/deliveries/retry?reroute=true&lane=nowhere")).toMatchObject({
        json: { replayed: 0 }
      })
      expect(yield* call("POST", "/api/v1/deliveries/retry?reroute=true")).toMatchObject({ json: { replayed: 4 } })
      world.deliveries.set(1, dead)
      expect(yield* call("POST", "/api/v1/deliveries/1/retry?reroute=false")).toMatchObject({
        status: 200,
        json: { id: 1, state: "PENDING" }
      })
      expect(yield* call("POST", "/api/v1/deliveries/1/retry?reroute=maybe")).toMatchObject({ status: 400 })
    }).pipe(Effect.provide(server))
  )

  it.scopedLive("says why one stays as it is", () =>
    Effect.gen(function* () {
      const world = yield* World
      const { generation } = dead
      world.deliveries.set(1, delivery(1, { state: "DEAD", generation: { ...generation, source: "/gone" } }))
      world.deliveries.set(2, delivery(2, { state: "DELIVERED" }))
      const gone = yield* call("POST", "/api/v1/deliveries/1/retry?reroute=true")
      expect(gone).toMatchObject({ status: 409 })
      expect(gone.text).toContain("the config has no source /gone any more")
      const delivered = yield* call("POST", "/api/v1/deliveries/2/retry?reroute=true")
      expect(delivered).toMatchObject({ status: 409 })
      expect(delivered.text).toContain("delivery 2 is DELIVERED, and stays so")
      expect(yield* call("POST", "/api/v1/deliveries/3/retry?reroute=true")).toMatchObject({ status: 404 })
      expect(world.notified).toEqual([])
    }).pipe(Effect.provide(server))
  )
})
