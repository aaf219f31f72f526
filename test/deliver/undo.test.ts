import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, TestClock } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { Undo, layer as undoLayer } from "../../src/deliver/Undo.ts"
import { DeliveryId, type Receipt } from "../../src/domain/Delivery.ts"
import type { After } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Target } from "../../src/domain/Target.ts"
import * as FilesDirect from "../../src/files/FilesDirect.ts"
import { look } from "../../src/files/scan.ts"
import { Deliveries } from "../../src/store/Deliveries.ts"
import { Journal } from "../../src/store/Journal.ts"
import { UndoRepo } from "../../src/store/UndoRepo.ts"
import * as Process from "../cli/process.ts"
import { admission, deliveredNow, target } from "../contracts/journal.ts"
import { sqlite } from "../store/stores.ts"
import { folder } from "../TestApp.ts"

const layer = undoLayer({ sync: true, markerOf: Effect.succeed(() => null) })

const dry = { dryRun: true }
const wet = { dryRun: false }

/** A source and a journal; `wrap` stands between the journal and who undoes. */
const start = (wrap: (repo: typeof UndoRepo.Service) => typeof UndoRepo.Service = (repo) => repo) =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    const inbox = join(directory, "in")
    fs.mkdirSync(inbox)
    const store = yield* Layer.build(sqlite(join(directory, "journal.db")))
    const journal = Context.get(store, Journal)
    const repo = Context.get(store, UndoRepo)
    /** As a process has it. */
    const process = Effect.provide(
      Undo,
      layer.pipe(
        Layer.provide(Layer.succeed(UndoRepo, wrap(repo))),
        Layer.provide(Layer.mergeAll(Layer.succeedContext(store), FilesDirect.layer))
      )
    )

    /** A file that was delivered by copies to these targets, and then archived or deleted. */
    const gone = (name: string, targets: ReadonlyArray<Target>, after: After = { _tag: "Delete" }) =>
      Effect.gen(function* () {
        const source = join(inbox, name)
        fs.writeFileSync(source, `content of ${name}`)
        const [found] = look(inbox, [RelPath.make(name)])
        if (!found) throw new Error("it is not there")
        yield* journal.admit("rules", [admission(found, targets, after, inbox)])
        const all = [...(yield* journal.claim("file:/", 9, 0)), ...(yield* journal.claim("memory://one", 9, 0))]
        for (const { target } of all) {
          if (target.scheme !== "file") continue
          fs.mkdirSync(target.path, { recursive: true })
          fs.copyFileSync(source, join(target.path, name))
          const { atimeNs, mtimeNs } = fs.statSync(source, { bigint: true })
          fs.utimesSync(join(target.path, name), Number(atimeNs) / 1e9, Number(mtimeNs) / 1e9)
        }
        const receipt = (one: (typeof all)[number]): Receipt => ({
          bytes: found.size,
          sha256: null,
          said: "copied",
          verified: "size",
          name: one.name
        })
        const { dispose } = yield* journal.conclude(all.map((one) => ({ ...deliveredNow(one), receipt: receipt(one) })))
        fs.rmSync(source)
        yield* journal.disposed(dispose.map(({ id }) => ({ id, note: null })))
        return all.map(({ id }) => id)
      })
    const isKnown = (name: string) =>
      Effect.gen(function* () {
        const [found] = look(inbox, [RelPath.make(name)])
        return !found || (yield* journal.unknown(inbox, "rules", [found])).length === 0
      })
    const state = (id: DeliveryId) => Effect.map(Effect.flatten(repo.find(id)), (fate) => fate.state)
    const files = () =>
      fs
        .readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !entry.name.startsWith("journal.db"))
        .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
        .sort()
    return {
      directory,
      inbox,
      journal,
      repo,
      process,
      gone,
      isKnown,
      state,
      files,
      deliveries: Context.get(store, Deliveries)
    }
  })

