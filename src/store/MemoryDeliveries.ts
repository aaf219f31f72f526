/**
 * Questions about the journal in memory.
 */
import { Effect, Layer, Option } from "effect"
import type { Delivery } from "../domain/Delivery.ts"
import { Deliveries, type Judged, type LaneCount, type Routed } from "./Deliveries.ts"
import { MemoryStore } from "./MemoryStore.ts"

export const layer: Layer.Layer<Deliveries, never, MemoryStore> = Layer.effect(
  Deliveries,
  Effect.map(MemoryStore, (store) => {
    const rulesetOf = ({ generation, id }: Delivery): string =>
      store.extras.get(id)?.ruleset ?? store.generations.get(generation.id)?.ruleset ?? ""

    const judged = (delivery: Delivery): Option.Option<Judged> => {
      const stored = store.generations.get(delivery.generation.id)
      if (stored === undefined) return Option.none()
      const { generation, origin } = stored
      const ruleset = rulesetOf(delivery)
      return Option.some({
        generation,
        origin: origin ?? { source: generation.source, path: generation.path },
        at: delivery.created,
        ruleset,
        rules: store.rulesets.get(ruleset) ?? null,
        deliveries: Array.from(store.deliveries.values()).filter(
          (one) => one.generation.id === generation.id && rulesetOf(one) === ruleset
        )
      })
    }

    return Deliveries.of({
      list: ({ before, lane, limit, states }) =>
        Effect.sync(() =>
          Array.from(store.deliveries.values())
            .filter(
              (one) =>
                (states === undefined || states.includes(one.state)) &&
                (lane === undefined || one.target.lane === lane) &&
                (before === undefined || one.id < before)
            )
            .sort((left, right) => right.id - left.id)
            .slice(0, limit)
        ),
      get: (id) => Effect.sync(() => Option.fromNullable(store.deliveries.get(id))),
      attempts: (id) => Effect.sync(() => store.attempts.filter((attempt) => attempt.delivery === id)),
      judged: (id) => Effect.sync(() => Option.flatMap(Option.fromNullable(store.deliveries.get(id)), judged)),
      routed: ({ before, limit }) =>
        Effect.sync(() =>
          Array.from(store.generations.values())
            .filter(({ generation, state }) => state !== "REPLACED" && (before === undefined || generation.id < before))
            .sort((left, right) => right.generation.id - left.generation.id)
            .slice(0, limit)
            .map(({ generation, origin, ruleset }): Routed => {
              const { born, id, mtime, size } = generation
              const deliveries = Array.from(store.deliveries.values())
                .filter((one) => one.generation.id === id && (store.extras.get(one.id)?.anew ?? null) === null)
                .map((one) => {
                  const { facts, name, route, state, target } = one
                  return { id: one.id, route, target, name, state, facts }
                })
              const { path, source } = origin ?? generation
              return { id, source, path, size, mtime, born, ruleset, deliveries }
            })
        ),
      counts: Effect.sync(() => {
        const counts = new Map<string, LaneCount>()
        for (const { state, target } of store.deliveries.values()) {
          const key = `${target.lane}\n${state}`
          counts.set(key, { lane: target.lane, state, count: (counts.get(key)?.count ?? 0) + 1 })
        }
        return Array.from(counts.values())
      })
    })
  })
)
