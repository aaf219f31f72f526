/**
 * Why the file of a log entry went where it went: by the rules of when it was accepted, and on what was known of it
 * then. Where it went is no guess; of what it had, only what the journal has kept can be told.
 */
import { Effect, Either, Option, type Context } from "effect"
import type { Explanation, FolderVerdict, Predicate } from "../domain/Explanation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { DeliveryId, type Delivery } from "../domain/Delivery.ts"
import { location } from "../domain/Target.ts"
import type { Bytes } from "../files/FileFacts.ts"
import { placeVerdict } from "../route/Explain.ts"
import * as Router from "../route/Router.ts"
import * as Ruleset from "../route/Ruleset.ts"
import type { Deliveries, Judged } from "./Deliveries.ts"
import type { JournalError } from "./Journal.ts"
import type { LogError, LogRepo } from "./LogRepo.ts"

export interface Services {
  readonly logs: Pick<Context.Tag.Service<typeof LogRepo>, "get">
  readonly deliveries: Pick<Context.Tag.Service<typeof Deliveries>, "judged">
}

/** None where there is no such entry; left, in a sentence, where nothing can be said any more. */
export const explainEntry = (
  { deliveries, logs }: Services,
  id: string
): Effect.Effect<Option.Option<Either.Either<Explanation, string>>, JournalError | LogError> =>
  Effect.gen(function* () {
    const entry = yield* logs.get(id)
    if (Option.isNone(entry)) return Option.none()
    const { delivery } = entry.value
    if (delivery === null)
      return Option.some(Either.left("the entry was stored by somebody else: no rule has led to it"))
    const judged = yield* deliveries.judged(DeliveryId.make(delivery))
    return Option.some(
      Option.isNone(judged)
        ? Either.left(`the journal has forgotten delivery ${delivery}, and by which rules it came to be`)
        : yield* explain(judged.value)
    )
  })

const explain = (judged: Judged): Effect.Effect<Either.Either<Explanation, string>> =>
  Effect.gen(function* () {
    const { at, generation, origin } = judged
    if (judged.rules === null) {
      return Either.left("the rules by which the file was judged were not kept: it was accepted by an earlier version")
    }
    const rules = Option.getOrUndefined(Ruleset.decode(judged.rules))
    const source = rules?.sources.find(({ path }) => path === origin.source)
    if (rules === undefined || source === undefined) {
      return Either.left("the rules by which the file was judged can't be read by this version")
    }
    const found = { ...generation, path: origin.path }
    const explained = yield* Router.explain(rules, source, { path: origin.path, found }, at, knownOf(judged)).pipe(
      // what is known is answered at once
      Effect.orDie
    )
    const folders = explained.folders.map((folder) => verdictOf(folder, judged.deliveries))
    const locations = Array.from(new Set(judged.deliveries.map(locationOf)))
    const explanation: Explanation = {
      ...explained,
      source: { ...explained.source, accepted: true },
      folders,
      locations,
      decided: true,
      until: null,
      summary: `${explained.file} was accepted on ${new Date(at).toISOString()} for ${locations.join(", ")}.${undoneOf(judged)}`
    }
    return Either.right(explanation)
  })

const undoneOf = ({ deliveries }: Judged): string => {
  const undone = deliveries.find((delivery) => delivery.undone !== undefined)?.undone
  return undone === undefined ? "" : ` It was undone on ${new Date(undone).toISOString()}: the file was put back.`
}

const locationOf = ({ name, target }: Delivery): string => location(target, RelPath.display(name))

/** What was not learnt of the file, as its content says it; {@link verdictOf} makes of it that nothing can be said. */
const unlearnt = "unknown: it was not kept"
const unknownType = "unknown/unknown"

const knownOf = ({ deliveries }: Judged): Bytes => {
  const facts = deliveries.flatMap((delivery) => (delivery.facts === null ? [] : [delivery.facts]))
  return {
    mime: Effect.succeed(facts.find(({ mime }) => mime !== null)?.mime ?? unknownType),
    text: () => Effect.succeed({ _tag: "NoText", why: unlearnt }),
    sha256: Effect.succeed(facts.find(({ sha256 }) => sha256 !== null)?.sha256 ?? "")
  }
}

/** Where it was sent, it was wanted. */
const verdictOf = (folder: FolderVerdict, deliveries: ReadonlyArray<Delivery>): FolderVerdict => {
  const sent = deliveries.filter(({ route }) => route === folder.name)
  const predicates = folder.predicates.map(honest)
  const matched = all(predicates)
  if (sent.length === 0) {
    return { ...folder, predicates, matched, gets: false, locations: folder.locations.filter(({ sameAs }) => sameAs) }
  }
  const locations = sent.map(({ name, target }) => placeVerdict(target, name, null))
  return { ...folder, predicates, matched: matched ?? true, gets: true, why: null, locations }
}

/** Without what was only supposed. */
const honest = (predicate: Predicate): Predicate => {
  const { had, parts } = predicate
  if (predicate.predicate === "content" && had === unlearnt) return { ...predicate, matched: null }
  if (predicate.predicate === "mime" && had === unknownType) return { ...predicate, had: unlearnt, matched: null }
  if (parts === undefined) return predicate
  const below = parts.map(honest)
  const [first] = below
  switch (predicate.predicate) {
    case "any":
      return { ...predicate, parts: below, matched: not(all(below.map((part) => ({ matched: not(part.matched) })))) }
    case "not":
      return { ...predicate, parts: below, matched: first === undefined ? predicate.matched : not(first.matched) }
    default:
      return { ...predicate, parts: below, matched: all(below) }
  }
}

const not = (answer: boolean | null): boolean | null => (answer === null ? null : !answer)

const all = (predicates: ReadonlyArray<Pick<Predicate, "matched">>): boolean | null => {
  if (predicates.some(({ matched }) => matched === false)) return false
  return predicates.some(({ matched }) => matched === null) ? null : true
}
