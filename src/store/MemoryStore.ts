/**
 * The journal in memory: for tests, and for an embedding app that needs no durability. What `Journal` promises holds
 * but for surviving the process.
 */
import { Clock, Context, Effect, Layer, Option } from "effect"
import { v4 as uuid } from "uuid"
import {
  DeliveryId,
  givenUp,
  open,
  replayable,
  type Attempt,
  type Delivery,
  type DeliveryState
} from "../domain/Delivery.ts"
import { GenerationId, type Generation } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { Deliveries, type LaneCount } from "./Deliveries.ts"
import { Journal, type Admission, type Conclusion } from "./Journal.ts"
import { supersededReason } from "./JournalSql.ts"
import { LogRepo } from "./LogRepo.ts"

interface StoredGeneration {
  readonly generation: Generation
  readonly wanted: number
  readonly ruleset: string
  state: "OPEN" | "DONE" | "DISPOSING" | "DISPOSED" | "REPLACED"
  note: string | null
  updated: number
}

/** What both in-memory services look at. */
export class MemoryStore extends Context.Tag("filedispatch/store/MemoryStore")<
  MemoryStore,
  {
    readonly generations: Map<GenerationId, StoredGeneration>
    readonly deliveries: Map<DeliveryId, Delivery>
    readonly attempts: Array<Attempt>
    last: number
  }
>() {}

export const layerStore = Layer.sync(MemoryStore, () => ({
  generations: new Map<GenerationId, StoredGeneration>(),
  deliveries: new Map<DeliveryId, Delivery>(),
  attempts: [],
  last: 0
}))

const waiting: ReadonlyArray<DeliveryState> = ["PENDING", "RETRY_WAIT", "BLOCKED"]