describe("undo", () => {
  it.scoped("takes what is unchanged at local targets, and says what stays at others", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_700_000_000_000)
      const app = yield* start()
      const ids = yield* app.gone("a", [folder(join(app.directory, "x")), target(), folder(join(app.directory, "y"))])
      const undo = yield* app.process
      const stays = "what was delivered to memory://one/in/a stays there"
      expect(yield* undo.undo(ids, dry)).toMatchObject(ids.map((id) => ({ id, outcome: "undone", notes: [stays] })))
      expect(app.files()).toEqual(["x/a", "y/a"])
      expect(yield* undo.undo(ids, wet)).toMatchObject(ids.map((id) => ({ id, outcome: "undone", notes: [stays] })))
      expect(app.files()).toEqual(["in/a"])
      expect(
        (yield* app.deliveries.list({ limit: 9 })).map((one) => `${one.state} ${one.target.scheme}`).sort()
      ).toEqual(["CANCELLED file", "CANCELLED file", "DELIVERED memory"])
      expect(yield* undo.undo(ids.slice(0, 1), wet)).toMatchObject([
        { outcome: "refused", reason: expect.stringContaining("it was undone already, on 2023-11-14T22:13:20.000Z") }
      ])
    })
  )

  it.scoped("brings it back from the first target that has it unchanged", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const ids = yield* app.gone("a", [folder(join(app.directory, "x")), folder(join(app.directory, "y"))])
      fs.writeFileSync(join(app.directory, "x", "a"), "changed")
      const undo = yield* app.process
      expect(yield* undo.undo(ids.slice(0, 1), wet)).toMatchObject([
        {
          outcome: "undone",
          from: join(app.directory, "y", "a"),
          notes: [expect.stringContaining("has changed since")]
        }
      ])
      expect(app.files()).toEqual(["in/a", "x/a"])
    })
  )

  it.scoped("refuses what is at servers only, what is unknown, and what its archive does not keep any more", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const [remote] = yield* app.gone("a", [target()])
      const [archived] = yield* app.gone("b", [target()], { _tag: "Archive", template: "/x", keepFor: 1000 })
      const undo = yield* app.process
      if (remote === undefined || archived === undefined) throw new Error("nothing was delivered")
      const reason = (asked: DeliveryId | string) =>
        Effect.map(undo.undo([asked], wet), ([one]) => `${one?.outcome}: ${one?.reason}`)
      expect(yield* reason(remote)).toBe(
        "refused: it was deleted once it had been sent to a server, from which nothing is brought back: it is at memory://one/in/a"
      )
      expect(yield* reason(archived)).toContain("the journal does not know where it was archived")
      expect(yield* reason(DeliveryId.make(99))).toContain("unknown: the journal knows no such delivery")
      expect(yield* reason("00000000-0000-4000-8000-0000000000ff")).toBe("unknown: there is no such log entry")
    })
  )

  it.scoped("killed at any call of the file system: it is never taken for a new file, and the next start ends it", () =>
    Effect.gen(function* () {
      // nor does a process that was killed write down what came of it
      const alive = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.suspend(() => (isDead ? Effect.die("killed") : effect))
      const app = yield* start((repo) => ({
        ...repo,
        begin: (...given) => alive(repo.begin(...given)),
        end: (...given) => alive(repo.end(...given)),
        rollBack: (...given) => alive(repo.rollBack(...given))
      }))
      let kills = 0
      for (let most = 0; ; most += 1) {
        const name = `file-${most}`
        const [id] = yield* app.gone(name, [folder(join(app.directory, "x")), folder(join(app.directory, "y"))])
        if (id === undefined) throw new Error("nothing was delivered")
        const undo = yield* app.process
        const heal = dyingAfter(most)
        yield* Effect.exit(undo.undo([id], wet))
        const killed = isDead
        heal()
        expect(yield* app.isKnown(name), `after ${most} calls`).toBe(true)
        // another process
        yield* (yield* app.process).finish
        expect(yield* app.isKnown(name), `after ${most} calls, and a start`).toBe(true)
        const is = app.files().filter((path) => path.includes(name) || path.includes(".fd-"))
        const state = yield* app.state(id)
        // refused before anything was touched, or done
        expect([`${state} ${is.join(" ")}`]).toEqual([
          state === "DISPOSED" ? `DISPOSED x/${name} y/${name}` : `UNDONE in/${name}`
        ])
        if (!killed) break
        kills += 1
      }
      expect(kills).toBeGreaterThan(20)
    })
  )

  it.scoped("killed before or after any commit: the same", () =>
    Effect.gen(function* () {
      for (const [call, after] of [
        ["begin", false],
        ["begin", true],
        ["end", false],
        ["end", true]
      ] as const) {
        let dead = false
        const app = yield* start((repo) => {
          const die = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
            Effect.suspend(() => {
              if (dead) return effect
              dead = true
              return after ? Effect.zipRight(effect, Effect.die("killed")) : Effect.die("killed")
            })
          return call === "begin"
            ? { ...repo, begin: (...given) => die(repo.begin(...given)) }
            : { ...repo, end: (...given) => die(repo.end(...given)) }
        })
        const [id] = yield* app.gone("a", [folder(join(app.directory, "x"))])
        if (id === undefined) throw new Error("nothing was delivered")
        yield* Effect.exit((yield* app.process).undo([id], wet))
        expect(dead).toBe(true)
        expect(yield* app.isKnown("a")).toBe(true)
        yield* (yield* app.process).finish
        expect(yield* app.isKnown("a")).toBe(true)
        const isDone = call === "end" || after
        expect([yield* app.state(id), app.files()]).toEqual(isDone ? ["UNDONE", ["in/a"]] : ["DISPOSED", ["x/a"]])
      }
    })
  )
})

let isDead = false

/** From its n-th call on the file system does nothing any more; what it answers makes it work again. */
const dyingAfter = (most: number): (() => void) => {
  let count = 0
  const names = ["lstatSync", "renameSync", "linkSync", "unlinkSync", "fsyncSync", "openSync", "statSync"] as const
  const originals = names.map((name) => {
    const original: unknown = Reflect.get(fs, name)
    Reflect.set(fs, name, (...given: ReadonlyArray<unknown>): unknown => {
      if (count >= most || typeof original !== "function") {
        isDead = true
        throw new Error("killed")
      }
      count += 1
      return Reflect.apply(original, fs, given)
    })
    return { name, original }
  })
  return () => {
    for (const { name, original } of originals) Reflect.set(fs, name, original)
    isDead = false
  }
}
