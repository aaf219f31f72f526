import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, LogLevel, Option, Stream } from "effect"
import { request } from "node:http"
import * as Server from "../../src/http/Server.ts"
import { LogError, LogRepo } from "../../src/store/LogRepo.ts"
import * as LogRepoMemory from "../../src/store/LogRepoMemory.ts"
import { logEntry } from "../contracts/logRepo.ts"
import { call, port, services, testServer } from "./testServer.ts"

const entries = [
  logEntry(1, {
    filename: "holiday.mp4",
    destination: "ftp://user@host/videos",
    worker: "FTP worker",
    protocol: "ftp",
    status: "FAILED",
    reason: "550",
    byte_size: 900,
    created: "2026-01-31T23:59:59.999Z"
  }),
  logEntry(2, { filename: "a.pdf", source: "/other", byte_size: 20, created: "2026-02-01T00:00:00.000Z" }),
  logEntry(3, { filename: "b.pdf", byte_size: 30, created: "2026-02-01T10:00:00.000Z" }),
  logEntry(4, {
    filename: "c.txt",
    route: "texts",
    duration_ms: 250,
    byte_size: 4,
    created: "2026-02-02T00:00:00.000Z"
  })
]

const filled = Layer.effectDiscard(Effect.flatMap(LogRepo, (logs) => logs.append(entries))).pipe(
  Layer.provideMerge(testServer())
)

const ids = (json: unknown): ReadonlyArray<number> =>
  Array.isArray(json) ? json.map((entry: { readonly id: string }) => Number(entry.id.slice(-12))) : []

