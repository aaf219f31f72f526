/**
 * The journal in memory: for tests, and for an embedding app that needs no durability. What `Journal` promises holds
 * but for surviving the process.
 */
import { Clock, Effect, Layer } from "effect"
import { v4 as uuid } from "uuid"
import { DeliveryId, givenUp, open, replayable, waiting, type Delivery } from "../domain/Delivery.ts"
import type { Facts } from "../domain/Facts.ts"
import { GenerationId, sameGeneration, type Generation } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Placement } from "../domain/Target.ts"
import {
  Journal,
  type Admission,
  type Concluded,
  type Conclusion,
  type Counters,
  type Disposal,
  type Rerouting
} from "./Journal.ts"
import {
  affected,
  dueAt,
  attemptsOfLost,
  elsewhere,
  findable,
  isDead,
  isUndoneAs,
  lastNumbers,
  mergeFacts,
  rememberedAttempts,
  reroutedReason,
  supersededReason
} from "./journalRules.ts"
import { LogRepo } from "./LogRepo.ts"
import { MemoryStore, type StoredGeneration } from "./MemoryStore.ts"
import * as Patience from "./Patience.ts"
import type { GenerationState } from "./UndoRepo.ts"

/** States from which a newer file at its path takes over. */
const replaceable: ReadonlyArray<GenerationState> = ["OPEN", "DONE", "MOVED", "UNDONE"]

/** States in which the file is not where it can be read. */
const inMotion: ReadonlyArray<GenerationState | undefined> = ["MOVING", "UNDOING"]

const isSighted = ({ generation: { stamp }, state }: StoredGeneration, found: string): boolean =>
  stamp === found || isUndoneAs({ stamp, state }, found)

