/**
 * The HTTP server on a loopback port of its own, over in-memory services whose answers a test can set.
 */
import { HttpServer } from "@effect/platform"
import { Context, Effect, Layer, Option, PubSub, Ref, Stream } from "effect"
import { type IncomingHttpHeaders, request } from "node:http"
import { ConfigError, whole } from "../../src/config/ConfigError.ts"
import type { ConfigText } from "../../src/config/ConfigText.ts"
import * as CurrentSettings from "../../src/config/CurrentSettings.ts"
import { Reload, type ConfigStatus } from "../../src/config/Reload.ts"
import { Dispatcher, type DispatcherEvent, type Flow, type LaneStatus } from "../../src/deliver/Dispatcher.ts"
import { Undo } from "../../src/deliver/Undo.ts"
import { type Attempt, type Delivery, DeliveryId, replayable } from "../../src/domain/Delivery.ts"
import { GenerationId, Stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Settings } from "../../src/domain/Settings.ts"
import * as FileFactsMemory from "../../src/files/FileFactsMemory.ts"
import * as FilesDirect from "../../src/files/FilesDirect.ts"
import { DashboardFolder } from "../../src/http/Dashboard.ts"
import * as Server from "../../src/http/Server.ts"
import { Deliveries, type LaneCount } from "../../src/store/Deliveries.ts"
import { type GivenUp, Journal } from "../../src/store/Journal.ts"
import * as LogRepoMemory from "../../src/store/LogRepoMemory.ts"
import { Intake, type SourceStatus } from "../../src/watch/Intake.ts"
import { usualOptions } from "../../src/domain/Target.ts"

export const settings = (fields: Partial<Settings> = {}): Settings => ({
  file: "/etc/filedispatch.yml",
  sources: [],
  routes: [],
  dispatch: "all",
  http: { host: "127.0.0.1", port: 0, token: Option.none() },
  monitor: { enabled: true, host: "127.0.0.1", port: 0 },
  log: { level: "NONE", format: "pretty", file: undefined, rotate: { size: 1, keep: 1 }, retain: 1 },
  db: ":memory:",
  durability: "crash",
  ...fields
})

export const delivery = (id: number, fields: Partial<Delivery> = {}): Delivery => ({
  id: DeliveryId.make(id),
  generation: {
    id: GenerationId.make(id),
    source: "/inbox",
    path: RelPath.make(`file-${id}.txt`),
    stamp: Stamp.make("1:2:3:4:5"),
    size: 10,
    mtime: 1_000,
    born: 1_000,
    after: { _tag: "Keep" },
    onDead: { _tag: "Keep" },
    marker: null
  },
  route: "texts",
  target: {
    url: "ftp://user@host/in",
    scheme: "ftp",
    lane: "ftp://user@host:21",
    host: "host",
    port: 21,
    username: "user",
    path: "/in",
    options: {
      ...usualOptions,
      conflict: "overwrite",
      retry: { attempts: 10, base: 1000, factor: 2, cap: 600_000 },
      concurrency: 4,
      timeout: 60_000,
      fieldname: "file",
      upload: "multipart",
      method: null,
      secure: "none"
    }
  },
  name: RelPath.make(`file-${id}.txt`),
  priority: 0,
  facts: null,
  state: "PENDING",
  attempts: 0,
  due: null,
  reason: null,
  chosen: null,
  resume: null,
  sole: false,
  interrupted: false,
  receipt: null,
  created: 2_000,
  updated: 3_000,
  ...fields
})

export const source: SourceStatus = {
  name: "inbox",
  path: "/inbox",
  health: "events",
  reason: null,
  paused: null,
  settling: 2,
  waiting: 3,
  lastScan: 5_000,
  lastEvent: 6_000,
  missed: 4,
  proved: "events",
  accepted: 7,
  unmatched: 1
}

export const lane: LaneStatus = {
  lane: "ftp://user@host:21",
  health: "down",
  reason: 'connection refused: is "host" running?',
  probe: 9_000,
  paused: null,
  concurrency: 4,
  limit: 2,
  queued: 3,
  sending: [
    { delivery: DeliveryId.make(1), file: "a", destination: "ftp://user@host/in/a", size: 9, bytes: 4, started: 1 }
  ],
  delivered: 5,
  failed: 6,
  bytes: 500,
  lastError: { time: 8_000, file: "b", reason: "550 no", state: "RETRY_WAIT" }
}

/** What the stubs answer, and what they were told. */
export class World extends Context.Tag("test/World")<
  World,
  {
    readonly deliveries: Map<number, Delivery>
    readonly attempts: Array<Attempt>
    readonly counts: Array<LaneCount>
    readonly notified: Array<string>
    /** What the journal has kept of the rules by which deliveries came to be. */
    rules: string | null
    readonly config: Ref.Ref<ConfigStatus>
    readonly sources: Ref.Ref<ReadonlyArray<SourceStatus>>
    readonly lanes: Ref.Ref<ReadonlyArray<LaneStatus>>
    readonly flows: Array<Flow>
    /** How often somebody has looked at the lanes, and counted what waits. */
    looks: number
    counted: number
    readonly events: PubSub.PubSub<DispatcherEvent>
  }
