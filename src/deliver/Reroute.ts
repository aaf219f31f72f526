/**
 * Deliveries that were given up, routed anew: by today's rules, from what the file is, to places that may be others.
 */
import { Clock, Effect, Either, Option, type Context } from "effect"
import { replayable, type Delivery, type DeliveryId } from "../domain/Delivery.ts"
import type { Found, GenerationId } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Settings } from "../domain/Settings.ts"
import type { FileFacts } from "../files/FileFacts.ts"
import * as Router from "../route/Router.ts"
import * as Ruleset from "../route/Ruleset.ts"
import type { Deliveries, Judged } from "../store/Deliveries.ts"
import type { GivenUp, Journal, JournalError, Rerouting } from "../store/Journal.ts"

export interface Services {
  readonly settings: Settings
  readonly journal: Pick<Context.Tag.Service<typeof Journal>, "reroute" | "ruleset" | "counters">
  readonly deliveries: Pick<Context.Tag.Service<typeof Deliveries>, "judged" | "list">
  readonly facts: Context.Tag.Service<typeof FileFacts>
  /** The next number of a route; left out where nobody else gives any: it is the one after the journal's last. */
  readonly counter?: ((route: string) => number) | undefined
}

export interface Rerouted {
  /** The new deliveries. */
  readonly deliveries: ReadonlyArray<{ readonly id: DeliveryId; readonly lane: string }>
  /** Those that stay as they are, and why, as the end of a sentence. */
  readonly left: ReadonlyArray<{ readonly id: DeliveryId; readonly reason: string }>
}

/** These, or all that were given up. With one of a file's deliveries all of them that were given up are routed anew. */
export const reroute = (
  services: Services,
  which: ReadonlyArray<DeliveryId> | GivenUp
): Effect.Effect<Rerouted, JournalError> =>
  which === "all" ? all(services, undefined) : "lane" in which ? all(services, which.lane) : each(services, which)

/** One by one, so that of each it can be said why it stays. */
const each = Effect.fnUntraced(function* (services: Services, ids: ReadonlyArray<DeliveryId>) {
  const found: Array<Rerouted["deliveries"][number]> = []
  const left: Array<Rerouted["left"][number]> = []
  const seen = new Set<GenerationId>()
  for (const id of ids) {
    const before = seen.size
    const one = yield* some(services, [id], seen)
    found.push(...one.deliveries)
    left.push(...one.left)
    if (one.deliveries.length === 0 && one.left.length === 0 && seen.size > before) {
      left.push({ id, reason: "nothing of its file was given up, or it is already where the config sends it" })
    }
  }
  return { deliveries: found, left }
})

/** `seen`: the files that were asked about already. */
const some = Effect.fnUntraced(function* (services: Services, ids: ReadonlyArray<DeliveryId>, seen: Set<GenerationId>) {
  const { deliveries, journal, settings } = services
  const now = yield* Clock.currentTimeMillis
  const numbers = numbersOf(services.counter ?? after(yield* journal.counters))
  const router = Router.compile(settings, { counter: numbers.next })
  const batch: Array<Rerouting> = []
  const left: Array<Rerouted["left"][number]> = []
  for (const id of ids) {
    const judged = Option.getOrUndefined(yield* deliveries.judged(id))
    if (judged === undefined) {
      left.push({ id, reason: "there is no such delivery" })
      continue
    }
    if (seen.has(judged.generation.id)) continue
    seen.add(judged.generation.id)
    numbers.begin(judged)
    const placed = yield* Effect.either(route(services, router, judged, now))
    if (Either.isLeft(placed)) left.push({ id, reason: placed.left })
    else batch.push({ generation: judged.generation.id, placements: placed.right, counters: numbers.given() })
  }
  if (batch.length === 0) return { deliveries: [], left }
  yield* journal.ruleset(router.ruleset, Ruleset.encode(settings))
  return { deliveries: yield* journal.reroute(router.ruleset, batch), left }
})

const pageSize = 100

/** Page by page, so that a hundred thousand dead ones are not in memory at once. */
const all = Effect.fnUntraced(function* (services: Services, lane: string | undefined) {
  const found: Array<Rerouted["deliveries"][number]> = []
  const left: Array<Rerouted["left"][number]> = []
  const seen = new Set<GenerationId>()
  let before: DeliveryId | undefined
  while (true) {
    const page: ReadonlyArray<Delivery> = yield* services.deliveries.list({
      states: replayable,
      lane,
      before,
      limit: pageSize
    })
    const one = yield* some(
      services,
      // what was undone is to be left alone, unless it is named
      page.filter(({ state, undone }) => undone === undefined || state !== "CANCELLED").map(({ id }) => id),
      seen
    )
    found.push(...one.deliveries)
    left.push(...one.left)
    before = page.at(-1)?.id
    if (before === undefined || page.length < pageSize) return { deliveries: found, left }
  }
})

/** Where the file of a delivery goes by today's rules; or why that can't be said, or it goes nowhere. */
const route = (
  { facts, settings }: Services,
  router: Router.Router,
  { generation, origin }: Judged,
  now: number
): Effect.Effect<Rerouting["placements"], string> =>
  Effect.gen(function* () {
    const source = settings.sources.find(({ path }) => path === origin.source)
    if (source === undefined) {
      return yield* Effect.fail(`the config has no source ${RelPath.display(origin.source)} any more`)
    }
    const file: Found = { ...generation, path: origin.path }
    const first = router.route(source, file, now)
    const { placed } =
      first === "read"
        ? yield* Effect.mapError(
            router.read(source, file, now, facts.of(generation.source, generation)),
            ({ reason }) => reason
          )
        : first
    return placed.length === 0 ? yield* Effect.fail("no folder wants the file") : placed
  })

const after = (known: ReadonlyMap<string, number>): ((route: string) => number) => {
  const last = new Map(known)
  return (route) => {
    const next = (last.get(route) ?? 0) + 1
    last.set(route, next)
    return next
  }
}

/** A file keeps the number that it was given in a route; in another one it gets the next. */
const numbersOf = (counter: (route: string) => number) => {
  let current: Judged["deliveries"] = []
  let given: Record<string, number> = {}
  return {
    begin: ({ deliveries }: Judged): void => {
      current = deliveries
      given = {}
    },
    given: () => given,
    next: (route: string): number => {
      const had = current.find((delivery) => delivery.route === route)?.facts?.counter
      if (had !== undefined && had !== null) return had
      const next = counter(route)
      given[route] = next
      return next
    }
  }
}