const makeJournal = Effect.gen(function* () {
  const store = yield* MemoryStore
  const logs = yield* LogRepo

  const change = (id: DeliveryId, fields: Partial<Delivery>): void => {
    const delivery = store.deliveries.get(id)
    if (delivery !== undefined) store.deliveries.set(id, { ...delivery, ...fields })
  }

  const those = (predicate: (delivery: Delivery) => boolean): ReadonlyArray<Delivery> =>
    Array.from(store.deliveries.values()).filter(predicate)

  const known = (source: string, path: string) =>
    Array.from(store.generations.values()).filter(
      ({ generation }) => generation.source === source && generation.path === path
    )

  const admitOne = (ruleset: string, admission: Admission, now: number): ReadonlyArray<string> => {
    const others = known(admission.source, admission.file.path)
    if (others.some((one) => one.wanted > 0 && one.generation.stamp === admission.file.stamp)) return []
    for (const other of others) {
      if (other.wanted === 0) {
        store.generations.delete(other.generation.id)
        continue
      }
      if (other.state === "OPEN" || other.state === "DONE") other.state = "REPLACED"
      for (const delivery of those((one) => one.generation.id === other.generation.id && waiting.includes(one.state))) {
        change(delivery.id, { state: "SUPERSEDED", reason: supersededReason, due: null, updated: now })
      }
    }
    const id = GenerationId.make((store.last += 1))
    const { born, mtime, path, size, stamp } = admission.file
    const generation = { id, source: admission.source, path, stamp, size, mtime, born, after: admission.after }
    store.generations.set(id, {
      generation,
      wanted: admission.placements.length,
      ruleset,
      state: admission.placements.length === 0 ? "DONE" : "OPEN",
      note: null,
      updated: now
    })
    for (const { name, route, target } of admission.placements) {
      const delivery = DeliveryId.make((store.last += 1))
      store.deliveries.set(delivery, {
        id: delivery,
        generation,
        route,
        target,
        name,
        state: "PENDING",
        attempts: 0,
        due: null,
        reason: null,
        chosen: null,
        resume: null,
        sole: admission.placements.length === 1 && admission.after._tag === "Delete",
        interrupted: false,
        receipt: null,
        created: now,
        updated: now
      })
    }
    return admission.placements.map(({ target }) => target.lane)
  }

  const concludeOne = (conclusion: Conclusion, now: number): void => {
    const { id } = conclusion.delivery
    if (conclusion._tag === "Delivered") {
      change(id, {
        state: "DELIVERED",
        receipt: conclusion.receipt,
        reason: null,
        due: null,
        resume: null,
        interrupted: false,
        updated: now
      })
      return
    }
    const { counts, due, ended, reason, started, state } = conclusion
    const attempts = (store.deliveries.get(id)?.attempts ?? 0) + (counts ? 1 : 0)
    // what waits may not have got as far as looking for the traces of an interrupted attempt
    const interrupted = waiting.includes(state) && store.deliveries.get(id)?.interrupted === true
    change(id, { state, reason, due, attempts, interrupted, updated: now })
    if (state !== "PENDING") {
      store.attempts.push({
        delivery: id,
        number: conclusion.delivery.attempts + 1,
        started,
        ended,
        outcome: state,
        reason
      })
    }
  }

  const finished = (batch: ReadonlyArray<Conclusion>, now: number): ReadonlyArray<Generation> => {
    const disposing: Array<Generation> = []
    for (const id of new Set(batch.map(({ delivery }) => delivery.generation.id))) {
      const stored = store.generations.get(id)
      if (stored === undefined || stored.state === "REPLACED") continue
      if (those((one) => one.generation.id === id && one.state !== "DELIVERED").length > 0) continue
      const keep = stored.generation.after._tag === "Keep"
      stored.state = keep ? "DONE" : "DISPOSING"
      stored.updated = now
      if (!keep) disposing.push(stored.generation)
    }
    return disposing
  }

  return Journal.of({
    id: uuid(),
    unknown: (source, ruleset, found) =>
      Effect.sync(() =>
        found.filter(
          (file) =>
            !known(source, file.path).some(
              (one) => one.generation.stamp === file.stamp && (one.wanted > 0 || one.ruleset === ruleset)
            )
        )
      ),
    admit: (ruleset, batch) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        Array.from(new Set(batch.flatMap((admission) => admitOne(ruleset, admission, now))))
      ),
    claim: (lane, limit, now) =>
      Effect.sync(() => {
        const mine = those((one) => one.target.lane === lane)
        const due = mine
          .filter(
            (one) => (one.state === "RETRY_WAIT" || one.state === "BLOCKED") && one.due !== null && one.due <= now
          )
          .sort((left, right) => (left.due ?? 0) - (right.due ?? 0))
        const all = [...due, ...mine.filter((one) => one.state === "PENDING")].slice(0, limit)
        for (const one of all) change(one.id, { state: "SENDING", due: null, updated: now })
        return all.map((one) => ({ ...one, state: "SENDING" as const, due: null }))
      }),
    release: (ids) =>
      Effect.sync(() => {
        for (const id of ids) if (store.deliveries.get(id)?.state === "SENDING") change(id, { state: "PENDING" })
      }),
    choose: (id, name) =>
      Effect.sync(() => {
        const delivery = store.deliveries.get(id)
        if (delivery !== undefined) change(id, { state: "PUBLISHING", chosen: RelPath.make(name) })
      }),
    note: (id, resume) => Effect.sync(() => change(id, { resume })),
    cleared: (id, resume) =>
      Effect.sync(() => {
        const found = store.deliveries.get(id)
        if (found !== undefined && found.resume === resume && givenUp.includes(found.state))
          change(id, { resume: null, interrupted: false })
      }),
    litter: (lane, limit) =>
      Effect.sync(() => those((one) => one.target.lane === lane && isLitter(one)).slice(0, limit)),
    conclude: (batch) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        for (const conclusion of batch) concludeOne(conclusion, now)
        yield* Effect.orDie(logs.append(batch.flatMap(({ log }) => (log === null ? [] : [log]))))
        return finished(batch, now)
      }),
    disposals: (limit) =>
      Effect.sync(() =>
        Array.from(store.generations.values())
          .filter(({ state }) => state === "DISPOSING")
          .slice(0, limit)
          .map(({ generation }) => generation)
      ),
    disposed: (batch) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        for (const { id, note } of batch) {
          const stored = store.generations.get(id)
          if (stored === undefined) continue
          stored.state = note === null ? "DISPOSED" : "DONE"
          stored.note = note
          stored.updated = now
        }
      }),
    recover: Effect.map(Clock.currentTimeMillis, (now) => {
      const interrupted = those((one) => one.state === "SENDING" || one.state === "PUBLISHING")
      for (const one of interrupted) change(one.id, { state: "PENDING", interrupted: true, updated: now })
      for (const one of those((each) => each.state === "BLOCKED")) change(one.id, { due: now })
      return interrupted.length
    }),
    backlog: Effect.sync(() => {
      const lanes = new Map<string, { open: number; nextDue: number | null }>()
      for (const one of those((each) => open.includes(each.state))) {
        const lane = lanes.get(one.target.lane) ?? { open: 0, nextDue: null }
        const nextDue = one.due === null ? lane.nextDue : Math.min(one.due, lane.nextDue ?? one.due)
        lanes.set(one.target.lane, { open: lane.open + 1, nextDue })
      }
      for (const one of those(isLitter)) {
        if (!lanes.has(one.target.lane)) lanes.set(one.target.lane, { open: 0, nextDue: null })
      }
      return Array.from(lanes, ([lane, counts]) => ({ lane, ...counts }))
    }),
    nextDue: (lane) =>
      Effect.sync(() =>
        those((one) => one.target.lane === lane && (one.state === "RETRY_WAIT" || one.state === "BLOCKED")).reduce<
          number | null
        >((least, one) => (one.due === null ? least : Math.min(one.due, least ?? one.due)), null)
      ),
    unblock: (lane) =>
      Effect.sync(() => {
        for (const one of those((each) => each.target.lane === lane && each.state === "BLOCKED")) {
          change(one.id, { state: "PENDING", due: null })
        }
      }),
    replay: (ids) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const chosen = those((one) => replayable.includes(one.state) && (ids === "all" || ids.includes(one.id)))
        for (const one of chosen) change(one.id, { state: "PENDING", attempts: 0, due: null, updated: now })
        return chosen.map((one) => ({ id: one.id, lane: one.target.lane }))
      }),
    cancel: (ids) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const chosen = those((one) => ids.includes(one.id) && [...waiting, "DEAD", "AMBIGUOUS"].includes(one.state))
        for (const one of chosen) change(one.id, { state: "CANCELLED", due: null, updated: now })
        return chosen.map((one) => one.id)
      }),
    prune: (before) =>
      Effect.sync(() => {
        const gone = Array.from(store.generations.values()).filter(
          (one) =>
            (one.state === "DISPOSED" || one.state === "REPLACED") &&
            one.updated < before &&
            !those((each) => each.generation.id === one.generation.id).some(
              (each) => each.resume !== null || open.includes(each.state)
            )
        )
        for (const { generation } of gone) {
          store.generations.delete(generation.id)
          for (const one of those((each) => each.generation.id === generation.id)) store.deliveries.delete(one.id)
        }
        return gone.length
      })
  })
})

const makeDeliveries = Effect.map(MemoryStore, (store) =>
  Deliveries.of({
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
    counts: Effect.sync(() => {
      const counts = new Map<string, LaneCount>()
      for (const { state, target } of store.deliveries.values()) {
        const key = `${target.lane}\n${state}`
        counts.set(key, { lane: target.lane, state, count: (counts.get(key)?.count ?? 0) + 1 })
      }
      return Array.from(counts.values())
    })
  })
)

export const layerJournal: Layer.Layer<Journal, never, MemoryStore | LogRepo> = Layer.effect(Journal, makeJournal)

export const layerDeliveries: Layer.Layer<Deliveries, never, MemoryStore> = Layer.effect(Deliveries, makeDeliveries)

/** Given up, with something left at the target, or with an attempt whose traces nobody has looked for. */
const isLitter = (one: Delivery): boolean => (one.resume !== null || one.interrupted) && givenUp.includes(one.state)
