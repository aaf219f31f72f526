/** The pages, the API's own description, and what watches the process from outside. */
import { HttpApiBuilder, HttpServerResponse, OpenApi } from "@effect/platform"
import { Cause, Effect, Exit, Option, Ref } from "effect"
import { Reload } from "../config/Reload.ts"
import { Dispatcher } from "../deliver/Dispatcher.ts"
import { Deliveries } from "../store/Deliveries.ts"
import { Intake, type SourceStatus } from "../watch/Intake.ts"
import { Api } from "./Api.ts"
import { Failed, NotFound, NotReady } from "./ApiSchema.ts"
import * as Dashboard from "./Dashboard.ts"
import { homePage, schemaPage } from "./pages.ts"

export const layerSchema = HttpApiBuilder.group(Api, "schema", (handlers) =>
  Effect.sync(() => {
    const spec = OpenApi.fromApi(Api)
    const page = schemaPage(spec)
    return handlers
      .handle("page", () => HttpServerResponse.html(page))
      .handle("spec", () => Effect.succeed(HttpServerResponse.unsafeJson(spec)))
  })
)

export const layerSystem = HttpApiBuilder.group(Api, "system", (handlers) =>
  Effect.gen(function* () {
    const intake = yield* Intake
    const dispatcher = yield* Dispatcher
    const deliveries = yield* Deliveries
    const reload = yield* Reload

    const dashboard = Dashboard.load(yield* Dashboard.DashboardFolder)

    const broken = yield* Ref.make(Option.none<Cause.Cause<never>>())
    yield* Effect.raceFirst(intake.join, dispatcher.join).pipe(
      Effect.exit,
      Effect.flatMap((exit) =>
        Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)
          ? Ref.set(broken, Option.some(exit.cause))
          : Effect.void
      ),
      Effect.forkScoped
    )

    return handlers
      .handle("home", ({ request }) =>
        Effect.succeed(dashboard.answer("index.html", request.headers) ?? HttpServerResponse.html(homePage))
      )
      .handle("asset", ({ path, request }) => {
        const answer = dashboard.answer(path.file, request.headers)
        return answer === undefined
          ? new NotFound({
              detail: `the dashboard has no file ${JSON.stringify(path.file.slice(0, 100))}: load the page again`
            })
          : Effect.succeed(answer)
      })
      .handle("healthz", () => Effect.succeed({ status: "ok" }))
      .handle("readyz", () =>
        Effect.gen(function* () {
          // who asks needs no token, so the answer names no file and no place
          if (Option.isSome(yield* Ref.get(broken))) {
            return yield* new NotReady({ detail: "the pipeline has stopped: the program's log says why" })
          }
          const sources = yield* intake.status
          const scanning = sources.filter((source) => awaitsScan(source)).length
          return scanning === 0
            ? { status: "ready" }
            : yield* new NotReady({ detail: `${scanning} of ${sources.length} sources are not scanned yet` })
        })
      )
      .handle("metrics", () =>
        Effect.gen(function* () {
          const lanes = yield* dispatcher.status
          const sources = yield* intake.status
          const config = yield* reload.status
          const counts = yield* Effect.mapError(deliveries.counts, (error) => new Failed({ detail: error.message }))
          const of = <A>(items: ReadonlyArray<A>, labels: (item: A) => Labels, value: (item: A) => number) =>
            items.map((item): Sample => [labels(item), value(item)])
          return [
            metric(
              "deliveries",
              "gauge",
              "Deliveries in the journal that are not delivered",
              of(
                counts,
                ({ lane, state }) => ({ lane, state }),
                ({ count }) => count
              )
            ),
            metric(
              "lane_up",
              "gauge",
              "1 while the lane works, 0 while it is down",
              of(
                lanes,
                ({ lane }) => ({ lane }),
                ({ health }) => (health === "up" ? 1 : 0)
              )
            ),
            metric("lane_paused", "gauge", "1 while nothing is sent there because somebody said so", [
              ...of(
                lanes,
                ({ lane }) => ({ lane }),
                ({ paused }) => (paused === null ? 0 : 1)
              ),
              // those that had nothing to do yet
              ...of(
                Array.from((yield* dispatcher.paused).keys()).filter(
                  (name) => !lanes.some(({ lane }) => lane === name)
                ),
                (lane) => ({ lane }),
                () => 1
              )
            ]),
            metric(
              "lane_queued",
              "gauge",
              "Deliveries claimed and waiting for a worker",
              of(
                lanes,
                ({ lane }) => ({ lane }),
                ({ queued }) => queued
              )
            ),
            metric(
              "lane_sending",
              "gauge",
              "Deliveries under way",
              of(
                lanes,
                ({ lane }) => ({ lane }),
                ({ sending }) => sending.length
              )
            ),
            metric(
              "lane_delivered_total",
              "counter",
              "Deliveries done since the start",
              of(
                lanes,
                ({ lane }) => ({ lane }),
                ({ delivered }) => delivered
              )
            ),
            metric(
              "lane_failed_total",
              "counter",
              "Deliveries given up since the start",
              of(
                lanes,
                ({ lane }) => ({ lane }),
                ({ failed }) => failed
              )
            ),
            metric(
              "source_up",
              "gauge",
              "1 while the source is watched, 0 while it is missing",
              of(
                sources,
                ({ name }) => ({ source: name }),
                ({ health }) => (health === "missing" ? 0 : 1)
              )
            ),
            metric(
              "source_paused",
              "gauge",
              "1 while nothing is accepted from it because somebody said so",
              of(
                sources,
                ({ name }) => ({ source: name }),
                ({ paused }) => (paused === null ? 0 : 1)
              )
            ),
            metric(
              "source_settling",
              "gauge",
              "Files that are not quiet yet",
              of(
                sources,
                ({ name }) => ({ source: name }),
                ({ settling }) => settling
              )
            ),
            metric(
              "source_waiting",
              "gauge",
              "Quiet files that wait for their marker, for their age, or to be readable",
              of(
                sources,
                ({ name }) => ({ source: name }),
                ({ waiting }) => waiting
              )
            ),
            metric(
              "source_accepted_total",
              "counter",
              "Files accepted since the start",
              of(
                sources,
                ({ name }) => ({ source: name }),
                ({ accepted }) => accepted
              )
            ),
            metric(
              "source_unmatched_total",
              "counter",
              "Files that no route wanted since the start",
              of(
                sources,
                ({ name }) => ({ source: name }),
                ({ unmatched }) => unmatched
              )
            ),
            metric(
              "source_missed_events_total",
              "counter",
              "Files that scans found since the start and events should have told of, at least",
              of(
                sources,
                ({ name }) => ({ source: name }),
                ({ missed }) => missed
              )
            ),
            metric(
              "config_ok",
              "gauge",
              "1 while the config file is in force, 0 while it is broken and the old one stays",
              [[{}, config.error === null ? 1 : 0]]
            ),
            metric("resident_memory_bytes", "gauge", "Resident memory of the process", [
              [{}, process.memoryUsage.rss()]
            ])
          ].join("")
        })
      )
  })
)

/** One that is missing or paused is not scanned before somebody does something. */
const awaitsScan = ({ health, lastScan, paused }: SourceStatus): boolean =>
  lastScan === null && health !== "missing" && paused === null

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number]

const metric = (name: string, type: "gauge" | "counter", help: string, samples: ReadonlyArray<Sample>): string => {
  const lines = samples.map(([labels, value]) => {
    const list = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`)
    return `filedispatch_${name}${list.length === 0 ? "" : `{${list.join(",")}}`} ${value}\n`
  })
  return `# HELP filedispatch_${name} ${help}\n# TYPE filedispatch_${name} ${type}\n${lines.join("")}`
}

const escapeLabel = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
