import { describe, expect, it } from "@effect/vitest"
import { Context, Effect } from "effect"
import { DeliveryId } from "../../src/domain/Delivery.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Settings } from "../../src/domain/Settings.ts"
import * as Reroute from "../../src/deliver/Reroute.ts"
import { FileFacts } from "../../src/files/FileFacts.ts"
import * as FileFactsMemory from "../../src/files/FileFactsMemory.ts"
import * as Router from "../../src/route/Router.ts"
import * as Ruleset from "../../src/route/Ruleset.ts"
import { Deliveries } from "../../src/store/Deliveries.ts"
import { Journal } from "../../src/store/Journal.ts"
import { found, route, rules, source, to } from "../route/rules.ts"
import { makeStore, settingsOf } from "../TestApp.ts"

const settings = (...routes: Settings["routes"]): Settings => ({
  ...settingsOf("/", {}),
  ...rules(routes, { sources: [source("/in"), source("/in2")] })
})

/** Files accepted by these settings, whose deliveries were all given up. */
const givenUp = (accepted: Settings, paths: ReadonlyArray<string>, directory = "/in") =>
  Effect.gen(function* () {
    const store = yield* makeStore
    const journal = Context.get(store, Journal)
    const deliveries = Context.get(store, Deliveries)
    const last = new Map(yield* journal.counters)
    const router = Router.compile(accepted, {
      counter: (name) => {
        last.set(name, (last.get(name) ?? 0) + 1)
        return last.get(name) ?? 0
      }
    })
    const from = accepted.sources.find(({ path }) => path === directory) ?? source(directory)
    yield* journal.ruleset(router.ruleset, Ruleset.encode(accepted))
    for (const path of paths) {
      const file = found(path)
      const decision = router.route(from, file, 0)
      if (decision === "read") return yield* Effect.dieMessage("nothing is read here")
      const counters = Object.fromEntries(last)
      yield* journal.admit(router.ruleset, [
        {
          source: directory,
          after: { _tag: "Keep" },
          onDead: { _tag: "Keep" },
          marker: null,
          file,
          placements: decision.placed,
          counters
        }
      ])
    }
    yield* journal.cancel((yield* deliveries.list({ limit: 1000 })).map(({ id }) => id))
    const all = Effect.map(deliveries.list({ limit: 1000 }), (page) => page.toReversed())
    /** `numbers`: of the deliveries, from 1, as they came. */
    const reroute = (today: Settings, numbers: ReadonlyArray<number> | "all") =>
      Effect.gen(function* () {
        const ids = (yield* all).map(({ id }) => id)
        const idOf = (number: number) => ids[number - 1] ?? DeliveryId.make(999_999)
        const { deliveries: anew, left } = yield* Reroute.reroute(
          { settings: today, journal, deliveries, facts: yield* FileFacts },
          numbers === "all" ? numbers : numbers.map(idOf)
        )
        return { count: anew.length, left: left.map(({ id, reason }) => [ids.indexOf(id) + 1, reason]) }
      })
    const shown = Effect.map(all, (page) =>
      page.map(({ name, state, target }, index) => `${index + 1} ${state} ${target.url}/${RelPath.display(name)}`)
    )
    return { reroute, shown, journal }
  })

const old = settings(route("all", { targets: [to("/old"), to("/both")] }))

describe("reroute", () => {
  it.scoped("gives up what was given up for the places of today, once for each file", () =>
    Effect.gen(function* () {
      const { reroute, shown } = yield* givenUp(old, ["a.pdf", "b.txt"])
      expect(yield* reroute(settings(route("all", { targets: [to("/new")] })), [1, 2, 3])).toEqual({
        count: 2,
        left: []
      })
      expect(yield* shown).toEqual([
        "1 CANCELLED /old/a.pdf",
        "2 CANCELLED /both/a.pdf",
        "3 CANCELLED /old/b.txt",
        "4 CANCELLED /both/b.txt",
        "5 PENDING /new/a.pdf",
        "6 PENDING /new/b.txt"
      ])
    }).pipe(Effect.provide(FileFactsMemory.layer({})))
  )

  it.scoped("all of them, page by page; what no folder wants stays", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 250 }, (_, index) => `${index}.${index % 5 === 0 ? "txt" : "pdf"}`)
      const { reroute } = yield* givenUp(old, names)
      const today = settings(route("pdfs", { extensions: ["pdf"] }))
      const { count, left } = yield* reroute(today, "all")
      expect(count).toBe(200)
      expect(new Set(left.map(([, reason]) => reason))).toEqual(new Set(["no folder wants the file"]))
      expect(left.length).toBe(50)
    }).pipe(Effect.provide(FileFactsMemory.layer({})))
  )

  it.scoped("reads the file where a rule of today asks; says why where that fails, and what else is wrong", () =>
    Effect.gen(function* () {
      const { reroute, shown } = yield* givenUp(old, ["letter", "gone", "x"])
      const today = settings(
        route("letters", {
          rules: [{ _tag: "Content", text: null, pattern: "(?i)dear (?P<who>\\w+)", within: 100 }],
          targets: [to("/letters", { rename: "{who}/{name}" })]
        })
      )
      const { count, left } = yield* reroute(today, [1, 3, 5, 99])
      expect(count).toBe(1)
      expect((yield* shown).at(-1)).toBe("7 PENDING /letters/Ada/letter")
      expect(left).toEqual([
        [3, "it is gone"],
        [5, "no folder wants the file"],
        [0, "there is no such delivery"]
      ])
      expect(yield* reroute(today, [1])).toMatchObject({
        count: 0,
        left: [[1, expect.stringContaining("nothing of its file")]]
      })
      const nowhere = yield* reroute({ ...today, sources: [source("/else")] }, [5])
      expect(nowhere.left).toEqual([[5, "the config has no source /in any more"]])
    }).pipe(
      Effect.provide(
        FileFactsMemory.layer({ letter: { mime: "text/plain", text: "Dear Ada" }, gone: { fault: "it is gone" } })
      )
    )
  )

  it.scoped("a file keeps its number; in another folder it gets the next", () =>
    Effect.gen(function* () {
      const numbered = (name: string, place: string) =>
        route(name, { targets: [to(place, { rename: "{counter}-{name}" })] })
      const { journal, reroute, shown } = yield* givenUp(settings(numbered("one", "/old")), ["a", "b"])
      yield* reroute(settings(numbered("one", "/new"), numbered("two", "/two")), [2])
      expect((yield* shown).slice(2)).toEqual(["3 PENDING /new/2-b", "4 PENDING /two/1-b"])
      expect(Array.from(yield* journal.counters).toSorted()).toEqual([
        ["one", 2],
        ["two", 1]
      ])
    }).pipe(Effect.provide(FileFactsMemory.layer({})))
  )
})
