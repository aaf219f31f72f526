/** The config, loaded again while the program runs. */
import { expect, it } from "@effect/vitest"
import { Context, Effect, Either, Layer, Option, Redacted, SubscriptionRef, TestClock } from "effect"
import { appendFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Changes from "../../src/config/Changes.ts"
import * as Config from "../../src/config/Config.ts"
import * as CurrentSettings from "../../src/config/CurrentSettings.ts"
import { fingerprint } from "../../src/config/fingerprint.ts"
import * as Reload from "../../src/config/Reload.ts"
import type { Settings } from "../../src/domain/Settings.ts"
import * as Process from "../cli/process.ts"

const lines = (...folders: ReadonlyArray<string>) =>
  ["source: ./in", "db: ./journal.db", "folders:", ...folders.map((folder) => `  - ${folder}`), ""].join("\n")

const start = (options: Partial<Reload.Options> = {}, name = "config.yml") =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    const file = join(directory, name)
    const write = (text: string) => writeFileSync(join(directory, "config.yml"), text)
    write(lines("{ name: a, path: ./a }"))
    if (name !== "config.yml") symlinkSync("config.yml", file)
    const overrides = { ...options.overrides }
    const seen = fingerprint(file)
    const settings = yield* Effect.orDie(Config.load(file, overrides))
    const summaries = new Array<string>()
    const services = yield* Layer.build(
      Reload.layer({
        file,
        overrides,
        seen,
        watch: true,
        summary: (old, next) =>
          Effect.sync(() => {
            summaries.push(`${old.routes.length} to ${next.routes.length}`)
            return null
          }),
        ...options
      }).pipe(Layer.provideMerge(CurrentSettings.layer(settings)))
    )
    const reload = Context.get(services, Reload.Reload)
    return {
      directory,
      file,
      write,
      summaries,
      reload: Effect.either(reload.reload("test")),
      status: reload.status,
      text: reload.text,
      last: reload.last,
      current: SubscriptionRef.get(Context.get(services, CurrentSettings.CurrentSettings)),
      folders: Effect.map(SubscriptionRef.get(Context.get(services, CurrentSettings.CurrentSettings)), ({ routes }) =>
        routes.map((route) => route.name)
      )
    }
  })

/** Two looks at the file, and real time for it to be read. */
const looked = (done: Effect.Effect<boolean>) =>
  Effect.gen(function* () {
    for (let round = 0; round < 200 && !(yield* done); round += 1) {
      yield* TestClock.adjust("1 second")
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 10)))
    }
    expect(yield* done).toBe(true)
  })

it.scoped("puts a changed file in force as a whole, and says what has changed", () =>
  Effect.gen(function* () {
    const { current, folders, reload, status, summaries, write } = yield* start()
    yield* TestClock.setTime(5000)
    write(lines("{ name: a, path: ./other }", "{ name: b, path: ./b, extensions: [pdf] }"))
    expect(yield* reload).toEqual(
      Either.right({
        applied: ["folder a has changed: what was accepted keeps its target", "folder b is new"],
        restart: []
      })
    )
    expect(yield* folders).toEqual(["a", "b"])
    expect(summaries).toEqual(["1 to 2"])
    expect(yield* status).toMatchObject({ loadedAt: 5000, error: null, restart: [] })
    const before = yield* current
    expect(yield* reload).toEqual(Either.right({ applied: [], restart: [] }))
    // nobody has anything to do
    expect(yield* current).toBe(before)
  })
)

it.scoped("keeps the old config where the file is broken, with line and column, until it is mended", () =>
  Effect.gen(function* () {
    const { file, folders, reload, status, write } = yield* start()
    write(lines("{ name: a, path: ./a, extensionz: [pdf] }"))
    const outcome = yield* reload
    expect(Either.isLeft(outcome) && outcome.left.message).toContain(`${file}:4:`)
    expect(yield* folders).toEqual(["a"])
    expect((yield* status).error).toContain("extensionz")
    write(lines("{ name: b, path: ./b }"))
    expect(Either.isRight(yield* reload)).toBe(true)
    expect(yield* folders).toEqual(["b"])
    expect((yield* status).error).toBeNull()
  })
)

it.scoped("notices that the file has changed, was replaced by a rename, is gone, and is there again", () =>
  Effect.gen(function* () {
    const { directory, file, folders, status, write } = yield* start()
    const isNow = (name: string) => Effect.map(folders, (names) => names.join() === name)
    write(lines("{ name: b, path: ./b }"))
    yield* looked(isNow("b"))
    writeFileSync(join(directory, "new"), lines("{ name: c, path: ./c }"))
    renameSync(join(directory, "new"), file)
    yield* looked(isNow("c"))
    rmSync(file)
    yield* looked(Effect.map(status, ({ error }) => error !== null))
    expect((yield* status).error).toContain("there is no such file")
    expect(yield* folders).toEqual(["c"])
    write(lines("{ name: d, path: ./d }"))
    yield* looked(isNow("d"))
    expect((yield* status).error).toBeNull()
  })
)

