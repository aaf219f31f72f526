import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Option, Scope, SubscriptionRef } from "effect"
import { Decrypter, generateX25519Identity, identityToRecipient } from "age-encryption"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import { LaneDownError, TransientError } from "../../src/domain/DeliveryError.ts"
import type { Settings } from "../../src/domain/Settings.ts"
import type { TargetOptions, Transform } from "../../src/domain/Target.ts"
import * as Process from "../cli/process.ts"
import * as TestApp from "../TestApp.ts"

const gzip: Transform = { decompress: null, compress: "gzip", age: [] }

const routeTo = (transform: Transform, options: Partial<TargetOptions> = {}) => [
  TestApp.route("all", [TestApp.inMemory("one", "in", { transform, ...options })])
]

/** What lies in the spool. */
const spooled = (directory: string): ReadonlyArray<string> => {
  const folder = join(directory, "journal.db.spool")
  return existsSync(folder) ? readdirSync(folder) : []
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

const failing = (reason = "cut") => new TransientError({ reason, cause: Option.none() })

const encrypting = Effect.gen(function* () {
  const identity = yield* Effect.promise(() => generateX25519Identity())
  const recipient = yield* Effect.promise(() => identityToRecipient(identity))
  const decrypt = (bytes: Uint8Array | undefined) =>
    Effect.promise(() => {
      const decrypter = new Decrypter()
      decrypter.addIdentity(identity)
      return decrypter.decrypt(bytes ?? new Uint8Array(0), "text")
    })
  const transform: Transform = { decompress: null, compress: "gzip", age: [] }
  return { transform: { ...transform, compress: "none" as const, age: [recipient] }, decrypt }
})

describe("a file that is transformed on its way", () => {
  it.scoped("arrives in its new form; the log has both sizes and both hashes, and the spool nothing", () =>
    Effect.gen(function* () {
      const app = yield* TestApp.start({ routes: routeTo(gzip) })
      const content = "line\n".repeat(1000)
      yield* app.write("a.log", content)
      yield* TestApp.elapse(
        Effect.map(app.logs, (logs) => logs.length === 1),
        "delivered"
      )
      const sent = app.memory.files.get("memory://one/in/a.log.gz")
      expect(String(gunzipSync(sent ?? ""))).toBe(content)
      const [entry] = yield* app.logs
      expect(entry).toMatchObject({
        filename: "a.log",
        status: "SUCCEEDED",
        byte_size: content.length,
        sha256: sha256(Buffer.from(content)),
        sent_size: sent?.byteLength,
        sent_sha256: sha256(sent ?? Buffer.alloc(0)),
        source: app.inbox
      })
      yield* TestApp.until(
        Effect.sync(() => spooled(app.directory).length === 0),
        "the spool is empty"
      )
      const [delivery] = yield* app.deliveries
      expect(delivery?.receipt).toMatchObject({ bytes: sent?.byteLength, sourceSha256: sha256(Buffer.from(content)) })
      expect(statSync(join(app.directory, "journal.db.spool")).mode & 0o777).toBe(0o700)
    })
  )

  it.scoped("costs nothing where nothing is transformed", () =>
    Effect.gen(function* () {
      const app = yield* TestApp.start({ routes: routeTo({ decompress: null, compress: "none", age: [] }) })
      yield* app.write("a.log")
      yield* TestApp.elapse(
        Effect.map(app.logs, (logs) => logs.length === 1),
        "delivered"
      )
      expect((yield* app.logs)[0]).toMatchObject({ sent_size: null, sent_sha256: null })
      expect(existsSync(join(app.directory, "journal.db.spool"))).toBe(false)
    })
  )

  it.scoped("is sent again with the same bytes, although encryption makes others each time", () =>
    Effect.gen(function* () {
      const { decrypt, transform } = yield* encrypting
      const app = yield* TestApp.start({ routes: routeTo(transform) })
      app.memory.failNext(failing(), failing())
      yield* app.write("a.txt", "secret")
      yield* TestApp.elapse(
        Effect.map(app.logs, (logs) => logs.length === 1),
        "delivered"
      )
      const files = app.memory.attempts.map(
        ({ delivery }) => `${delivery.generation.source}/${delivery.generation.path}`
      )
      expect(files.length).toBe(3)
      expect(new Set(files).size).toBe(1)
      expect(yield* decrypt(app.memory.files.get("memory://one/in/a.txt.age"))).toBe("secret")
    })
  )

  it.scoped("is sent with the same bytes after the program was killed, too", () =>
    Effect.gen(function* () {
      const { decrypt, transform } = yield* encrypting
      const directory = yield* Process.directory
      const store = yield* TestApp.makeStore
      const first = yield* Scope.make()
      const begun = yield* Deferred.make<string>()
      const app = yield* TestApp.start({
        directory,
        store,
        routes: routeTo(transform),
        memory: {
          before: ({ delivery, choose }) =>
            choose(delivery.name).pipe(
              Effect.zipRight(Deferred.succeed(begun, delivery.generation.path)),
              Effect.zipRight(Effect.never)
            )
        }
      }).pipe(Scope.extend(first))
      yield* app.write("a.txt", "secret")
      yield* TestApp.elapse(Deferred.isDone(begun), "under way")
      const before = spooled(directory)
      // what a crash leaves: a half of a file, one of a delivery that nobody knows, and what is not ours
      const folder = join(directory, "journal.db.spool")
      writeFileSync(join(folder, `77-${"a".repeat(24)}.3.part`), "half")
      const orphan = `9999-${"b".repeat(24)}.${"0".repeat(64)}.${"1".repeat(64)}`
      writeFileSync(join(folder, orphan), "orphan")
      writeFileSync(join(folder, "notes.txt"), "mine")
      yield* Effect.fork(Scope.close(first, Exit.void))
      yield* TestApp.elapse(
        Effect.sync(() => false),
        "closed",
        { step: 1000, most: 15_000 }
      ).pipe(Effect.sandbox, Effect.ignore)

      const again = yield* TestApp.start({ directory, store, routes: routeTo(transform) })
      yield* TestApp.elapse(
        Effect.map(again.logs, (logs) => logs.length === 1),
        "delivered"
      )
      expect(again.memory.attempts.map(({ delivery }) => delivery.generation.path)).toEqual(before)
      expect(yield* decrypt(again.memory.files.get("memory://one/in/a.txt.age"))).toBe("secret")
      yield* TestApp.until(
        Effect.sync(() => spooled(directory).join() === "notes.txt"),
        "only what is not ours is left"
      )
    })
  )

  it.scoped("is made anew where the file in the spool is no more what it was; nothing is lost", () =>
    Effect.gen(function* () {
      let attempts = 0
      const app = yield* TestApp.start({
        routes: routeTo(gzip),
        memory: {
          before: ({ delivery: { generation } }) =>
            Effect.sync(() => {
              attempts += 1
              const path = join(generation.source, generation.path)
              if (attempts === 1) truncateSync(path, 1)
              if (attempts === 2) rmSync(path)
            })
        }
      })
      yield* app.write("a.txt", "content")
      yield* TestApp.elapse(
        Effect.map(app.logs, (logs) => logs.length === 1),
        "delivered"
      )
      expect(String(gunzipSync(app.memory.files.get("memory://one/in/a.txt.gz") ?? ""))).toBe("content")
      expect(yield* app.states).toEqual(["DELIVERED a.txt memory://one/in"])
      expect(attempts).toBe(3)
    })
  )

  it.scoped("does not go on with an upload that was begun with bytes which are lost", () =>
    Effect.gen(function* () {
      const { decrypt, transform } = yield* encrypting
      const discarded: Array<string | null> = []
      const resumes: Array<string | null> = []
      const app = yield* TestApp.start({
        routes: routeTo(transform),
        memory: {
          before: (task) =>
            Effect.gen(function* () {
              resumes.push(task.delivery.resume)
              if (resumes.length > 2) return
              yield* task.note("begun")
              if (resumes.length === 2) rmSync(join(task.delivery.generation.source, task.delivery.generation.path))
              return yield* failing()
            }),
          discard: (task) => Effect.sync(() => void discarded.push(task.delivery.resume))
        }
      })
      yield* app.write("a.txt", "secret")
      yield* TestApp.elapse(
        Effect.map(app.logs, (logs) => logs.length === 1),
        "delivered"
      )
      // the second goes on, the third finds nothing to go on with, and so begins anew
      expect(resumes).toEqual([null, "begun", null])
      expect(discarded).toEqual(["begun"])
      expect(yield* decrypt(app.memory.files.get("memory://one/in/a.txt.age"))).toBe("secret")
      expect((yield* app.deliveries)[0]?.resume).toBe(null)
    })
  )

  it.scoped("that is sent no more is told of by its own name", () =>
    Effect.gen(function* () {
      const app = yield* TestApp.start({
        routes: routeTo(gzip),
        memory: {
          before: ({ delivery: { generation } }) => failing(`${generation.source}/${generation.path} was refused`)
        }
      })
      yield* app.write("a.txt", "content")
      yield* TestApp.elapse(
        Effect.map(app.deliveries, ([one]) => one?.state === "RETRY_WAIT"),
        "failed"
      )
      expect((yield* app.deliveries)[0]?.reason).toBe(`${join(app.inbox, "a.txt")} was refused`)
    })
  )

  it.scoped("that can't be is dead at once, and the source stays", () =>
    Effect.gen(function* () {
      const app = yield* TestApp.start({
        routes: routeTo({ ...gzip, compress: "none", decompress: { limit: 1000 } })
      })
      writeFileSync(join(app.inbox, "bomb.gz"), gzipSync(Buffer.alloc(100_000)))
      yield* app.hint("bomb.gz")
      yield* TestApp.elapse(
        Effect.map(app.logs, (logs) => logs.length === 1),
        "given up"
      )
      expect((yield* app.logs)[0]).toMatchObject({ status: "FAILED", sent_size: null })
      expect((yield* app.logs)[0]?.reason).toContain("decompresses to more than 1000 bytes")
      expect(app.memory.attempts).toEqual([])
      expect([app.sources(), spooled(app.directory)]).toEqual([["bomb.gz"], []])
    })
  )
})

describe("the spool", () => {
  it.scoped("keeps no more of what waits than a lane may have under way", () =>
    Effect.gen(function* () {
      const retry = { attempts: 100, base: 600_000, factor: 1, cap: 600_000 }
      const app = yield* TestApp.start({
        routes: routeTo(gzip, { retry, concurrency: 2 }),
        memory: { before: () => failing() }
      })
      for (let index = 0; index < 12; index++) yield* app.write(`${index}.txt`)
      yield* TestApp.elapse(
        Effect.map(app.deliveries, (all) => all.filter((one) => one.state === "RETRY_WAIT").length === 12),
        "all have failed"
      )
      yield* TestApp.until(
        Effect.sync(() => spooled(app.directory).length <= 2),
        "few are kept"
      )
      expect(spooled(app.directory).length).toBe(2)
    })
  )

  it.scoped("removes what belongs to a delivery that was cancelled", () =>
    Effect.gen(function* () {
      const retry = { attempts: 100, base: 600_000, factor: 1, cap: 600_000 }
      const app = yield* TestApp.start({ routes: routeTo(gzip, { retry }), memory: { before: () => failing() } })
      yield* app.write("a.txt")
      yield* TestApp.elapse(
        Effect.map(app.deliveries, ([one]) => one?.state === "RETRY_WAIT"),
        "failed"
      )
      expect(spooled(app.directory).length).toBe(1)
      yield* app.journal.cancel((yield* app.deliveries).map(({ id }) => id))
      yield* TestApp.elapse(
        Effect.sync(() => spooled(app.directory).length === 0),
        "cleared",
        { step: 5000 }
      )
    })
  )

  it.scoped("that can't be used costs no attempt, and says nothing of the destination", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const folder = join(directory, "journal.db.spool")
      writeFileSync(folder, "in the way")
      const app = yield* TestApp.start({ directory, routes: routeTo(gzip) })
      yield* app.write("a.txt", "content")
      yield* TestApp.elapse(
        Effect.map(app.deliveries, ([one]) => one?.state === "RETRY_WAIT"),
        "failed"
      )
      expect((yield* app.deliveries)[0]).toMatchObject({ attempts: 0 })
      expect((yield* app.deliveries)[0]?.reason).toContain(`${folder}, in which files are prepared`)
      rmSync(folder)
      yield* TestApp.elapse(
        Effect.map(app.logs, (logs) => logs.length === 1),
        "goes on by itself",
        { step: 1000 }
      )
      expect((yield* app.logs)[0]).toMatchObject({ status: "SUCCEEDED", attempts: 1 })
    })
  )
})