describe("GET /api/v1/logs", () => {
  const cases: ReadonlyArray<readonly [query: string, expected: ReadonlyArray<number>]> = [
    ["", [4, 3, 2, 1]],
    ["?status=FAILED", [1]],
    ["?status=failed", [1]],
    ["?status=SUCCEEDED", [4, 3, 2]],
    ["?destination=ftp://user@host/videos", [1]],
    ["?destination=file:///out", [4, 3, 2]],
    ["?filename=a.pdf", [2]],
    ["?filename=A.pdf", []],
    ["?source=/other", [2]],
    ["?extension=pdf", [3, 2]],
    ["?search=.P", [3, 2]],
    ["?search=HOLI", [1]],
    ["?search=%25", []],
    ["?route=texts", [4]],
    ["?route=", [3, 2, 1]],
    ["?search=.&route=texts&total=bounded", [4]],
    ["?extension=.PDF", [3, 2]],
    ["?protocol=ftp", [1]],
    ["?byte_size=20", [2]],
    ["?byte_size__lte=20", [4, 2]],
    ["?byte_size__gte=30", [3, 1]],
    ["?created=2026-02-01", [3, 2]],
    ["?created__lte=2026-02-01", [3, 2, 1]],
    ["?created__gte=2026-02-01", [4, 3, 2]],
    ["?extension=pdf&byte_size__gte=25&status=SUCCEEDED", [3]],
    ["?ordering=created", [1, 2, 3, 4]],
    ["?ordering=-created", [4, 3, 2, 1]],
    ["?ordering=byte_size", [4, 2, 3, 1]],
    ["?ordering=-byte_size", [1, 3, 2, 4]]
  ]
  for (const [query, expected] of cases) {
    it.scopedLive(`${query === "" ? "(no filter)" : query} answers ${JSON.stringify(expected)}`, () =>
      Effect.gen(function* () {
        const answer = yield* call("GET", `/api/v1/logs${query}`)
        expect(answer.status).toBe(200)
        expect(ids(answer.json)).toEqual(expected)
        expect(answer.headers["x-total-count"]).toBe(String(expected.length))
        expect(answer.headers.link).toBe(undefined)
      }).pipe(Effect.provide(filled))
    )
  }

  it.scopedLive("pages by limit and the Link header, which keeps the filters", () =>
    Effect.gen(function* () {
      let path = "/api/v1/logs?limit=2&status=SUCCEEDED&ordering=byte_size"
      const pages: Array<ReadonlyArray<number>> = []
      while (path !== "") {
        const { headers, json, status } = yield* call("GET", path)
        expect(status).toBe(200)
        expect(headers["x-total-count"]).toBe("3")
        pages.push(ids(json))
        path = /^<(\S+)>; rel="next"$/.exec(String(headers.link ?? ""))?.[1] ?? ""
      }
      expect(pages).toEqual([[4, 2], [3]])
    }).pipe(Effect.provide(filled))
  )

  it.scopedLive("answers a hundred at most unless asked for more, and a thousand at most", () =>
    Effect.gen(function* () {
      const logs = yield* LogRepo
      yield* logs.append(Array.from({ length: 1_100 }, (_, n) => logEntry(n + 10)))
      expect(ids((yield* call("GET", "/api/v1/logs")).json)).toHaveLength(100)
      expect(ids((yield* call("GET", "/api/v1/logs?limit=1000")).json)).toHaveLength(1000)
      expect((yield* call("GET", "/api/v1/logs?limit=1001")).status).toBe(400)
    }).pipe(Effect.provide(filled))
  )

  const bad: ReadonlyArray<readonly [query: string, detail: string]> = [
    ["?status=DONE", 'status must be one of SUCCEEDED, FAILED, and was "DONE"'],
    ["?created=2026-02-30", 'created must be a date, YYYY-MM-DD, and was "2026-02-30"'],
    ["?created__lte=yesterday", 'created__lte must be a date, YYYY-MM-DD, and was "yesterday"'],
    ["?byte_size=-1", 'byte_size must be a whole number from 0 to 9007199254740991, and was "-1"'],
    ["?byte_size__gte=big", 'byte_size__gte must be a whole number from 0 to 9007199254740991, and was "big"'],
    ["?search=", 'search must be a text of 1 to 255 characters, and was ""'],
    ["?total=some", 'total must be one of exact, bounded, and was "some"'],
    ["?limit=0", 'limit must be a whole number from 1 to 1000, and was "0"'],
    ["?limit=1.5", 'limit must be a whole number from 1 to 1000, and was "1.5"'],
    ["?ordering=size", 'ordering must be one of created, -created, byte_size, -byte_size, and was "size"'],
    ["?filename=a&filename=b", 'filename must be given once, and was ["a","b"]'],
    [
      "?statu=FAILED",
      "statu is not known here; known are status, destination, filename, search, route, source, extension, protocol, byte_size, byte_size__lte, byte_size__gte, created, created__lte, created__gte, ordering, total, limit, cursor"
    ],
    [
      "?limit=x&ordering=y",
      'ordering must be one of created, -created, byte_size, -byte_size, and was "y"; limit must be a whole number from 1 to 1000, and was "x"'
    ],
    [
      "?cursor=nonsense",
      "cursor is not one of this server for this ordering: take it from the Link header of the page before"
    ]
  ]
  for (const [query, detail] of bad) {
    it.scopedLive(`${query} is refused with what would do`, () =>
      Effect.gen(function* () {
        const answer = yield* call("GET", `/api/v1/logs${query}`)
        expect([answer.status, answer.json]).toEqual([400, { detail }])
      }).pipe(Effect.provide(filled))
    )
  }
})

