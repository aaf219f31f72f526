/**
 * What every LogRepo promises. Run by each implementation's own test file.
 */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, type Layer, Option, Stream } from "effect"
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
  logEntry(2, {
    filename: "a.pdf",
    route: "texts",
    source: "/other",
    created: "2026-02-01T00:00:00.000Z",
    byte_size: 5
  }),
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
      [{ route: "videos" }, [1]],
      [{ route: "" }, [3, 4]],
      [{ route: "text" }, []],
      [{ search: "holiday" }, [1]],
      [{ search: "DAY.m" }, [1]],
      [{ search: ".pdf" }, [2, 3, 4]],
      [{ search: "A.p" }, [2, 4]],
      [{ search: "b" }, [3]],
      [{ search: "P4" }, [1]],
      [{ search: "a.pdf", filename: "A.PDF" }, [4]],
      [{ search: "pdf", route: "", created__lte: "2026-02-01" }, [3]],
      [{ search: "pdf", status: "FAILED" }, []],
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

    const hostile = [
      'say "pdf" OR name:x*',
      "100%_sure\\.txt",
      "100 percent sure.txt",
      "NEAR(pdf txt) AND NOT -x ^y {z}",
      "Über Größe ÉTÉ.txt",
      "u\u0308ber gro\u0308sse.txt",
      "ΟΔΟΣ 日本語.txt",
      "zero\0after.txt",
      "🎉🎊🎈.gif",
      "‮gpj.exe"
    ]
    const searches: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
      ['"pdf"', [0]],
      ['"', [0]],
      ["OR name:", [0]],
      ["x*", [0]],
      ["p*f", []],
      ["100%", [1]],
      ["0%_s", [1]],
      ["%", [1]],
      ["_", [1]],
      ["e\\.t", [1]],
      ["\\", [1]],
      ["pdf txt", [3]],
      ["not -X ^Y", [3]],
      ["über", [4, 5]],
      ["U\u0308BER GR", [4, 5]],
      ["ü", [4, 5]],
      ["été", [4]],
      ["uber", []],
      ["οδοσ", [6]],
      ["δΟς", [6]],
      ["日本", [6]],
      ["日本語", [6]],
      ["本語.txt", [6]],
      ["zero\0after", [7]],
      ["after", [7]],
      ["zeroafter", []],
      ["🎊🎈.", [8]],
      ["🎊", [8]],
      ["‮gpj", [9]],
      [" ", [0, 2, 3, 4, 5, 6]]
    ]
    test(
      "searches names as they are: nothing is an operator, and letters of all scripts are alike in any case",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        const find = Effect.forEach(searches, ([search]) =>
          Effect.map(query({ search }), (page) => [search, numbers(page), page.total])
        )
        yield* repo.append(hostile.map((filename, n) => logEntry(n, { filename })))
        const expected = searches.map(([search, found]) => [search, found, found.length])
        expect(yield* find).toEqual(expected)
        // and the same when a thousand others are in the log
        yield* repo.append(Array.from({ length: 1_000 }, (_, n) => logEntry(n + 100, { filename: `MMM${n}` })))
        expect(yield* find).toEqual(expected)
      })
    )

    test(
      "finds what is new, and nothing that is gone, whichever it is among thousands",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        const found = (search: string) => Effect.map(query({ search }), numbers)
        for (const n of [0, 1_000, 2_000]) {
          yield* repo.append(
            Array.from({ length: 1_000 }, (_, m) =>
              logEntry(n + m, { filename: `name ${n + m}!`, created: new Date(1.7e12 + n + m).toISOString() })
            )
          )
        }
        yield* repo.append([logEntry(3_000, { filename: "name 3000!" })])
        expect(yield* found("NAME 7!")).toEqual([7])
        expect(yield* found("name 2999!")).toEqual([2_999])
        expect(yield* found("name 3000!")).toEqual([3_000])
        expect(yield* found("99!")).toHaveLength(30)
        // the newest go, and others come in their stead
        for (const n of [7, 2_998, 2_999, 3_000]) yield* repo.remove(logEntry(n).id)
        expect(yield* found("99!")).toHaveLength(29)
        yield* repo.append([4_000, 4_001, 4_002].map((n) => logEntry(n, { filename: `other ${n}!`, route: "new" })))
        expect(yield* found("name 7!")).toEqual([])
        expect(yield* found("name 3000!")).toEqual([])
        expect(yield* found("other")).toEqual([4_000, 4_001, 4_002])
        expect(numbers(yield* query({ route: "new" }))).toEqual([4_000, 4_001, 4_002])
        expect(yield* repo.prune(1.7e12 + 1_500)).toBe(1_499)
        expect(yield* found("name 1499!")).toEqual([])
        expect(yield* found("name 1500!")).toEqual([1_500])
        expect((yield* query({ search: "name" })).total).toBe(1_498)
      })
    )

    test(
      "bounds the total where that is asked for, and only there",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* repo.append(Array.from({ length: 10_050 }, (_, n) => logEntry(n, { route: n < 5 ? "few" : "many" })))
        const totals = (filter: LogFilter) =>
          Effect.forEach([undefined, "exact", "bounded"] as const, (total) =>
            Effect.map(
              repo.query({ filter, order: "-created", limit: 3, total }),
              (page) => Option.getOrThrow(page).total
            )
          )
        expect(yield* totals({})).toEqual([10_050, 10_050, 10_000])
        expect(yield* totals({ route: "many" })).toEqual([10_045, 10_045, 10_000])
        expect(yield* totals({ route: "few" })).toEqual([5, 5, 5])
        expect(yield* totals({ search: "file-" })).toEqual([10_050, 10_050, 10_000])
        expect(yield* totals({ search: "file-1004" })).toEqual([11, 11, 11])
        expect(yield* totals({ search: "file-", byte_size__gte: 10 })).toEqual([10_040, 10_040, 10_000])
        expect(yield* totals({ search: "f" })).toEqual([10_050, 10_050, 10_000])
      })
    )

    test(
      "streams all that match, in order",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* repo.append(Array.from({ length: 2_500 }, (_, n) => logEntry(n)))
        const all = (filter: LogFilter, order: LogOrder) =>
          Effect.map(Stream.runCollect(repo.all(filter, order)), (found) =>
            Chunk.toReadonlyArray(found).map((entry) => entry.byte_size)
          )
        expect(yield* all({}, "-byte_size")).toEqual(Array.from({ length: 2_500 }, (_, n) => 2_499 - n))
        expect(yield* all({ byte_size__lte: 999 }, "created")).toHaveLength(1_000)
        expect(yield* all({ search: "file-24" }, "created")).toHaveLength(111)
        expect(yield* all({ search: "nothing" }, "created")).toEqual([])
      })
    )

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
        expect((yield* repo.folderStats("month")).map(({ folder, files }) => [folder, files])).toEqual([
          ["", 2],
          ["texts", 1]
        ])
        expect((yield* repo.extensionStats("month")).map(({ extension, files }) => [extension, files])).toEqual([
          ["pdf", 3]
        ])
      })
    )

    test(
      "prunes by age: the entries go, the statistics stay, and the totals are those of what is there",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        yield* store(various)
        const statistics = Effect.all([
          repo.stats("day"),
          repo.folderStats("day"),
          repo.extensionStats("day"),
          repo.timeStats("day")
        ])
        const before = yield* statistics
        expect(yield* repo.prune(Date.parse("2026-02-01T09:00:00.000Z"))).toBe(2)
        expect(yield* repo.prune(Date.parse("2026-02-01T09:00:00.000Z"))).toBe(0)
        const page = yield* query({})
        expect([numbers(page), page.total]).toEqual([[3, 4], 2])
        expect((yield* query({ created: "2026-02-01" })).total).toBe(1)
        expect((yield* query({ status: "FAILED" })).total).toBe(0)
        expect(yield* statistics).toEqual(before)
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

    test(
      "sums by folder and by extension, within days",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        const on = (n: number, day: string, fields: Partial<LogEntry>) =>
          logEntry(n, { created: `${day}T23:00:00.000Z`, byte_size: 10 ** n, ...fields })
        yield* repo.append([
          on(0, "2026-01-04", { route: "a", extension: "" }),
          on(1, "2026-01-05", { route: "a", extension: "pdf" }),
          on(2, "2026-01-05", { route: null, extension: "pdf", status: "FAILED" }),
          on(3, "2026-01-06", { route: "b", extension: "größe" }),
          on(4, "2026-01-06", { route: "b", extension: "x".repeat(16) })
        ])
        yield* repo.append([
          on(5, "2026-01-06", { route: "b", extension: "x".repeat(17) }),
          on(6, "2026-01-06", { route: "b", extension: "a b" }),
          on(7, "2026-01-06", { route: "b", extension: "pdf" })
        ])
        const ok = "SUCCEEDED"
        expect(yield* repo.folderStats("day")).toEqual([
          { start: "2026-01-04", status: ok, folder: "a", files: 1, bytes: 1 },
          { start: "2026-01-05", status: "FAILED", folder: "", files: 1, bytes: 100 },
          { start: "2026-01-05", status: ok, folder: "a", files: 1, bytes: 10 },
          { start: "2026-01-06", status: ok, folder: "b", files: 5, bytes: 11_111_000 }
        ])
        expect(yield* repo.folderStats("month", { from: "2026-01-05", to: "2026-01-05" })).toEqual([
          { start: "2026-01-01", status: "FAILED", folder: "", files: 1, bytes: 100 },
          { start: "2026-01-01", status: ok, folder: "a", files: 1, bytes: 10 }
        ])
        expect(yield* repo.extensionStats("week", { from: "2026-01-05" })).toEqual([
          { start: "2026-01-05", status: ok, extension: "*", files: 2, bytes: 1_100_000 },
          { start: "2026-01-05", status: ok, extension: "größe", files: 1, bytes: 1_000 },
          { start: "2026-01-05", status: "FAILED", extension: "pdf", files: 1, bytes: 100 },
          { start: "2026-01-05", status: ok, extension: "pdf", files: 2, bytes: 10_000_010 },
          { start: "2026-01-05", status: ok, extension: "x".repeat(16), files: 1, bytes: 10_000 }
        ])
        expect(yield* repo.extensionStats("day", { to: "2026-01-04" })).toEqual([
          { start: "2026-01-04", status: ok, extension: "", files: 1, bytes: 1 }
        ])
        expect((yield* repo.stats("day", { from: "2026-01-05", to: "2026-01-05" })).map((one) => one.files)).toEqual([
          1, 1
        ])
      })
    )

    test(
      "counts only so many extensions a day by themselves, and takes each out as it was counted",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        const entries = Array.from({ length: 300 }, (_, n) => logEntry(n, { extension: `e${n}`, byte_size: 1 }))
        for (let from = 0; from < entries.length; from += 70) yield* repo.append(entries.slice(from, from + 70))
        yield* repo.append([logEntry(2_000, { extension: "e5", byte_size: 1 })])
        const buckets = yield* repo.extensionStats("day")
        expect(buckets.length).toBeLessThanOrEqual(220)
        expect(buckets.length).toBeGreaterThan(100)
        expect(buckets.reduce((sum, one) => sum + one.files, 0)).toBe(301)
        expect(buckets.find((one) => one.extension === "e5")?.files).toBe(2)
        for (const { id } of entries) yield* repo.remove(id)
        const [left, ...others] = yield* repo.extensionStats("day")
        expect([left?.files, left?.bytes, others]).toEqual([1, 1, []])
      })
    )

    test(
      "knows the median and the 95th percentile of what succeeded, to a few per cent",
      Effect.gen(function* () {
        const repo = yield* LogRepo
        const took = (n: number, duration_ms: number | null, fields: Partial<LogEntry> = {}) =>
          logEntry(n, { duration_ms, created: `2026-01-${n < 1_000 ? "05" : "06"}T00:00:00.000Z`, ...fields })
        // 1 to 1000 ms in some order
        yield* repo.append(Array.from({ length: 1_000 }, (_, n) => took(n, ((n * 7) % 1_000) + 1)))
        yield* repo.append([
          took(1_000, 0),
          took(1_001, 1e300),
          took(1_002, 5),
          took(1_003, null),
          took(1_004, 9e9, { status: "FAILED" })
        ])
        const near = (value: number) => ({
          asymmetricMatch: (other: unknown) => typeof other === "number" && Math.abs(other / value - 1) < 0.03
        })
        const [first, second, ...others] = yield* repo.timeStats("day")
        expect(others).toEqual([])
        expect(first).toEqual({ start: "2026-01-05", files: 1_000, median_ms: near(500), p95_ms: near(950) })
        // shorter and longer ones are counted with the shortest and longest
        expect(second).toEqual({ start: "2026-01-06", files: 3, median_ms: near(5), p95_ms: near(365 * 86_400_000) })
        expect(yield* repo.timeStats("week", { to: "2026-01-05" })).toEqual([first])
        const both = yield* repo.timeStats("week")
        expect(both).toEqual([{ start: "2026-01-05", files: 1_003, median_ms: near(500), p95_ms: near(952) }])
        for (const n of [1_000, 1_001, 1_003, 1_004]) yield* repo.remove(logEntry(n).id)
        expect((yield* repo.timeStats("day"))[1]).toEqual({
          start: "2026-01-06",
          files: 1,
          median_ms: near(5),
          p95_ms: near(5)
        })
        yield* repo.remove(logEntry(1_002).id)
        expect(yield* repo.timeStats("day")).toEqual([first])
      })
    )
  })
}
