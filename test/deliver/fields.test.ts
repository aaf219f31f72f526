import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, TestClock } from "effect"
import { noFacts, type Facts } from "../../src/domain/Facts.ts"
import type { Rule } from "../../src/domain/Rule.ts"
import { noSecrets, type Route } from "../../src/domain/Settings.ts"
import * as Fields from "../../src/deliver/Fields.ts"
import type { Task } from "../../src/deliver/Destination.ts"
import { FileFacts } from "../../src/files/FileFacts.ts"
import * as FileFactsMemory from "../../src/files/FileFactsMemory.ts"
import { Journal } from "../../src/store/Journal.ts"
import * as LogRepoMemory from "../../src/store/LogRepoMemory.ts"
import * as MemoryJournal from "../../src/store/MemoryJournal.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { admission, found } from "../contracts/journal.ts"
import { elapse, inMemory, route, start } from "../TestApp.ts"

const sha256 = "a".repeat(64)

const secretsOf = (headers: Readonly<Record<string, string>>) => ({
  ...noSecrets,
  headers: Object.entries(headers).map(([name, value]) => [name, Redacted.make(value)] as const)
})

const delivery = (facts: Facts | null, path = "x/Bericht 100%.txt") =>
  Effect.gen(function* () {
    const journal = yield* Journal
    yield* journal.admit("rules", [admission(found(path))])
    const [one] = yield* journal.claim("memory://one", 1, 0)
    if (!one) throw new Error("nothing claimed")
    return { ...one, route: "bills", facts }
  }).pipe(
    Effect.provide(MemoryJournal.layer.pipe(Layer.provide(Layer.merge(MemoryStore.layer, LogRepoMemory.layer)))),
    Effect.orDie
  )

const rules: ReadonlyArray<Rule> = [{ _tag: "Regex", pattern: "(?P<kind>Bericht)(?P<rest> nie)?" }]
const bills: Route = { ...route("bills", []), rules }

const render = (
  headers: Readonly<Record<string, string>>,
  facts: Facts | null = null,
  known: FileFactsMemory.Given = {},
  routes: ReadonlyArray<Route> = [bills]
) =>
  Effect.gen(function* () {
    const one = yield* delivery(facts)
    const bytes = Context.get(yield* Layer.build(FileFactsMemory.layer({ [one.generation.path]: known })), FileFacts)
    const secrets = yield* Fields.rendered({ routes, sources: [] }, one, secretsOf(headers), bytes)
    return Object.fromEntries(secrets.headers.map(([name, value]) => [name, Redacted.value(value)]))
  })

describe("header fields", () => {
  it.scoped("are rendered for a file", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 0, 2))
      const facts = { ...noFacts, sha256, mime: "text/plain", groups: { kind: "Bericht" } }
      expect(
        yield* render(
          {
            "x-file": "{name}",
            "x-sum": "sha-256={sha256}",
            "x-kind": "{kind}:{rest}:{mime}",
            "x-at": "{date:yyyy}, from {source}",
            "x-json": '{"a":{"name":1}}'
          },
          facts
        )
      ).toEqual({
        "x-file": "Bericht 100%25.txt",
        "x-sum": `sha-256=${sha256}`,
        "x-kind": "Bericht::text/plain",
        "x-at": "2026, from inbox",
        "x-json": '{"a":{"name":1}}'
      })
    })
  )

  it.scoped("are as ever where there is no variable in them, and where the folder is gone", () =>
    Effect.gen(function* () {
      const secrets = secretsOf({ authorization: "Key {abc}", accept: "a{{b}}" })
      const one = yield* delivery(null)
      const bytes = Context.get(yield* Layer.build(FileFactsMemory.layer({})), FileFacts)
      expect(yield* Fields.rendered({ routes: [bills], sources: [] }, one, secrets, bytes)).toBe(secrets)
      expect(yield* Fields.rendered({ routes: [bills], sources: [] }, one, noSecrets, bytes)).toBe(noSecrets)
      expect(yield* render({ "x-file": "{name} {kind}" }, null, {}, [])).toEqual({
        "x-file": "Bericht 100%25.txt {kind}"
      })
    })
  )

  it.scoped("ask for what was not asked when the file was routed, and do without where that fails", () =>
    Effect.gen(function* () {
      const known = { sha256, mime: "image/png" }
      expect(yield* render({ "x-sum": "{sha256:8} {mime}" }, null, known)).toEqual({ "x-sum": "aaaaaaaa image/png" })
      const fault = { ...known, fault: "it is gone" }
      expect(yield* render({ "x-sum": "[{sha256}] {mime}" }, null, fault)).toEqual({
        "x-sum": "[] application/octet-stream"
      })
    })
  )

  it.scoped("reach the destination, as secrets, with what was learnt of the file", () =>
    Effect.gen(function* () {
      const tasks: Array<Task> = []
      const all = route("all", [inMemory("one")])
      const app = yield* start({
        source: { settle: 0 },
        routes: [
          {
            ...all,
            targets: all.targets.map((one) => ({ ...one, secrets: secretsOf({ "x-sum": "{sha256:8} {name}" }) }))
          }
        ],
        memory: {
          before: (task) => {
            tasks.push(task)
            return Effect.void
          }
        }
      })
      yield* app.write("a.txt", "abc")
      yield* elapse(
        Effect.sync(() => tasks.length === 1),
        "it is sent"
      )
      const [task] = tasks
      expect(task?.secrets.headers.map(([name, value]) => [name, String(value), Redacted.value(value)])).toEqual([
        ["x-sum", "<redacted>", "ba7816bf a.txt"]
      ])
      expect(task?.delivery.facts?.sha256).toMatch(/^ba7816bf/)
    })
  )
})