describe("POST /api/v1/logs", () => {
  const fields = {
    filename: "Report.PDF",
    source: "/inbox",
    destination: "https://host/up",
    protocol: "http",
    status: "SUCCEEDED",
    byte_size: 12_288
  }

  it.scopedLive("stores an entry of the original's fields as it is", () =>
    Effect.gen(function* () {
      const given = { ...fields, extension: "pdf", worker: "HTTP worker", size: "12.00 KB", reason: null }
      const answer = yield* call("POST", "/api/v1/logs", { body: given })
      expect(answer.status).toBe(201)
      expect(answer.json).toMatchObject(given)
      const listed = yield* call("GET", "/api/v1/logs")
      expect(listed.json).toEqual([answer.json])
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("works out what is left out", () =>
    Effect.gen(function* () {
      const { json, status } = yield* call("POST", "/api/v1/logs", { body: fields })
      expect(status).toBe(201)
      expect(json).toMatchObject({
        extension: "pdf",
        worker: "HTTP worker",
        size: "12.00 KB",
        reason: null,
        sha256: null,
        sent_size: null,
        sent_sha256: null,
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        created: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/)
      })
    }).pipe(Effect.provide(testServer()))
  )

  it.scopedLive("keeps id and time, the time in UTC, and no password", () =>
    Effect.gen(function* () {
      const id = logEntry(1).id
      const body = { ...fields, id, created: "2026-01-31T12:00:00+02:00", destination: "ftp://user:s3cret@host/in" }
      const { json, status } = yield* call("POST", "/api/v1/logs", { body })
      expect(status).toBe(201)
      expect(json).toMatchObject({ id, created: "2026-01-31T10:00:00.000Z", destination: "ftp://user@host/in" })
      const again = yield* call("POST", "/api/v1/logs", { body })
      expect([again.status, again.json]).toEqual([409, { detail: `there is an entry with the id ${id} already` }])
    }).pipe(Effect.provide(testServer()))
  )

  const bad: ReadonlyArray<readonly [title: string, body: unknown, status: number, detail: string | RegExp]> = [
    ["no JSON", "{", 400, /^the body is not valid JSON: /],
    ["nothing", "", 400, /^the request: /],
    ["another type", [1], 400, /^the request: /],
    ["no name", { ...fields, filename: "" }, 400, 'filename must be a text of 1 to 8192 characters, and was ""'],
    ["a missing field", { ...fields, source: undefined }, 400, "source is missing"],
    ["a bad status", { ...fields, status: "OK" }, 400, 'status must be one of SUCCEEDED, FAILED, and was "OK"'],
    ["a bad size", { ...fields, byte_size: "1" }, 400, 'byte_size must be a number of bytes, and was "1"'],
    ["a bad time", { ...fields, created: "now" }, 400, /^created must be a time in ISO 8601/],
    ["an unknown field", { ...fields, colour: "red" }, 400, /^colour is not known here; known are id, filename, /],
    [
      "too much",
      { ...fields, reason: "x".repeat(8 * 1024 * 1024) },
      413,
      "the body is too large: 1048576 bytes at most"
    ]
  ]
  for (const [title, body, status, detail] of bad) {
    it.scopedLive(`refuses ${title}`, () =>
      Effect.gen(function* () {
        const answer = yield* call("POST", "/api/v1/logs", { body })
        expect(answer.json).toEqual({ detail: typeof detail === "string" ? detail : expect.stringMatching(detail) })
        expect(answer.status).toBe(status)
        expect((yield* call("GET", "/api/v1/logs")).json).toEqual([])
      }).pipe(Effect.provide(testServer()))
    )
  }

  it.scopedLive("refuses a body that does not say its length, and what is not JSON by its type", () =>
    Effect.gen(function* () {
      const chunked = yield* call("POST", "/api/v1/logs", { body: fields, headers: { "transfer-encoding": "chunked" } })
      expect([chunked.status, chunked.json]).toEqual([
        411,
        { detail: "the body must say how long it is, with Content-Length" }
      ])
      const form = yield* call("POST", "/api/v1/logs", {
        body: "filename=a",
        headers: { "content-type": "application/x-www-form-urlencoded" }
      })
      expect([form.status, form.json]).toEqual([
        415,
        { detail: "the body must be application/json, and was application/x-www-form-urlencoded" }
      ])
    }).pipe(Effect.provide(testServer()))
  )
})

describe("/api/v1/logs/{id}", () => {
  it.scopedLive("GET answers the entry, DELETE removes it, and then both answer 404", () =>
    Effect.gen(function* () {
      const path = `/api/v1/logs/${logEntry(2).id}`
      expect(yield* call("GET", path)).toMatchObject({ status: 200, json: entries[1] })
      expect(yield* call("DELETE", path)).toMatchObject({ status: 204, text: "" })
      const missing = { status: 404, json: { detail: `there is no log entry with the id ${logEntry(2).id}` } }
      expect(yield* call("GET", path)).toMatchObject(missing)
      expect(yield* call("DELETE", path)).toMatchObject(missing)
      expect((yield* call("GET", "/api/v1/logs")).headers["x-total-count"]).toBe("3")
    }).pipe(Effect.provide(filled))
  )

  it.scopedLive("refuses what is no id", () =>
    Effect.gen(function* () {
      const answer = yield* call("GET", "/api/v1/logs/7")
      expect([answer.status, answer.json]).toEqual([
        400,
        { detail: 'id must be the id of a log entry, a UUID, and was "7"' }
      ])
    }).pipe(Effect.provide(filled))
  )
})

describe("GET /api/v1/stats", () => {
  it.scopedLive("sums by day, week and month", () =>
    Effect.gen(function* () {
      const starts = (query: string) =>
        Effect.map(call("GET", `/api/v1/stats${query}`), ({ json }) =>
          Array.isArray(json)
            ? json.map(({ files, start, status }) => `${String(start)} ${String(status)} ${String(files)}`)
            : json
        )
      const days = ["2026-01-31 FAILED 1", "2026-02-01 SUCCEEDED 2", "2026-02-02 SUCCEEDED 1"]
      expect(yield* starts("")).toEqual(days)
      expect(yield* starts("?interval=day")).toEqual(days)
      expect(yield* starts("?interval=week")).toEqual([
        "2026-01-26 SUCCEEDED 2",
        "2026-01-26 FAILED 1",
        "2026-02-02 SUCCEEDED 1"
      ])
      expect(yield* starts("?interval=month")).toEqual(["2026-01-01 FAILED 1", "2026-02-01 SUCCEEDED 3"])
      const bad = yield* call("GET", "/api/v1/stats?interval=year")
      expect([bad.status, bad.json]).toEqual([
        400,
        { detail: 'interval must be one of day, week, month, and was "year"' }
      ])
    }).pipe(Effect.provide(filled))
  )

  it.scopedLive("sums of the days that are asked for, by folder, extension and time, too", () =>
    Effect.gen(function* () {
      const ask = (path: string) => Effect.map(call("GET", `/api/v1/stats${path}`), ({ json }) => json)
      const range = "from=2026-02-01&to=2026-02-02"
      expect(yield* ask(`?interval=month&${range}`)).toMatchObject([{ start: "2026-02-01", files: 3, bytes: 54 }])
      expect(yield* ask(`/folders?interval=month&${range}`)).toEqual([
        { start: "2026-02-01", status: "SUCCEEDED", folder: "", files: 2, bytes: 50 },
        { start: "2026-02-01", status: "SUCCEEDED", folder: "texts", files: 1, bytes: 4 }
      ])
      expect(yield* ask("/extensions?to=2026-02-01")).toEqual([
        { start: "2026-01-31", status: "FAILED", extension: "mp4", files: 1, bytes: 900 },
        { start: "2026-02-01", status: "SUCCEEDED", extension: "pdf", files: 2, bytes: 50 }
      ])
      expect(yield* ask("/times?interval=week")).toEqual([
        { start: "2026-02-02", files: 1, median_ms: expect.closeTo(250, -1), p95_ms: expect.closeTo(250, -1) }
      ])
      for (const path of ["", "/folders", "/extensions", "/times"]) {
        const bad = yield* call("GET", `/api/v1/stats${path}?from=2026-02-30`)
        expect([bad.status, bad.json]).toEqual([
          400,
          { detail: 'from must be a date, YYYY-MM-DD, and was "2026-02-30"' }
        ])
      }
    }).pipe(Effect.provide(filled))
  )
})

describe("GET /api/v1/logs/export", () => {
  const header =
    "id,filename,source,destination,extension,worker,protocol,status,size,byte_size,reason,created,file_created,file_modified,sha256,sent_size,sent_sha256,verified,route,attempts,duration_ms,delivery,undone"

  it.scopedLive("answers what matches as JSON, as a file", () =>
    Effect.gen(function* () {
      const { headers, json, status } = yield* call(
        "GET",
        "/api/v1/logs/export?format=json&search=.pdf&ordering=created"
      )
      expect([status, json]).toEqual([200, [entries[1], entries[2]]])
      expect(headers["content-type"]).toBe("application/json")
      expect(headers["content-disposition"]).toMatch(/^attachment; filename="filedispatch-log-\d{4}-\d\d-\d\d\.json"$/)
      expect((yield* call("GET", "/api/v1/logs/export?format=json&search=nothing")).json).toEqual([])
    }).pipe(Effect.provide(filled))
  )

  it.scopedLive("answers CSV by RFC 4180 with a header, in which nothing is a formula", () =>
    Effect.gen(function* () {
      const logs = yield* LogRepo
      const names = [
        '=HYPERLINK("http://evil.example")',
        "+1",
        "-1",
        "@SUM(A1)",
        "\ttab",
        "\rreturn",
        'a, "b"',
        "two\nlines",
        "plain=1"
      ]
      yield* logs.append(
        names.map((filename, n) =>
          logEntry(n + 10, {
            filename,
            source: "/s",
            created: "2026-03-01T00:00:00.000Z",
            verified: "hash",
            attempts: 1
          })
        )
      )
      const answer = yield* call("GET", "/api/v1/logs/export?format=csv&source=/s&ordering=created")
      expect(answer.headers["content-type"]).toBe("text/csv; charset=utf-8")
      expect(answer.headers["content-disposition"]).toMatch(/\.csv"$/)
      const cells = [
        `"'=HYPERLINK(""http://evil.example"")"`,
        `"'+1"`,
        `"'-1"`,
        `"'@SUM(A1)"`,
        `"'\ttab"`,
        `"'\rreturn"`,
        `"a, ""b"""`,
        `"two\nlines"`,
        "plain=1"
      ]
      const expected = cells.map((cell, n) => {
        const { byte_size, id, size } = logEntry(n + 10)
        const { extension } = logEntry(n + 10, { filename: names[n] ?? "" })
        const quoted = /"/.test(extension) ? `"${extension.replaceAll('"', '""')}"` : extension
        return `${id},${cell},/s,file:///out,${quoted},File worker,file,SUCCEEDED,${size},${byte_size},,2026-03-01T00:00:00.000Z,,,,,,hash,,1,,,`
      })
      expect(answer.text).toBe([header, ...expected, ""].join("\r\n"))
    }).pipe(Effect.provide(filled))
  )

  it.scopedLive("has all of a long log, page by page", () =>
    Effect.gen(function* () {
      const logs = yield* LogRepo
      yield* logs.append(Array.from({ length: 3_500 }, (_, n) => logEntry(n + 10)))
      const answer = yield* call("GET", "/api/v1/logs/export?format=json&ordering=byte_size")
      expect(answer.json).toHaveLength(3_504)
      expect(new Set(ids(answer.json)).size).toBe(3_504)
      expect((yield* call("GET", "/api/v1/logs/export?format=csv")).text.split("\r\n")).toHaveLength(3_506)
    }).pipe(Effect.provide(filled))
  )

  it.scopedLive("says what formats there are", () =>
    Effect.gen(function* () {
      const answer = yield* call("GET", "/api/v1/logs/export?format=xls")
      expect([answer.status, answer.json]).toEqual([400, { detail: 'format must be one of csv, json, and was "xls"' }])
      expect((yield* call("GET", "/api/v1/logs/export")).status).toBe(400)
    }).pipe(Effect.provide(filled))
  )

  // the first page can be read, and the next can't
  const breaking = Layer.effect(
    LogRepo,
    Effect.map(LogRepo, (logs) => ({
      ...logs,
      all: () =>
        Stream.concat(
          Stream.fromIterable(entries),
          Stream.fail(new LogError({ reason: "the log could not be read: disk I/O error", cause: Option.none() }))
        )
    }))
  ).pipe(Layer.provide(LogRepoMemory.layer))

  for (const format of ["csv", "json"]) {
    it.scopedLive(`breaks off where the log can't be read any more, and does not look whole: ${format}`, () =>
      Effect.gen(function* () {
        const at = yield* port
        const ended = yield* Effect.async<string>((resume) => {
          const req = request(
            { host: "127.0.0.1", port: at, path: `/api/v1/logs/export?format=${format}`, agent: false },
            (response) => {
              response.resume()
              response.on("error", () => {})
              response.on("close", () => resume(Effect.succeed(response.complete ? "whole" : "broken")))
            }
          )
          req.on("error", () => resume(Effect.succeed("broken")))
          req.end()
        })
        expect(ended).toBe("broken")
      }).pipe(
        Effect.provide(Server.layer.pipe(Layer.provide(breaking), Layer.provide(services()))),
        Logger.withMinimumLogLevel(LogLevel.None)
      )
    )
  }
})
