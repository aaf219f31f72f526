import { createHash } from "node:crypto"
import { appendFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { PermanentError, TransientError, type DeliveryError } from "../../src/domain/DeliveryError.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../src/domain/Settings.ts"
import type { TargetOptions } from "../../src/domain/Target.ts"
import type { Task } from "../../src/deliver/Destination.ts"
import * as Staging from "../../src/deliver/Staging.ts"
import { makeSource, makeTask, pattern, sha256, targetOptions } from "../contracts/destination.ts"

/** Operations of a server, each of which can be told to fail the next time. */
type Operation = "stat" | "store" | "remove" | "rename" | "read" | "hash"

interface File {
  readonly bytes: Buffer
  readonly mtime: number
}

/** A server in memory, on which everything can go wrong. */
const makeServer = (options: { readonly hashes?: boolean; readonly overwrites?: boolean } = {}) => {
  const files = new Map<string, File>()
  const folders = new Set<string>()
  const faults: Array<{ readonly on: Operation; readonly error: DeliveryError; readonly after?: number }> = []
  const log: Array<string> = []
  let connections = 0
  let removable = true
  const fault = (on: Operation) => {
    const index = faults.findIndex((one) => one.on === on)
    return index < 0 ? undefined : faults.splice(index, 1)[0]
  }
  const session = (): Staging.Session => {
    const step = <A>(on: Operation, path: string, run: () => A): Effect.Effect<A, DeliveryError> =>
      Effect.suspend((): Effect.Effect<A, DeliveryError> => {
        log.push(`${on} ${path}`)
        const found = fault(on)
        return found === undefined ? Effect.sync(run) : Effect.fail(found.error)
      })
    return {
      home: Effect.succeed("/home"),
      appends: true,
      stat: (path) =>
        step("stat", path, () => {
          const file = files.get(path)
          if (file !== undefined) return { size: file.bytes.byteLength, mtime: file.mtime, folder: false }
          return folders.has(path) ? { size: null, mtime: null, folder: true } : undefined
        }),
      store: ({ body, mtime, offset, path }) =>
        Effect.tryPromise({
          try: async () => {
            log.push(`store ${path} from ${offset}`)
            const found = fault("store")
            let bytes = (files.get(path)?.bytes ?? Buffer.of()).subarray(0, offset)
            for await (const chunk of body) {
              bytes = Buffer.concat([bytes, chunk])
              files.set(path, { bytes, mtime })
              if (found !== undefined && bytes.byteLength >= (found.after ?? 0)) throw found.error
            }
            files.set(path, { bytes, mtime })
            return { said: "stored" }
          },
          catch: (error) =>
            error instanceof PermanentError || error instanceof TransientError
              ? error
              : new TransientError({ reason: String(error), cause: Option.none() })
        }),
      remove: (path) =>
        removable
          ? step("remove", path, () => void files.delete(path))
          : Effect.fail(new TransientError({ reason: "no connection", cause: Option.none() })),
      rename: (from, to, overwrite) =>
        step("rename", to, () => {
          const file = files.get(from)
          if (file === undefined) throw new Error(`there is no ${from}`)
          if (files.has(to) && !(overwrite && options.overwrites !== false)) return "occupied"
          files.delete(from)
          files.set(to, file)
          return "renamed"
        }),
      makeFolder: (path) => Effect.sync(() => void folders.add(path)),
      names: (folder) =>
        Effect.sync(() =>
          Array.from(files.keys(), (path) => path.slice(folder.length + 1)).filter((name) => !name.includes("/"))
        ),
      hash:
        options.hashes === true
          ? (path, length) =>
              step("hash", path, () => {
                const bytes = files.get(path)?.bytes
                return bytes === undefined
                  ? undefined
                  : createHash("sha256").update(bytes.subarray(0, length)).digest("hex")
              })
          : undefined,
      read: (path, offset, receive) =>
        step("read", path, () => receive(files.get(path)?.bytes.subarray(offset) ?? Buffer.of()))
    }
  }
  return {
    files,
    log,
    faults,
    connections: () => connections,
    removable: (value: boolean) => {
      removable = value
    },
    put: (path: string, bytes: Uint8Array, mtime = 0) => void files.set(path, { bytes: Buffer.from(bytes), mtime }),
    traits: {
      sessions: () =>
        Effect.succeed({
          get: () =>
            Effect.sync(() => {
              connections += 1
              return session()
            })
        }),
      refuses: () => undefined,
      drains: true
    } satisfies Staging.Traits
  }
}

const to = (options: Partial<TargetOptions> = {}): RouteTarget => ({
  target: {
    url: "test://server/box",
    scheme: "test",
    lane: "test://server",
    host: "server",
    port: null,
    username: null,
    path: "/box",
    options: targetOptions(options)
  },
  secrets: noSecrets,
  bandwidth: unlimited,
  rename: "{relpath}"
})

const large = 12 * 1024 * 1024

const setUp = (options: Parameters<typeof makeServer>[0] = {}, size = large) =>
  Effect.gen(function* () {
    const server = makeServer(options)
    const connection = yield* Staging.open(server.traits, "lane", { concurrency: 4, sync: false })
    const source = yield* makeSource
    const content = pattern(size)
    const { file, generation } = yield* source.write("file.bin", content)
    const notes: Array<string | null> = []
    const chosen: Array<string> = []
    const task = (target: Partial<TargetOptions> = {}, more: Parameters<typeof makeTask>[2] = {}): Task =>
      makeTask(generation, to(target), {
        note: (resume) =>
          Effect.sync(() => {
            server.log.push(`note ${resume}`)
            notes.push(resume)
          }),
        choose: (name) => Effect.sync(() => void chosen.push(name)),
        ...more
      })
    return { server, connection, content, file, generation, notes, chosen, task }
  })

const transient = new TransientError({ reason: "the connection broke", cause: Option.none() })
const permanent = new PermanentError({ reason: "not allowed", cause: Option.none() })

describe("a large upload", () => {
  it.scopedLive("is noted before its first byte, and kept for the next attempt when it breaks", () =>
    Effect.gen(function* () {
      const { connection, content, notes, server, task } = yield* setUp()
      server.faults.push({ on: "store", error: transient, after: 9_000_000 })
      const first = task()
      expect((yield* Effect.flip(connection.deliver(first))).reason).toBe(transient.reason)
      const noted = server.log.indexOf(`note ${first.temp}`)
      expect(noted).toBeGreaterThan(-1)
      expect(noted).toBeLessThan(server.log.indexOf(`store /box/${first.temp} from 0`))
      expect(notes).toEqual([first.temp])
      const kept = server.files.get(`/box/${first.temp}`)?.bytes.byteLength ?? 0
      expect(kept).toBeGreaterThanOrEqual(9_000_000)

      const second = task({}, { stale: [first.temp], delivery: { attempts: 1, resume: first.temp } })
      const receipt = yield* connection.deliver(second)
      expect(receipt).toMatchObject({ bytes: large, sha256: sha256(content), verified: "size" })
      expect(receipt.said).toContain(`resumed after ${kept} bytes`)
      expect(Array.from(server.files.keys())).toEqual(["/box/file.bin"])
      expect(server.files.get("/box/file.bin")?.bytes.equals(content)).toBe(true)
    })
  )

  it.scopedLive("is not sent again where only the rename failed", () =>
    Effect.gen(function* () {
      const { connection, content, server, task } = yield* setUp()
      server.faults.push({ on: "rename", error: transient })
      const first = task()
      expect((yield* Effect.flip(connection.deliver(first))).reason).toBe(transient.reason)
      server.log.length = 0
      const receipt = yield* connection.deliver(task({}, { delivery: { attempts: 1, resume: first.temp } }))
      expect(receipt).toMatchObject({ bytes: large, sha256: sha256(content), verified: "size" })
      expect(server.log.some((line) => line.startsWith("store"))).toBe(false)
      expect(Array.from(server.files.keys())).toEqual(["/box/file.bin"])
    })
  )

  it.scopedLive("keeps what is there where it could not be looked at", () =>
    Effect.gen(function* () {
      const { connection, server, task } = yield* setUp()
      server.faults.push({ on: "store", error: transient, after: 9_000_000 })
      const first = task()
      yield* Effect.flip(connection.deliver(first))
      server.faults.push({ on: "read", error: transient })
      const second = task({}, { delivery: { attempts: 1, resume: first.temp } })
      expect((yield* Effect.flip(connection.deliver(second))).reason).toBe(transient.reason)
      expect(server.files.has(`/box/${first.temp}`)).toBe(true)
      expect((yield* connection.deliver(second)).said).toContain("resumed after")
    })
  )

  it.scopedLive("begins again where what is there may not be read", () =>
    Effect.gen(function* () {
      const { connection, content, server, task } = yield* setUp()
      server.faults.push({ on: "store", error: transient, after: 9_000_000 })
      const first = task()
      yield* Effect.flip(connection.deliver(first))
      server.faults.push({ on: "read", error: permanent })
      const receipt = yield* connection.deliver(task({}, { delivery: { attempts: 1, resume: first.temp } }))
      expect(receipt).toMatchObject({ said: "stored", sha256: sha256(content) })
      expect(Array.from(server.files.keys())).toEqual(["/box/file.bin"])
    })
  )

  it.scopedLive("whose beginning is wrong where nobody looked is found out in the end, and not tried for ever", () =>
    Effect.gen(function* () {
      const { connection, content, notes, server, task } = yield* setUp()
      const wrong = Buffer.from(content.subarray(0, 9_000_000))
      wrong.fill(0, 0, 1000)
      const temp = ".fd-00000000000000000001.part"
      server.put(`/box/${temp}`, wrong)
      const first = task({ verify: "hash" }, { delivery: { resume: temp } })
      const error = yield* Effect.flip(connection.deliver(first))
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("is not what was sent")
      expect(server.files.size).toBe(0)
      expect(notes).toEqual([null])
      const receipt = yield* connection.deliver(task({ verify: "hash" }, { delivery: { attempts: 1 } }))
      expect(receipt).toMatchObject({ said: "stored", verified: "hash" })
    })
  )

  it.scopedLive("is looked at as a whole where the server has a hash", () =>
    Effect.gen(function* () {
      const { connection, content, server, task } = yield* setUp({ hashes: true })
      const wrong = Buffer.from(content.subarray(0, 9_000_000))
      wrong.fill(0, 0, 1000)
      const temp = ".fd-00000000000000000001.part"
      server.put(`/box/${temp}`, wrong)
      const receipt = yield* connection.deliver(task({}, { delivery: { resume: temp } }))
      expect(receipt).toMatchObject({ said: "stored", verified: "hash", sha256: sha256(content) })
    })
  )

  const ends: ReadonlyArray<readonly [string, DeliveryError["_tag"]]> = [
    ["is refused", "PermanentError"],
    ["changes", "SourceChangedError"],
    ["is not wanted any more", "SkippedError"]
  ]
  it.scopedLive.each(ends)("that %s leaves nothing behind", ([how, tag]) =>
    Effect.gen(function* () {
      const { connection, file, generation, notes, server, task } = yield* setUp()
      if (how === "is refused") server.faults.push({ on: "store", error: permanent, after: 1 })
      let begun = false
      const progress = () => {
        if (begun) return
        begun = true
        if (how === "changes") appendFileSync(file, "more")
        if (how === "is not wanted any more") server.put("/box/file.bin", Buffer.from("newer"), generation.mtime + 5000)
      }
      const error = yield* Effect.flip(connection.deliver(task({ conflict: "newer" }, { progress })))
      expect(error._tag).toBe(tag)
      expect(Array.from(server.files.keys()).filter((path) => path.includes(".fd-"))).toEqual([])
      expect(notes.at(-1)).toBeNull()
    })
  )
})

describe("a temp file that can't be removed", () => {
  it.scopedLive("is noted, and removed by the next attempt", () =>
    Effect.gen(function* () {
      const { connection, notes, server, task } = yield* setUp({}, 1000)
      server.faults.push({ on: "rename", error: permanent })
      server.removable(false)
      const first = task()
      expect((yield* Effect.flip(connection.deliver(first))).reason).toBe(permanent.reason)
      expect(server.files.has(`/box/${first.temp}`)).toBe(true)
      // over another connection, as this one may be broken
      expect(server.connections()).toBe(2)
      const noted = notes.at(-1) ?? ""
      expect(noted).toContain(first.temp)
      server.removable(true)
      yield* connection.deliver(task({}, { delivery: { attempts: 1, resume: noted } }))
      expect(Array.from(server.files.keys())).toEqual(["/box/file.bin"])
    })
  )

  it.scopedLive("is noted, and removed once the delivery is given up", () =>
    Effect.gen(function* () {
      const { connection, notes, server, task } = yield* setUp({}, 1000)
      server.faults.push({ on: "rename", error: permanent })
      server.removable(false)
      yield* Effect.flip(connection.deliver(task()))
      server.removable(true)
      yield* connection.discard?.(task({}, { delivery: { resume: notes.at(-1) ?? null } })) ?? Effect.void
      expect(server.files.size).toBe(0)
    })
  )

  it.scopedLive("is no beginning to go on from: it was found to be wrong", () =>
    Effect.gen(function* () {
      const { connection, content, notes, server, task } = yield* setUp()
      server.faults.push({ on: "stat", error: transient })
      server.put("/box/.fd-00000000000000000009.part", content.subarray(0, 9_000_000))
      const resume = "-.fd-00000000000000000009.part"
      yield* Effect.flip(connection.deliver(task({}, { delivery: { resume } })))
      const receipt = yield* connection.deliver(task({}, { delivery: { resume } }))
      expect(receipt.said).toBe("stored")
      expect(notes.at(-1)).toMatch(/^\.fd-/)
      expect(Array.from(server.files.keys())).toEqual(["/box/file.bin"])
    })
  )
})

describe("an interrupted attempt", () => {
  it.scopedLive("of a small file leaves nothing", () =>
    Effect.gen(function* () {
      const { connection, notes, server, task } = yield* setUp({}, 1_000_000)
      const reached = Effect.repeat(Effect.sleep(5), { until: () => server.files.size > 0 })
      let sent = 0
      const wait = (bytes: number) => {
        sent += bytes
        return sent > 500_000 ? new Promise<void>(() => undefined) : Promise.resolve()
      }
      const fiber = yield* Effect.fork(connection.deliver(task({}, { pace: { chunk: () => 100_000, wait } })))
      yield* reached
      yield* Fiber.interrupt(fiber)
      expect(server.files.size).toBe(0)
      expect(notes).toEqual([])
    })
  )
})

describe("an attempt that a killed process has left", () => {
  it.scopedLive("is cleared away where the delivery was given up since, and nothing else is", () =>
    Effect.gen(function* () {
      const { connection, server, task } = yield* setUp({}, 1000)
      const one = task({}, { delivery: { interrupted: true } })
      server.put(`/box/${one.temp}`, Buffer.alloc(500))
      server.put("/box/file.bin", Buffer.from("theirs"))
      server.put("/box/notes", Buffer.from("theirs"))
      yield* connection.discard?.(task({}, { delivery: { resume: "notes" } })) ?? Effect.void
      yield* connection.discard?.(one) ?? Effect.void
      expect(Array.from(server.files.keys())).toEqual(["/box/file.bin", "/box/notes"])
    })
  )
})

describe("a name that was chosen", () => {
  const adopting = (
    conflict: TargetOptions["conflict"],
    options: { readonly mtime: number; readonly ours: boolean; readonly readable?: boolean }
  ) =>
    Effect.gen(function* () {
      const { connection, content, generation, server, task } = yield* setUp({}, 1000)
      // of the same size in any case
      const there = options.ours ? content : Buffer.alloc(content.byteLength)
      server.put("/box/file.bin", there, generation.mtime + options.mtime)
      if (options.readable === false) server.faults.push({ on: "read", error: permanent })
      const result = yield* Effect.exit(
        connection.deliver(task({ conflict }, { delivery: { attempts: 1, chosen: RelPath.make("file.bin") } }))
      )
      const files = Array.from(server.files, ([path, { bytes }]) => [
        path,
        bytes.equals(content) ? "ours" : "another's"
      ])
      return { result, files }
    })
  const found = { _tag: "Success", value: { said: "found at the target after a restart" } }

  it.scopedLive("under `newer` is not taken for done where an older file is there", () =>
    Effect.gen(function* () {
      expect(yield* adopting("newer", { mtime: -60_000, ours: false })).toMatchObject({
        result: { _tag: "Success", value: { said: "stored" } },
        files: [["/box/file.bin", "ours"]]
      })
    })
  )

  it.scopedLive("under `newer` is taken for done where it is as new as the source", () =>
    Effect.gen(function* () {
      expect(yield* adopting("newer", { mtime: 0, ours: true })).toMatchObject({ result: found })
    })
  )

  it.scopedLive.each(["rename", "fail", "skip", "backup"] as const)(
    "under `%s` was free, so that what is there now with the same content is ours",
    (conflict) =>
      Effect.gen(function* () {
        const files = [["/box/file.bin", "ours"]]
        expect(yield* adopting(conflict, { mtime: -60_000, ours: true })).toMatchObject({ result: found, files })
      })
  )

  it.scopedLive.each([
    ["fail", "PermanentError"],
    ["skip", "SkippedError"],
    ["newer", "SkippedError"]
  ] as const)("under `%s` may have been taken by somebody else, with as many bytes", ([conflict, tag]) =>
    Effect.gen(function* () {
      expect(yield* adopting(conflict, { mtime: 0, ours: false })).toMatchObject({
        result: { _tag: "Failure", cause: { error: { _tag: tag } } },
        files: [["/box/file.bin", "another's"]]
      })
    })
  )

  it.scopedLive("under `rename` may have been taken by somebody else: it gets another", () =>
    Effect.gen(function* () {
      expect(yield* adopting("rename", { mtime: 0, ours: false })).toMatchObject({
        result: { _tag: "Success", value: { said: "stored", name: "file (1).bin" } },
        files: [
          ["/box/file.bin", "another's"],
          ["/box/file (1).bin", "ours"]
        ]
      })
    })
  )

  it.scopedLive("is known by its size where nothing may be read there", () =>
    Effect.gen(function* () {
      expect(yield* adopting("fail", { mtime: 0, ours: true, readable: false })).toMatchObject({
        result: { _tag: "Success", value: { verified: "size" } }
      })
    })
  )

  it.scopedLive("under `backup` is committed only after the old one was moved away", () =>
    Effect.gen(function* () {
      const { connection, content, server, task } = yield* setUp({}, 1000)
      server.put("/box/file.bin", Buffer.alloc(content.byteLength))
      const seen: Array<ReadonlyArray<string>> = []
      const choose = () => Effect.sync(() => void seen.push(Array.from(server.files.keys()).sort()))
      yield* connection.deliver(task({ conflict: "backup" }, { choose }))
      expect(seen).toEqual([[expect.stringContaining(".fd-"), "/box/file.bin.bak"]])
    })
  )
})

describe("after a restart", () => {
  it.scopedLive("what the server's hash proves is adopted, even under `overwrite`", () =>
    Effect.gen(function* () {
      const { connection, content, server, task } = yield* setUp({ hashes: true }, 1000)
      server.put("/box/file.bin", content)
      const recovered = yield* connection.recover(task({}, { delivery: { interrupted: true } }))
      expect(recovered).toMatchObject({ _tag: "Some", value: { verified: "hash", sha256: sha256(content) } })
      server.put("/box/file.bin", Buffer.alloc(content.byteLength))
      expect(yield* connection.recover(task({}, { delivery: { interrupted: true } }))).toEqual(Option.none())
    })
  )
})

describe("a server that does not rename onto a file", () => {
  it.scopedLive("has the old one removed first", () =>
    Effect.gen(function* () {
      const { connection, content, server, task } = yield* setUp({ overwrites: false }, 1000)
      server.put("/box/file.bin", Buffer.from("old"))
      yield* connection.deliver(task())
      expect(server.files.get("/box/file.bin")?.bytes.equals(content)).toBe(true)
      expect(server.files.size).toBe(1)
    })
  )

  it.scopedLive("and has a file that can't be removed is a permanent error, not a success", () =>
    Effect.gen(function* () {
      const { connection, server, task } = yield* setUp({ overwrites: false }, 1000)
      server.put("/box/file.bin", Buffer.from("old"))
      const remove = server.files.delete.bind(server.files)
      server.files.delete = (path: string) => path !== "/box/file.bin" && remove(path)
      const error = yield* Effect.flip(connection.deliver(task()))
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain("/box/file.bin is there already")
      expect(Array.from(server.files.keys())).toEqual(["/box/file.bin"])
    })
  )
})