>() {}

const world = Layer.effect(
  World,
  Effect.gen(function* () {
    return {
      deliveries: new Map<number, Delivery>(),
      attempts: [],
      counts: [],
      notified: [],
      rules: null,
      config: yield* Ref.make<ConfigStatus>({
        file: "/etc/filedispatch.yml",
        loadedAt: 4_000,
        error: null,
        restart: []
      }),
      sources: yield* Ref.make<ReadonlyArray<SourceStatus>>([source]),
      lanes: yield* Ref.make<ReadonlyArray<LaneStatus>>([lane]),
      flows: [],
      looks: 0,
      counted: 0,
      events: yield* PubSub.unbounded<DispatcherEvent>()
    }
  })
)

const stubs = Layer.unwrapEffect(
  Effect.map(World, (world) => {
    const all = () => Array.from(world.deliveries.values()).sort((left, right) => right.id - left.id)
    const change = (from: ReadonlyArray<string>, to: Delivery["state"], ids: ReadonlyArray<DeliveryId> | GivenUp) =>
      Effect.sync(() => {
        const changed = all().filter(
          ({ id, state, target }) =>
            from.includes(state) && (ids === "all" || ("lane" in ids ? ids.lane === target.lane : ids.includes(id)))
        )
        for (const delivery of changed) world.deliveries.set(delivery.id, { ...delivery, state: to })
        return changed
      })
    const unused = () => Effect.dieMessage("not part of these tests")
    return Layer.mergeAll(
      Layer.succeed(Deliveries, {
        list: ({ before, lane, limit, states }) =>
          Effect.sync(() =>
            all()
              .filter(({ id }) => before === undefined || id < before)
              .filter(({ state }) => states === undefined || states.includes(state))
              .filter(({ target }) => lane === undefined || target.lane === lane)
              .slice(0, limit)
          ),
        get: (id) => Effect.sync(() => Option.fromNullable(world.deliveries.get(id))),
        attempts: (id) => Effect.sync(() => world.attempts.filter((attempt) => attempt.delivery === id)),
        judged: (id) =>
          Effect.sync(() =>
            Option.map(Option.fromNullable(world.deliveries.get(id)), (one) => ({
              generation: one.generation,
              origin: { source: one.generation.source, path: one.generation.path },
              at: one.created,
              ruleset: "digest",
              rules: world.rules,
              deliveries: [one]
            }))
          ),
        routed: unused,
        counts: Effect.sync(() => {
          world.counted += 1
          return world.counts
        })
      }),
      Layer.succeed(Journal, {
        id: "test",
        unknown: unused,
        admit: unused,
        claim: unused,
        release: unused,
        choose: unused,
        note: unused,
        cleared: unused,
        litter: unused,
        conclude: unused,
        replaced: unused,
        disposals: unused,
        disposed: unused,
        retryDisposals: unused(),
        clockSetBack: unused(),
        moved: unused,
        archived: unused,
        expired: unused,
        expunged: unused,
        counters: unused(),
        ruleset: () => Effect.void,
        recover: unused(),
        backlog: unused(),
        nextDue: unused,
        unblock: unused,
        replay: (ids) =>
          Effect.map(change(replayable, "PENDING", ids), (changed) =>
            changed.map(({ id, target }) => ({ id, lane: target.lane }))
          ),
        reroute: (_, batch) =>
          Effect.sync(() =>
            batch.flatMap(({ generation, placements }) => {
              const old = all().filter((one) => one.generation.id === generation && replayable.includes(one.state))
              const [first] = old
              if (first === undefined) return []
              for (const one of old) world.deliveries.set(one.id, { ...one, state: "CANCELLED" })
              return placements.map((placed) => {
                const id = DeliveryId.make(Math.max(...world.deliveries.keys()) + 1)
                world.deliveries.set(id, delivery(id, { ...placed, generation: first.generation }))
                return { id, lane: placed.target.lane }
              })
            })
          ),
        cancel: (ids) =>
          Effect.map(change(["PENDING", "RETRY_WAIT", "BLOCKED", "DEAD"], "CANCELLED", ids), (changed) =>
            changed.map(({ id }) => id)
          ),
        aged: unused,
        prune: unused
      }),
      // what was delivered can be undone
      Layer.succeed(Undo, {
        undo: (ids, { dryRun }) =>
          Effect.sync(() =>
            ids.map((id) => {
              const found = typeof id === "number" ? world.deliveries.get(id) : undefined
              const isDelivered = found?.state === "DELIVERED"
              if (isDelivered && !dryRun)
                world.deliveries.set(found.id, { ...found, state: "CANCELLED", undone: 7_000 })
              return {
                id,
                outcome: found === undefined ? "unknown" : isDelivered ? "undone" : "refused",
                delivery: found?.id ?? null,
                deliveries: found === undefined ? [] : [found.id],
                file: found === undefined ? null : "/inbox/a",
                from: isDelivered ? "/out/a" : null,
                reason: isDelivered ? null : found === undefined ? "there is none" : "it was not delivered",
                notes: isDelivered ? ["what was delivered elsewhere stays there"] : []
              }
            })
          ),
        last: unused,
        finish: unused()
      }),
      Layer.succeed(Dispatcher, {
        notify: (lanes) => Effect.sync(() => void world.notified.push(...lanes)),
        status: Effect.zipLeft(
          Ref.get(world.lanes),
          Effect.sync(() => void (world.looks += 1))
        ),
        settled: unused(),
        flows: Effect.sync(() => ({ concluded: world.flows.length, flows: world.flows })),
        pause: (name) =>
          Ref.modify(world.lanes, (lanes) => [
            true,
            lanes.map((one) => (one.lane === name ? { ...one, paused: 10_000 } : one))
          ]),
        resume: (name) =>
          Ref.modify(world.lanes, (lanes) => [
            true,
            lanes.map((one) => (one.lane === name ? { ...one, paused: null } : one))
          ]),
        paused: Effect.succeed(new Map()),
        tell: (events) => Effect.asVoid(PubSub.publishAll(world.events, events)),
        events: Stream.fromPubSub(world.events),
        join: Effect.never
      }),
      // the file is broken for as long as the status says so
      Layer.succeed(Reload, {
        reload: () =>
          Effect.flatMap(Ref.get(world.config), ({ error, file, restart }) =>
            error === null
              ? Effect.succeed({ applied: ["folder texts is new"], restart })
              : new ConfigError({ file, problems: [whole(error, "")] })
          ),
        status: Ref.get(world.config),
        text: Effect.succeed<ConfigText>({ lines: ["source: ./in"], marks: [{ line: 1, what: "source", name: "in" }] }),
        last: Effect.succeed({ time: 5_000, why: "a test", applied: ["folder texts is new"], error: null })
      }),
      Layer.succeed(Intake, {
        hint: unused,
        status: Ref.get(world.sources),
        pause: (name) =>
          Ref.modify(world.sources, (sources) => [
            true,
            sources.map((one) => (one.name === name ? { ...one, paused: 10_000 } : one))
          ]),
        resume: (name) =>
          Ref.modify(world.sources, (sources) => [
            true,
            sources.map((one) => (one.name === name ? { ...one, paused: null } : one))
          ]),
        counter: () => 1,
        settled: unused(),
        join: Effect.never
      })
    )
  })
)