const withConcurrency =
  (concurrency: number) =>
  (settings: Settings): Settings => ({
    ...settings,
    routes: settings.routes.map((route) => ({
      ...route,
      targets: route.targets.map((one) => ({
        ...one,
        target: { ...one.target, options: { ...one.target.options, concurrency } }
      }))
    }))
  })

describe("a change of the config", () => {
  it.scoped("gives a lane more at once, and fewer, while what is under way goes on", () =>
    Effect.gen(function* () {
      const gates = new Map<string, Deferred.Deferred<void>>()
      let interrupted = 0
      const app = yield* TestApp.start({
        routes: [TestApp.route("all", [TestApp.inMemory("one", "in", { concurrency: 1 })])],
        memory: {
          before: ({ delivery }) =>
            Effect.gen(function* () {
              const gate = yield* Deferred.make<void>()
              gates.set(delivery.generation.path, gate)
              yield* Deferred.await(gate)
            }).pipe(Effect.onInterrupt(() => Effect.sync(() => void (interrupted += 1))))
        }
      })
      for (let index = 0; index < 6; index++) yield* app.write(`${index}.txt`)
      yield* TestApp.elapse(
        Effect.sync(() => gates.size === 1),
        "one"
      )
      yield* SubscriptionRef.update(app.settings, withConcurrency(3))
      yield* TestApp.until(
        Effect.sync(() => gates.size === 3),
        "three"
      )
      expect((yield* app.dispatcher.status)[0]).toMatchObject({ concurrency: 3, limit: 3 })
      yield* SubscriptionRef.update(app.settings, withConcurrency(1))
      yield* TestApp.until(
        Effect.map(app.dispatcher.status, ([one]) => one?.concurrency === 1),
        "one again"
      )
      for (const count of [4, 5, 6]) {
        // the next one begins only when no other is under way
        for (const gate of gates.values()) yield* Deferred.succeed(gate, undefined)
        yield* TestApp.until(
          Effect.sync(() => gates.size === count),
          `${count} have begun`
        )
        yield* Effect.repeatN(TestApp.breath, 3)
        expect(gates.size).toBe(count)
        expect((yield* app.dispatcher.status)[0]?.sending.length).toBe(1)
      }
      for (const gate of gates.values()) yield* Deferred.succeed(gate, undefined)
      yield* TestApp.until(
        Effect.map(app.logs, (logs) => logs.length === 6),
        "all delivered"
      )
      expect(interrupted).toBe(0)
    })
  )

  it.scoped("lets a lane that is down be tried at once", () =>
    Effect.gen(function* () {
      let broken = true
      const app = yield* TestApp.start({
        memory: {
          before: () => (broken ? new LaneDownError({ reason: "refused", cause: Option.none() }) : Effect.void)
        }
      })
      yield* app.write("a.txt")
      yield* TestApp.elapse(
        Effect.map(app.dispatcher.status, ([one]) => one?.health === "down" && (one.probe ?? 0) > 0),
        "down"
      )
      broken = false
      yield* SubscriptionRef.update(app.settings, (settings) => ({ ...settings }))
      // the test's clock stands still
      yield* TestApp.until(
        Effect.map(app.logs, (logs) => logs.length === 1),
        "delivered"
      )
    })
  )
})