it.scoped("follows a link that leads to another file", () =>
  Effect.gen(function* () {
    const { directory, file, folders } = yield* start({}, "link.yml")
    writeFileSync(join(directory, "second.yml"), lines("{ name: second, path: ./b }"))
    symlinkSync("second.yml", join(directory, "next"))
    renameSync(join(directory, "next"), file)
    yield* looked(Effect.map(folders, (names) => names.join() === "second"))
  })
)

it.scoped("does not read a file that is being written", () =>
  Effect.gen(function* () {
    const { file, folders, status, write } = yield* start()
    write("source: ./in\nfolders:\n")
    for (let piece = 0; piece < 5; piece += 1) {
      yield* TestClock.adjust("1 second")
      appendFileSync(file, "# more to come\n")
    }
    expect((yield* status).error).toBeNull()
    appendFileSync(file, "  - { name: whole, path: ./b }\n")
    yield* looked(Effect.map(folders, (names) => names.join() === "whole"))
  })
)

it.scoped("applies the command line again, and says what needs a restart", () =>
  Effect.gen(function* () {
    const { current, directory, reload, status, write } = yield* start({
      overrides: { move: true, port: 4000, noHttp: true }
    })
    write(`${lines("{ name: a, path: ./a }")}http: { port: 5000 }\nmonitor: false\nlog: { retain: 1d }\n`)
    appendFileSync(join(directory, "config.yml"), "durability: crash\n")
    expect(yield* reload).toEqual(
      Either.right({ applied: ["log.retain has changed"], restart: ["monitor", "durability"] })
    )
    const settings = yield* current
    expect(settings.sources[0]?.after._tag).toBe("Delete")
    expect(settings.http.port).toBe(4000)
    expect(settings.durability).toBe("power")
    expect(settings.monitor.enabled).toBe(true)
    expect(settings.log.retain).toBe(86_400_000)
    expect((yield* status).restart).toEqual(["monitor", "durability"])
  })
)

it.scoped("keeps the text that is in force, without its secrets, and what came of the last time", () =>
  Effect.gen(function* () {
    const { last, reload, text, write } = yield* start()
    const first = ["source: ./in", "db: ./journal.db", "folders:", "  - { name: a, path: ./a }"]
    expect((yield* text).lines).toEqual(first)
    expect(yield* last).toBeNull()
    write("source: ./in\nfolders: nothing\n")
    yield* reload
    expect((yield* text).lines).toEqual(first)
    expect(yield* last).toMatchObject({ why: "test", applied: [], error: expect.stringContaining("folders") })
    write(lines("{ name: a, path: 'ftp://me:s3cr3t@127.0.0.1/in' }"))
    yield* reload
    expect((yield* text).lines.at(-1)).toBe("  - { name: a, path: 'ftp://me:***@127.0.0.1/in' }")
    expect(yield* last).toMatchObject({
      why: "test",
      applied: ["folder a has changed: what was accepted keeps its target"],
      error: null
    })
  })
)

it.scoped("tells that credentials have changed, and shows none", () =>
  Effect.gen(function* () {
    const { current, reload, write } = yield* start()
    write(lines("{ name: a, path: 'ftp://me:first@127.0.0.1/in' }"))
    yield* reload
    write(lines("{ name: a, path: 'ftp://me:second@127.0.0.1/in' }"))
    expect(yield* reload).toEqual(Either.right({ applied: ["folder a has other credentials"], restart: [] }))
    const password = (yield* current).routes[0]?.targets[0]?.secrets.password
    expect(password === undefined ? undefined : Option.map(password, Redacted.value)).toEqual(Option.some("second"))
  })
)

it.scoped("never leaves an address that others can reach without a token", () =>
  Effect.gen(function* () {
    const { current } = yield* start()
    const old: Settings = {
      ...(yield* current),
      http: { host: "0.0.0.0", port: 1, token: Option.some(Redacted.make("token")) }
    }
    const next: Settings = { ...old, http: { host: "127.0.0.1", port: 1, token: Option.none() } }
    expect(Changes.inForce(old, next).http).toEqual(old.http)
    expect(Changes.between(old, next)).toMatchObject({ applied: [], restart: ["http.host"] })
  })
)

it.scoped("tells of another order, because the first folder wins a place", () =>
  Effect.gen(function* () {
    const { reload, write } = yield* start()
    write(lines("{ name: a, path: ./a }", "{ name: b, path: ./b }"))
    yield* reload
    write(lines("{ name: b, path: ./b }", "{ name: a, path: ./a }"))
    expect(yield* reload).toEqual(Either.right({ applied: ["the order of the folders has changed"], restart: [] }))
  })
)

it.effect("has nothing to load where the settings came from no file", () =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    writeFileSync(join(directory, "config.yml"), lines("{ name: a, path: ./a }"))
    const settings = yield* Effect.orDie(Config.load(join(directory, "config.yml")))
    const layer = Reload.layerFixed.pipe(Layer.provide(CurrentSettings.layer(settings)))
    const reload = Context.get(yield* Layer.build(layer), Reload.Reload)
    expect(Either.isLeft(yield* Effect.either(reload.reload("test")))).toBe(true)
    expect((yield* reload.status).error).toBeNull()
  }).pipe(Effect.scoped)
)
