/**
 * What every LogRepo promises. Run by each implementation's own test file.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Layer, Option } from "effect"
import { extensionOf, formatSize, type LogEntry } from "../../src/domain/LogEntry.ts"
import { type LogFilter, type LogOrder, type LogPage, LogRepo } from "../../src/store/LogRepo.ts"

/** An entry with defaults; `n` makes its id. */
export const logEntry = (n: number, fields: Partial<LogEntry> = {}): LogEntry => {
  const filename = fields.filename ?? `file-${n}.txt`
  const byte_size = fields.byte_size ?? n
  return {
    id: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`,
    filename,
    source: "/inbox",
    destination: "file:///out",
    extension: extensionOf(filename),
    worker: "File worker",
    protocol: "file",
    status: "SUCCEEDED",
    size: formatSize(byte_size),
    byte_size,
    reason: null,
    created: "2026-01-15T12:00:00.000Z",
    file_created: null,
    file_modified: null,
    sha256: null,
    sent_size: null,
    sent_sha256: null,
    verified: null,
    route: null,
    attempts: null,
    duration_ms: null,
    delivery: null,
    ...fields
  }
}

const full: LogEntry = logEntry(1, {
  filename: "holiday.MP4",
  extension: "mp4",
  destination: "ftp://user@host:21/videos",
  worker: "FTP worker",
  protocol: "ftp",
  status: "FAILED",
  byte_size: 12_288,
  size: "12.00 KB",
  reason: "550 no such directory",
  created: "2026-01-31T23:59:59.999Z",
  file_created: "2026-01-31T10:00:00.000Z",
  file_modified: "2026-01-31T11:00:00.000Z",
  sha256: "ab".repeat(32),
  sent_size: 4_096,
  sent_sha256: "cd".repeat(32),
  verified: "size",
  route: "videos",
  attempts: 3,
  duration_ms: 12.5,
  delivery: 7
})

/** Four entries that differ in everything that can be asked for. */
const various = [
  full,
  logEntry(2, { filename: "a.pdf", source: "/other", created: "2026-02-01T00:00:00.000Z", byte_size: 5 }),
  logEntry(3, {
    filename: "b.pdf",
    protocol: "http",
    destination: "https://host/up",
    created: "2026-02-01T09:00:00.000Z",
    byte_size: 500
  }),
  logEntry(4, { filename: "A.PDF", created: "2026-02-02T00:00:00.000Z", byte_size: 5 })
]

const query = (filter: LogFilter, order: LogOrder = "created", limit = 100, cursor?: string) =>
  Effect.gen(function* () {
    const repo = yield* LogRepo
    return Option.getOrThrow(yield* repo.query({ filter, order, limit, cursor }))
  })

/** The numbers that the ids were made from. */
const numbers = (page: LogPage) => page.entries.map((entry) => Number(entry.id.slice(-12)))

export const logRepoContract = (name: string, layer: Layer.Layer<LogRepo, unknown>): void => {
  describe(`LogRepo ${name}`, () => {
    const test = (title: string, body: Effect.Effect<void, unknown, LogRepo>) =>
      it.effect(title, () => body.pipe(Effect.provide(layer)))

    const store = (entries: ReadonlyArray<LogEntry>) => Effect.flatMap(LogRepo, (repo) => repo.append(entries))

    test(
      "stores every field, and finds the entry by its id",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* repo.append([full])
        expect(yield* repo.get(full.id)).toEqual(Option.some(full))
        expect(yield* repo.get(logEntry(2).id)).toEqual(Option.none())
      })
    )

    test(
      "stores batches of any size",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* repo.append([])
        yield* repo.append(Array.from({ length: 127 }, (_, n) => logEntry(n)))
        expect((yield* query({}, "byte_size", 1000)).entries.map((entry) => entry.byte_size)).toEqual(
          Array.from({ length: 127 }, (_, n) => n)
        )
        expect(yield* repo.stats("day")).toMatchObject([{ files: 127, bytes: (126 * 127) / 2 }])
      })
    )

    test(
      "refuses an id that it has, and then stores nothing of the batch",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* repo.append([logEntry(1)])
        const error = yield* Effect.flip(repo.append([logEntry(2), logEntry(1)]))
        expect(error._tag).toBe("LogError")
        expect((yield* query({})).total).toBe(1)
        expect(yield* repo.get(logEntry(2).id)).toEqual(Option.none())
      })
    )

    const filters: ReadonlyArray<readonly [LogFilter, ReadonlyArray<number>]> = [
      [{}, [1, 2, 3, 4]],
      [{ status: "FAILED" }, [1]],
      [{ status: "SUCCEEDED" }, [2, 3, 4]],
      [{ destination: "https://host/up" }, [3]],
      [{ filename: "a.pdf" }, [2]],
      [{ source: "/other" }, [2]],
      [{ extension: "pdf" }, [2, 3, 4]],
      [{ protocol: "ftp" }, [1]],
      [{ byte_size: 5 }, [2, 4]],
      [{ byte_size__lte: 500 }, [2, 3, 4]],
      [{ byte_size__gte: 500 }, [1, 3]],
      [{ created: "2026-02-01" }, [2, 3]],
      [{ created: "2026-01-31" }, [1]],
      [{ created__lte: "2026-02-01" }, [1, 2, 3]],
      [{ created__gte: "2026-02-01" }, [2, 3, 4]],
      [{ created__gte: "2026-02-01", created__lte: "2026-02-01", protocol: "file" }, [2]],
      [{ status: "SUCCEEDED", extension: "pdf", byte_size__lte: 5, filename: "A.PDF" }, [4]],
      [{ filename: "' OR 1=1 --" }, []],
      [{ created: "9999-12-31" }, []]
    ]
    for (const [filter, expected] of filters) {
      test(
        `filters by ${JSON.stringify(filter)}, and counts what matches`,
        Effect.gen(function* () {
          yield* store(various)
          const page = yield* query(filter)
          expect(numbers(page)).toEqual(expected)
          expect(page.total).toBe(expected.length)
          // the count does not depend on the page
          expect((yield* query(filter, "-created", 1)).total).toBe(expected.length)
        })
      )
    }

    const orders: ReadonlyArray<readonly [LogOrder, ReadonlyArray<number>]> = [
      ["created", [1, 2, 3, 4]],
      ["-created", [4, 3, 2, 1]],
      ["byte_size", [2, 4, 3, 1]],
      ["-byte_size", [1, 3, 4, 2]]
    ]
    for (const [order, expected] of orders) {
      test(
        `orders by ${order}, and pages in that order without a gap or a repetition`,
        Effect.gen(function* () {
          yield* store(various)
          for (const limit of [1, 2, 3, 4, 5]) {
            const seen: Array<number> = []
            let cursor: string | undefined
            do {
              const page: LogPage = yield* query({}, order, limit, cursor)
              expect(page.entries.length).toBeLessThanOrEqual(limit)
              seen.push(...numbers(page))
              cursor = page.next ?? undefined
            } while (cursor !== undefined)
            expect(seen).toEqual(expected)
          }
        })
      )
    }

    test(
      "pages stay whole while entries come and go",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* store(various)
        const first = yield* query({}, "-created", 2)
        yield* repo.append([logEntry(9, { created: "2026-03-01T00:00:00.000Z" })])
        yield* repo.remove(various[2]?.id ?? "")
        const second = yield* query({}, "-created", 2, first.next ?? "")
        expect([numbers(first), numbers(second)]).toEqual([
          [4, 3],
          [2, 1]
        ])
        expect(second.next).toBe(null)
      })
    )

    test(
      "knows a cursor that is not its own",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* store(various)
        const { next } = yield* query({}, "created", 1)
        const foreign = ["", "x", "W10", "bnVsbA", "%%%", Buffer.from('["created",1,2]').toString("base64url")]
        for (const cursor of foreign) {
          expect(yield* repo.query({ filter: {}, order: "created", limit: 1, cursor })).toEqual(Option.none())
        }
        expect(yield* repo.query({ filter: {}, order: "-byte_size", limit: 1, cursor: next ?? "" })).toEqual(
          Option.none()
        )
      })
    )

    test(
      "removes an entry from the log, the totals and the statistics",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* store(various)
        expect(yield* repo.remove(full.id)).toBe(true)
        expect(yield* repo.remove(full.id)).toBe(false)
        expect(yield* repo.get(full.id)).toEqual(Option.none())
        expect((yield* query({})).total).toBe(3)
        expect((yield* query({ status: "FAILED" })).total).toBe(0)
        expect((yield* repo.stats("month")).some((bucket) => bucket.status === "FAILED")).toBe(false)
      })
    )

    test(
      "prunes by age: the entries go, the statistics stay, and the totals are those of what is there",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* store(various)
        const before = yield* repo.stats("day")
        expect(yield* repo.prune(Date.parse("2026-02-01T09:00:00.000Z"))).toBe(2)
        expect(yield* repo.prune(Date.parse("2026-02-01T09:00:00.000Z"))).toBe(0)
        const page = yield* query({})
        expect([numbers(page), page.total]).toEqual([[3, 4], 2])
        expect((yield* query({ created: "2026-02-01" })).total).toBe(1)
        expect((yield* query({ status: "FAILED" })).total).toBe(0)
        expect(yield* repo.stats("day")).toEqual(before)
      })
    )

    test(
      "prunes more than one batch",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* repo.append(Array.from({ length: 1234 }, (_, n) => logEntry(n)))
        expect(yield* repo.prune(Date.parse("2027-01-01"))).toBe(1234)
        expect((yield* query({})).total).toBe(0)
      })
    )

    test(
      "sums by day, by week from Monday on, and by month",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        const on = (n: number, day: string, fields: Partial<LogEntry> = {}) =>
          logEntry(n, { created: `${day}T23:00:00.000Z`, byte_size: 10 ** n, ...fields })
        yield* repo.append([
          on(0, "2025-12-29"), // a Monday
          on(1, "2026-01-04"), // the Sunday of that week
          on(2, "2026-01-05"), // the next Monday
          on(3, "2026-01-05", { status: "FAILED", reason: "no" }),
          on(4, "2026-01-05", { protocol: "http", destination: "https://host/up" })
        ])
        const file = { destination: "file:///out", protocol: "file", status: "SUCCEEDED" }
        const failed = { ...file, status: "FAILED" }
        const http = { destination: "https://host/up", protocol: "http", status: "SUCCEEDED" }
        expect(yield* repo.stats("day")).toEqual([
          { start: "2025-12-29", ...file, files: 1, bytes: 1 },
          { start: "2026-01-04", ...file, files: 1, bytes: 10 },
          { start: "2026-01-05", ...failed, files: 1, bytes: 1000 },
          { start: "2026-01-05", ...file, files: 1, bytes: 100 },
          { start: "2026-01-05", ...http, files: 1, bytes: 10_000 }
        ])
        expect(yield* repo.stats("week")).toEqual([
          { start: "2025-12-29", ...file, files: 2, bytes: 11 },
          { start: "2026-01-05", ...failed, files: 1, bytes: 1000 },
          { start: "2026-01-05", ...file, files: 1, bytes: 100 },
          { start: "2026-01-05", ...http, files: 1, bytes: 10_000 }
        ])
        expect(yield* repo.stats("month")).toEqual([
          { start: "2025-12-01", ...file, files: 1, bytes: 1 },
          { start: "2026-01-01", ...failed, files: 1, bytes: 1000 },
          { start: "2026-01-01", ...file, files: 2, bytes: 110 },
          { start: "2026-01-01", ...http, files: 1, bytes: 10_000 }
        ])
      })
    )
  })
}
