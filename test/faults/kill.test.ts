import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { startFtpServer } from "../servers/ftp.ts"
import { startHttpServer } from "../servers/http.ts"
import { hasVsftpd, startVsftpd } from "../servers/vsftpd.ts"
import { list, project, random } from "../e2e/project.ts"

vi.setConfig({ testTimeout: 120_000 })

const seed = Number(process.env.FILEDISPATCH_SEED ?? Date.now() % 1_000_000)
/** For each of the five; more, for a longer look. */
const kills = Number(process.env.FILEDISPATCH_KILLS ?? 4)

/** The FTP server that is there: its URL with a folder, and what is below that. */
const startFtp = Effect.gen(function* () {
  if (hasVsftpd) {
    const server = yield* startVsftpd
    return {
      url: `${server.url}/upload`,
      files: Effect.gen(function* () {
        const found = new Map<string, Uint8Array>()
        for (const path of yield* server.list("/upload")) {
          found.set(path.slice("/upload/".length), (yield* server.read(path)) ?? Buffer.alloc(0))
        }
        return found
      })
    }
  }
  const server = yield* startFtpServer()
  return {
    url: `${server.url}/upload`,
    files: Effect.sync(
      () => new Map(Array.from(server.files, ([path, bytes]) => [path.slice("/upload/".length), bytes] as const))
    )
  }
})

const lines = (sources: string, ...folders: ReadonlyArray<string>) => [
  "sources:",
  sources,
  "folders:",
  ...folders.map((folder) => `  - ${folder}`),
  "db: ./journal.db",
  "log: { level: WARNING }"
]

describe(`killed at any moment (seed ${seed})`, () => {
  for (const [what, source, conflict, targets] of [
    ["keep, to a folder, FTP and HTTP", "{ path: ./in, settle: 20ms }", "overwrite", ["local", "ftp", "http"]],
    [
      "delete, to a folder, FTP and HTTP",
      "{ path: ./in, settle: 20ms, after: delete }",
      "overwrite",
      ["local", "ftp", "http"]
    ],
    ["delete, to one folder, by a move", "{ path: ./in, settle: 20ms, after: delete }", "overwrite", ["local"]],
    [
      "delete, to one folder that overwrites nothing",
      "{ path: ./in, settle: 20ms, after: delete }",
      "rename",
      ["local"]
    ],
    [
      "archive, to a folder and FTP that overwrite nothing",
      '{ path: ./in, settle: 20ms, after: { archive: "$DIR/done/{relpath}" } }',
      "rename",
      ["local", "ftp"]
    ]
  ] as const) {
    it.scopedLive(`every file arrives once: ${what}`, () =>
      Effect.gen(function* () {
        const next = random(seed)
        const ftp = yield* startFtp
        const http = yield* startHttpServer()
        const urls = { local: "./out", ftp: ftp.url, http: `${http.url}/up` }
        const { config, directory, inbox, log, once, put } = yield* project(
          ...lines(
            `  - ${source}`,
            ...targets.map((name) =>
              name === "http"
                ? `{ path: "${urls[name]}", upload: raw }`
                : `{ path: "${urls[name]}", conflict: ${conflict} }`
            )
          )
        )
        const out = join(directory, "out")
        const contents = new Map<string, Buffer>()
        const putSome = (count: number) => {
          for (let index = 0; index < count; index++) {
            const name = `file ${contents.size}.bin`
            const size = index === 0 ? 9_000_000 : Math.floor(next() ** 4 * 300_000)
            const content = Buffer.alloc(size, `${name} ${next()}`)
            contents.set(name, content)
            put(name, content)
          }
        }
        let inTheMiddle = 0
        for (let round = 0; round < kills; round++) {
          putSome(25)
          const before = list(out).length
          yield* Effect.scoped(
            Effect.gen(function* () {
              const running = yield* Process.filedispatch(["-c", config, "--no-webapp", "--no-monitor"])
              // sometimes before it does anything, as a rule once it has begun
              if (next() > 0.15) {
                yield* Process.until(
                  () => list(out).length > before,
                  () => `nothing arrives: ${running.stderr()}`
                )
              }
              yield* Effect.sleep(Math.floor(next() * 120))
              if (next() > 0.5) putSome(3)
              yield* Effect.sleep(Math.floor(next() * 120))
              yield* running.kill("SIGKILL")
              const ended = yield* running.ended
              expect(ended.signal, ended.stderr).toBe("SIGKILL")
            })
          )
          if (log().length < contents.size * targets.length) inTheMiddle += 1
        }
        // or it has shown nothing
        expect(inTheMiddle).toBeGreaterThanOrEqual(1)
        const ended = yield* once
        expect(ended.code, ended.stderr).toBe(0)

        const names = Array.from(contents.keys()).sort()
        const same = (name: string, bytes: Uint8Array | undefined) =>
          bytes !== undefined && contents.get(name)?.equals(bytes) === true
        expect(list(out)).toEqual(names)
        expect(names.filter((name) => !same(name, fs.readFileSync(join(out, name))))).toEqual([])
        if (targets.some((name) => name === "ftp")) {
          const files = yield* ftp.files
          expect(Array.from(files.keys()).sort()).toEqual(names)
          expect(names.filter((name) => !same(name, files.get(name)))).toEqual([])
        }
        if (targets.some((name) => name === "http")) {
          expect(Array.from(http.files.keys()).sort()).toEqual(names.map((name) => `/up/${name}`))
          expect(names.filter((name) => !same(name, http.files.get(`/up/${name}`)))).toEqual([])
        }
        // the sources, and nothing else
        expect(list(inbox)).toEqual(source.includes("after") ? [] : names)
        if (source.includes("archive")) {
          expect(list(join(directory, "done"))).toEqual(names)
          expect(names.filter((name) => !same(name, fs.readFileSync(join(directory, "done", name))))).toEqual([])
        }
        // each delivery is logged once
        const entries = log()
        expect(entries.filter((entry) => !entry.startsWith("SUCCEEDED"))).toEqual([])
        expect(new Set(entries).size).toBe(entries.length)
        expect(entries.length).toBe(names.length * targets.length)
      })
    )
  }
})

it.scopedLive("SIGTERM in the middle loses nothing and doubles nothing", () =>
  Effect.gen(function* () {
    const http = yield* startHttpServer()
    const { directory, inbox, log, once, put, start } = yield* project(
      ...lines(
        "  - { path: ./in, settle: 0s, after: delete }",
        "{ path: ./out }",
        `{ path: "${http.url}/up", upload: raw, concurrency: 2 }`
      )
    )
    const names = Array.from({ length: 400 }, (_, index) => `f${index}`).sort()
    for (const name of names) put(name, name.repeat(1000))
    for (const some of [1, 100]) {
      const running = yield* start("--log-level", "INFO")
      const before = http.files.size
      yield* Process.until(
        () => http.files.size >= Math.min(before + some, 400),
        () => `${http.files.size}: ${running.stderr()}`
      )
      yield* running.kill("SIGTERM")
      const ended = yield* running.ended
      expect(ended.code, ended.stderr).toBe(0)
      // what was under way came to its end: what was sent is in the log
      expect(log().filter((entry) => entry.includes("http")).length).toBe(http.received.length)
    }
    expect(http.files.size).toBeLessThan(400)
    const ended = yield* once
    expect(ended.code, ended.stderr).toBe(0)
    expect(http.received.length).toBe(400)
    expect(list(join(directory, "out"))).toEqual(names)
    expect(list(inbox)).toEqual([])
    expect(new Set(log()).size).toBe(800)
  })
)
