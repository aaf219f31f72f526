import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Option, Stream } from "effect"
import { DeliveryId } from "../../src/domain/Delivery.ts"
import type { Explanation, Predicate } from "../../src/domain/Explanation.ts"
import { noFacts, type Facts } from "../../src/domain/Facts.ts"
import { GenerationId } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Rule } from "../../src/domain/Rule.ts"
import * as Ruleset from "../../src/route/Ruleset.ts"
import type { Routed } from "../../src/store/Deliveries.ts"
import { explainEntry } from "../../src/store/explainEntry.ts"
import * as Remembered from "../../src/store/Remembered.ts"
import { logEntry } from "../contracts/logRepo.ts"
import { delivery } from "../http/testServer.ts"
import { route, rules, source, to } from "../route/rules.ts"

const routed = (id: number, facts: ReadonlyArray<Facts | null> = []): Routed => ({
  id: GenerationId.make(id),
  source: "/in",
  path: RelPath.make(`f${id}`),
  size: id,
  mtime: 1,
  born: 1,
  ruleset: "r",
  deliveries: facts.map((facts, index) => ({
    id: DeliveryId.make(index + 1),
    route: "x",
    target: to("/x").target,
    name: RelPath.make("n"),
    state: "DELIVERED",
    facts
  }))
})

describe("Remembered.stream", () => {
  const journal = (count: number) => {
    const asked: Array<number> = []
    const all = Array.from({ length: count }, (_, index) => routed(count - index))
    return {
      asked,
      deliveries: {
        routed: ({ before, limit }: { readonly before?: number | undefined; readonly limit: number }) =>
          Effect.sync(() => {
            asked.push(limit)
            return all.filter(({ id }) => before === undefined || id < before).slice(0, limit)
          })
      }
    }
  }

  it.effect("is page by page, all or the newest", () =>
    Effect.gen(function* () {
      const { asked, deliveries } = journal(2500)
      const files = Array.from(yield* Stream.runCollect(Remembered.stream(deliveries)))
      expect(files.map(({ found }) => found.size)).toEqual(Array.from({ length: 2500 }, (_, index) => 2500 - index))
      expect(asked).toEqual([1000, 1000, 1000])
      asked.length = 0
      expect((yield* Stream.runCollect(Remembered.stream(deliveries, 1200))).length).toBe(1200)
      expect((yield* Stream.runCollect(Remembered.stream(deliveries, 3))).length).toBe(3)
      expect(asked).toEqual([1000, 200, 3])
      expect((yield* Stream.runCollect(Remembered.stream(journal(0).deliveries))).length).toBe(0)
    })
  )

  it.effect("knows what any of a file's deliveries knows, and no more", () =>
    Effect.gen(function* () {
      const bytes = Remembered.bytesOf("f", [null, { ...noFacts, sha256: "ab" }, { ...noFacts, mime: "a/b" }])
      expect(yield* bytes.mime).toBe("a/b")
      expect(yield* bytes.sha256).toBe("ab")
      expect(yield* Effect.flip(bytes.text(1))).toMatchObject({
        file: "f",
        reason: "the journal has not kept its text"
      })
      const nothing = Remembered.bytesOf("f", [null, noFacts])
      expect(yield* Effect.flip(nothing.mime)).toMatchObject({ _tag: "FactsError" })
      expect(yield* Effect.flip(nothing.sha256)).toMatchObject({ _tag: "FactsError" })
    })
  )
})

describe("explainEntry", () => {
  const mime: Rule = { _tag: "Mime", types: ["text/*"] }
  const content: Rule = { _tag: "Content", text: "dear", pattern: null, within: 10 }
  const never: Rule = { _tag: "Glob", globs: ["*.never"] }
  const always: Rule = { _tag: "Glob", globs: ["**"] }

  const explain = (asked: ReadonlyArray<Rule>, facts: Facts | null) =>
    Effect.gen(function* () {
      const one = delivery(7, { route: "sent", facts })
      const explained = yield* explainEntry(
        {
          logs: { get: () => Effect.succeed(Option.some({ ...logEntry(1), delivery: 7 })) },
          deliveries: {
            judged: () =>
              Effect.succeed(
                Option.some({
                  generation: one.generation,
                  origin: { source: one.generation.source, path: one.generation.path },
                  at: 0,
                  ruleset: "r",
                  rules: Ruleset.encode(
                    rules([route("asked", { rules: asked }), route("sent")], { sources: [source("/inbox")] })
                  ),
                  deliveries: [one]
                })
              )
          }
        },
        logEntry(1).id
      )
      const explanation: Explanation = Either.getOrThrow(Option.getOrThrow(explained))
      const [first] = explanation.folders
      return { matched: first?.matched, predicates: first?.predicates.slice(1) ?? [] }
    })

  const outcome = ({ had, matched, parts }: Predicate): unknown =>
    parts === undefined ? [matched, matched === null ? had : ""] : [matched, parts.map(outcome)]

  it.effect("says of what was not learnt that it is not known, and draws no conclusion from it", () =>
    Effect.gen(function* () {
      const unknown = [null, "unknown: it was not kept"]
      const cases: ReadonlyArray<readonly [rule: Rule, facts: Facts | null, outcome: unknown]> = [
        [mime, null, unknown],
        [mime, { ...noFacts, mime: "text/plain" }, [true, ""]],
        [mime, { ...noFacts, mime: "image/png" }, [false, ""]],
        [content, { ...noFacts, mime: "text/plain" }, unknown],
        [{ _tag: "Not", rule: content }, null, [null, [unknown]]],
        [{ _tag: "Any", rules: [content, never] }, null, [null, [unknown, [false, ""]]]],
        [{ _tag: "Any", rules: [content, always] }, null, [true, [unknown, [true, ""]]]],
        [{ _tag: "All", rules: [content, never] }, null, [false, [unknown, [false, ""]]]],
        [{ _tag: "All", rules: [mime, always] }, null, [null, [unknown, [true, ""]]]]
      ]
      for (const [rule, facts, expected] of cases) {
        const { matched, predicates } = yield* explain([rule], facts)
        expect(predicates.map(outcome), JSON.stringify(rule)).toEqual([expected])
        expect(matched).toBe(predicates[0]?.matched)
      }
    })
  )
})