/** All that the server and the monitor need. */
export const services = (
  fields: Partial<Settings> = {},
  files: Readonly<Record<string, FileFactsMemory.Given>> = {},
  dashboard?: string
) =>
  Layer.mergeAll(
    LogRepoMemory.layer,
    stubs,
    FilesDirect.layer,
    FileFactsMemory.layer(files),
    CurrentSettings.layer(settings(fields)),
    Layer.succeed(DashboardFolder, dashboard)
  ).pipe(Layer.provideMerge(world))

/** `files`: what is in them, by their paths below their sources. `dashboard`: the folder of the built page. */
export const testServer = (
  fields: Partial<Settings> = {},
  files: Readonly<Record<string, FileFactsMemory.Given>> = {},
  dashboard?: string
) => Server.layer.pipe(Layer.provideMerge(services(fields, files, dashboard)))

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly json: unknown
}

export interface Call {
  readonly headers?: Record<string, string>
  /** A string is sent as it is. */
  readonly body?: unknown
}

export const port = Effect.map(HttpServer.HttpServer, ({ address }) =>
  address._tag === "TcpAddress" ? address.port : 0
)

/** A request as any program would send it. */
export const call = (method: string, path: string, { body, headers = {} }: Call = {}) =>
  Effect.flatMap(port, (port) =>
    Effect.async<Answer, Error>((resume) => {
      const sent = body === undefined || typeof body === "string" ? body : JSON.stringify(body)
      const req = request({
        host: "127.0.0.1",
        port,
        method,
        path,
        agent: false,
        headers: { ...(sent === undefined ? {} : { "content-type": "application/json" }), ...headers }
      })
      req.on("error", (error) => resume(Effect.fail(error)))
      req.on("response", (response) => {
        let text = ""
        response.setEncoding("utf8")
        response.on("data", (chunk: string) => (text += chunk))
        response.on("end", () => {
          const json: unknown =
            text !== "" && /json/.test(response.headers["content-type"] ?? "") ? JSON.parse(text) : undefined
          resume(Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, text, json }))
        })
      })
      req.end(sent)
      return Effect.sync(() => req.destroy())
    })
  )