const make = Effect.gen(function* () {
  const store = yield* MemoryStore
  const logs = yield* LogRepo
  const patience = Patience.make()
  /** The digest of the rules that hold now. */
  let current: string | undefined

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
    const same = others.find((one) => one.wanted > 0 && isSighted(one, admission.file.stamp))
    if (same !== undefined) return findAgain(same, now)
    for (const other of others) {
      if (other.wanted === 0) {
        store.generations.delete(other.generation.id)
        continue
      }
      if (replaceable.includes(other.state)) other.state = "REPLACED"
      for (const delivery of those((one) => one.generation.id === other.generation.id && waiting.includes(one.state))) {
        change(delivery.id, { state: "SUPERSEDED", reason: supersededReason, due: null, updated: now })
      }
    }
    const id = GenerationId.make((store.last += 1))
    const { after, marker, onDead, placements, source } = admission
    const { born, mtime, path, size, stamp } = admission.file
    const generation = { id, source, path, stamp, size, mtime, born, after, onDead, marker }
    store.generations.set(id, {
      generation,
      wanted: placements.length,
      ruleset,
      state: placements.length === 0 ? "DONE" : "OPEN",
      note: null,
      origin: null,
      updated: now
    })
    for (const placement of placements) {
      add(generation, placement, { sole: placements.length === 1 && after._tag === "Delete", ruleset: null, now })
    }
    return placements.map(({ target }) => target.lane)
  }

  /** What could not be sent because the file was not there, or was another. */
  const lostOf = ({ generation, state }: StoredGeneration): ReadonlyArray<Delivery> =>
    !findable.has(state)
      ? []
      : those(
          (one) =>
            one.generation.id === generation.id &&
            store.extras.get(one.id)?.lost === true &&
            (one.state === "SUPERSEDED" || one.state === "DEAD") &&
            !isReplaced(one) &&
            one.attempts < attemptsOfLost
        )

  const findAgain = (found: StoredGeneration, now: number): ReadonlyArray<string> => {
    const lost = lostOf(found)
    for (const { attempts, id } of lost) {
      change(id, { state: "PENDING", attempts: attempts + 1, due: null, updated: now })
    }
    if (lost.length > 0) found.state = "OPEN"
    return lost.map(({ target }) => target.lane)
  }

  const add = (
    generation: Generation,
    placement: Placement & { readonly route: string },
    fields: { readonly sole: boolean; readonly ruleset: string | null; readonly now: number }
  ): DeliveryId => {
    const { facts, name, priority, rank, route, target } = placement
    const id = DeliveryId.make((store.last += 1))
    store.extras.set(id, { rank, ruleset: fields.ruleset, anew: null })
    store.deliveries.set(id, {
      id,
      generation,
      route,
      target,
      name,
      priority,
      facts,
      state: "PENDING",
      attempts: 0,
      due: null,
      reason: null,
      chosen: null,
      resume: null,
      sole: fields.sole,
      interrupted: false,
      receipt: null,
      created: fields.now,
      updated: fields.now
    })
    return id
  }

  const count = (batch: ReadonlyArray<{ readonly counters?: Counters }>): void => {
    for (const [route, number] of lastNumbers(batch.map(({ counters }) => counters))) {
      store.counters.set(route, Math.max(number, store.counters.get(route) ?? number))
    }
  }

  const isReplaced = ({ id }: Delivery): boolean => (store.extras.get(id)?.anew ?? null) !== null

  const rerouteOne = (ruleset: string, { generation: id, placements }: Rerouting, now: number) => {
    const stored = store.generations.get(id)
    if (stored === undefined || !replaceable.includes(stored.state)) return []
    const existing = those((one) => one.generation.id === id)
    const back = existing.filter((one) => replayable.includes(one.state) && !isReplaced(one))
    const kept = existing.filter(({ state }) => state === "DELIVERED" || open.includes(state))
    const anew = back.length === 0 ? [] : elsewhere(placements, kept)
    const added = anew.map((placement) => ({
      id: add(stored.generation, placement, { sole: false, ruleset, now }),
      lane: placement.target.lane
    }))
    const first = added[0]?.id
    if (first === undefined) return []
    for (const one of back) {
      change(one.id, { state: "CANCELLED", reason: reroutedReason(first), due: null, updated: now })
      const extra = store.extras.get(one.id)
      if (extra !== undefined) extra.anew = first
    }
    return added
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
    const { counts, ended, reason, started, state } = conclusion
    const attempts = (store.deliveries.get(id)?.attempts ?? 0) + (counts ? 1 : 0)
    // what waits, or had no source, may not have got as far as looking for the traces of an interrupted attempt
    const interrupted =
      (waiting.includes(state) || conclusion.traces === true) && store.deliveries.get(id)?.interrupted === true
    change(id, { state, reason, due: dueAt(conclusion, now), attempts, interrupted, updated: now })
    const extra = store.extras.get(id)
    if (extra !== undefined) extra.lost = conclusion.lost === true
    if (state !== "PENDING") {
      store.attempts.push({
        delivery: id,
        number: conclusion.delivery.attempts + 1,
        started,
        ended,
        outcome: state,
        reason
      })
      const theirs = store.attempts.filter((attempt) => attempt.delivery === id)
      const [oldest] = theirs
      if (oldest !== undefined && theirs.length > rememberedAttempts) {
        store.attempts.splice(store.attempts.indexOf(oldest), 1)
      }
    }
  }

  /** All its targets have it. */
  const hasAll = ({ generation }: StoredGeneration): boolean =>
    those((one) => one.generation.id === generation.id && one.state !== "DELIVERED").length === 0

  const rewind = (now: number): void => {
    for (const { due, id, updated } of those((one) => one.state === "RETRY_WAIT" || one.state === "BLOCKED")) {
      if (updated > now) change(id, { due: now + Math.max(0, (due ?? now) - updated), updated: now })
    }
  }

  const settle = (ids: Iterable<GenerationId>, now: number): Concluded => {
    const dispose: Array<Generation> = []
    const dead: Array<Generation> = []
    for (const id of ids) {
      const stored = store.generations.get(id)
      if (stored === undefined || stored.state === "REPLACED") continue
      const { generation } = stored
      const unfinished = those((one) => one.generation.id === id && one.state !== "DELIVERED" && !isReplaced(one))
      const mark = (state: "DISPOSING" | "MOVING", list: Array<Generation>) => {
        stored.state = state
        stored.note = null
        stored.updated = now
        list.push(generation)
      }
      if (unfinished.length === 0) {
        if (generation.after._tag !== "Keep") mark("DISPOSING", dispose)
      } else if (
        generation.onDead?._tag === "Move" &&
        (stored.state === "OPEN" || stored.state === "DONE" || stored.state === "UNDONE") &&
        stored.origin === null &&
        isDead(new Set(unfinished.map(({ state }) => state)))
      ) {
        mark("MOVING", dead)
      }
    }
    return { dispose, dead }
  }

  const factsOf = (id: GenerationId): Facts | null => {
    let all: Facts | undefined
    for (const { facts, receipt } of those((one) => one.generation.id === id)) {
      const sha256 = receipt?.sourceSha256 ?? receipt?.sha256 ?? null
      if (facts !== null || sha256 !== null) all = mergeFacts(all, facts, sha256)
    }
    return all ?? null
  }

  const ranked = (left: Delivery, right: Delivery): number =>
    right.priority - left.priority ||
    (store.extras.get(left.id)?.rank ?? 0) - (store.extras.get(right.id)?.rank ?? 0) ||
    left.id - right.id

  const fresh = (lane: string, limit: number): ReadonlyArray<Delivery> => {
    const pending = those((one) => one.target.lane === lane && one.state === "PENDING")
    const first = pending.toSorted(ranked).slice(0, limit)
    if (limit <= 0 || first.length < limit) return first
    const longest = pending.toSorted((left, right) => left.id - right.id).slice(0, patience.share(lane, limit))
    return Patience.choose(first, longest, limit)
  }

  return Journal.of({
    id: uuid(),
    unknown: (source, ruleset, found) =>
      Effect.sync(() =>
        found.filter(
          (file) =>
            !known(source, file.path).some(
              (one) =>
                (isSighted(one, file.stamp) &&
                  (one.wanted > 0 || one.ruleset === ruleset) &&
                  lostOf(one).length === 0) ||
                (sameGeneration(one.generation.stamp, file.stamp) && one.wanted > 0 && hasAll(one))
            )
        )
      ),
    admit: (ruleset, batch) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        count(batch)
        return Array.from(new Set(batch.flatMap((admission) => admitOne(ruleset, admission, now))))
      }),
    counters: Effect.sync(() => new Map(store.counters)),
    ruleset: (digest, text) =>
      Effect.sync(() => {
        current = digest
        if (!store.rulesets.has(digest)) store.rulesets.set(digest, text)
      }),
    claim: (lane, limit, now) =>
      Effect.sync(() => {
        const mine = those((one) => one.target.lane === lane)
        const due = mine
          .filter(
            (one) => (one.state === "RETRY_WAIT" || one.state === "BLOCKED") && one.due !== null && one.due <= now
          )
          .sort((left, right) => (left.due ?? 0) - (right.due ?? 0))
          .slice(0, limit)
        const all = [...due, ...fresh(lane, limit - due.length)]
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
        return settle(affected(batch).keys(), now)
      }),
    replaced: (id) => Effect.sync(() => store.generations.get(id)?.state === "REPLACED"),
    disposals: (limit) =>
      Effect.sync(() =>
        Array.from(store.generations.values())
          .filter(({ note, state }) => (state === "DISPOSING" || state === "MOVING") && note === null)
          .slice(0, limit)
          .map(({ generation, origin, state, updated }): Disposal => ({
            generation,
            because: state === "MOVING" ? "dead" : "done",
            origin: origin ?? { source: generation.source, path: generation.path },
            facts: state === "MOVING" || generation.after._tag === "Archive" ? factsOf(generation.id) : null,
            since: updated
          }))
      ),
    disposed: (batch) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        for (const { archived, id, later, note } of batch) {
          const stored = store.generations.get(id)
          if (stored === undefined) continue
          if (archived !== undefined) stored.archived = archived
          if (later === true) {
            stored.note = note
            continue
          }
          stored.state = note === null ? "DISPOSED" : "DONE"
          stored.note = note
          stored.updated = now
        }
      }),
    retryDisposals: Effect.sync(() => {
      for (const one of store.generations.values()) {
        if (one.state === "DISPOSING" || one.state === "MOVING") one.note = null
      }
    }),
    clockSetBack: Effect.map(Clock.currentTimeMillis, rewind),
    moved: (id, { marker, path, source, stamp }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const stored = store.generations.get(id)
        if (stored === undefined) return
        const taken = known(source, path).some((one) => one.generation.stamp === stamp && one.generation.id !== id)
        stored.updated = now
        stored.state = taken ? "REPLACED" : "MOVED"
        if (taken) return
        stored.origin ??= { source: stored.generation.source, path: stored.generation.path }
        const generation = { ...stored.generation, source, path, stamp, marker }
        stored.generation = generation
        for (const one of those((each) => each.generation.id === id)) change(one.id, { generation })
      }),
    archived: (id, path, identity, until) =>
      Effect.sync(() => {
        store.archives.set(id, { path, identity, until })
      }),
    expired: (now, limit) =>
      Effect.sync(() =>
        Array.from(store.archives, ([id, archive]) => ({ id, ...archive }))
          .filter(({ until }) => until <= now)
          .sort((left, right) => left.until - right.until)
          .slice(0, limit)
      ),
    expunged: (ids) =>
      Effect.sync(() => {
        for (const id of ids) store.archives.delete(id)
      }),
    recover: Effect.map(Clock.currentTimeMillis, (now) => {
      rewind(now)
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
    replay: (which) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const chosen = those(
          (one) =>
            replayable.includes(one.state) &&
            !isReplaced(one) &&
            !inMotion.includes(store.generations.get(one.generation.id)?.state) &&
            (which === "all" || "lane" in which
              ? (one.undone === undefined || one.state !== "CANCELLED") &&
                (which === "all" || which.lane === one.target.lane)
              : which.includes(one.id))
        )
        for (const one of chosen) {
          const { undone: _, ...rest } = one
          store.deliveries.set(one.id, { ...rest, state: "PENDING", attempts: 0, due: null, updated: now })
        }
        return chosen.map((one) => ({ id: one.id, lane: one.target.lane }))
      }),
    reroute: (ruleset, batch) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        count(batch)
        return batch.flatMap((one) => rerouteOne(ruleset, one, now))
      }),
    cancel: (ids) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const chosen = those((one) => ids.includes(one.id) && [...waiting, "DEAD", "AMBIGUOUS"].includes(one.state))
        for (const one of chosen) change(one.id, { state: "CANCELLED", due: null, updated: now })
        const moving = chosen.filter(({ generation }) => generation.onDead?._tag === "Move")
        settle(new Set(moving.map(({ generation }) => generation.id)), now)
        return chosen.map((one) => one.id)
      }),
    aged: (before, after) =>
      Effect.sync(() => ({
        generations: Array.from(store.generations.values())
          .filter(
            (one) =>
              one.generation.id > after &&
              (one.state === "OPEN" || one.state === "DONE" || one.state === "UNDONE") &&
              one.updated < before &&
              !those((each) => each.generation.id === one.generation.id).some(
                (each) => each.updated >= before || each.resume !== null || open.includes(each.state)
              )
          )
          .map(({ generation }) => generation),
        next: null
      })),
    prune: (before) =>
      Effect.sync(() => {
        const gone = Array.from(store.generations.values()).filter(
          (one) =>
            (one.state === "DISPOSED" || one.state === "REPLACED" || one.state === "MOVED") &&
            one.updated < before &&
            !those((each) => each.generation.id === one.generation.id).some(
              (each) => each.resume !== null || open.includes(each.state)
            )
        )
        for (const { generation } of gone) {
          store.generations.delete(generation.id)
          for (const one of those((each) => each.generation.id === generation.id)) {
            store.deliveries.delete(one.id)
            store.extras.delete(one.id)
          }
        }
        const used = new Set(Array.from(store.generations.values(), ({ ruleset }) => ruleset))
        for (const { ruleset } of store.extras.values()) if (ruleset !== null) used.add(ruleset)
        for (const digest of store.rulesets.keys()) {
          if (digest !== current && !used.has(digest)) store.rulesets.delete(digest)
        }
        return gone.length
      })
  })
})

export const layer: Layer.Layer<Journal, never, MemoryStore | LogRepo> = Layer.effect(Journal, make)

/** Given up, with something left at the target, or with an attempt whose traces nobody has looked for. */
const isLitter = (one: Delivery): boolean => (one.resume !== null || one.interrupted) && givenUp.includes(one.state)
