/**
 * `filedispatch verify`: the receipts of the journal, held against what is at the targets. It writes nothing, there or
 * here, and holds no lock: the journal is read, also while a daemon writes it.
 */
import { Effect, Layer, Random, Stream } from "effect"
import { existsSync } from "node:fs"
import type { Settings } from "../domain/Settings.ts"
import * as Audit from "../deliver/Audit.ts"
import * as Destination from "../deliver/Destination.ts"
import * as BuiltIn from "../deliver/destination/BuiltIn.ts"
import type { Verdict } from "../deliver/Examine.ts"
import * as FileFactsLive from "../files/FileFactsLive.ts"
import * as FilesWorker from "../files/FilesWorker.ts"
import { look } from "../files/scan.ts"
import type { JournalError } from "../store/Journal.ts"
import { Receipts, type Delivered, type Snapshot } from "../store/Receipts.ts"
import { from, usage } from "./Failure.ts"
import { load } from "./Load.ts"
import * as Logging from "./Logging.ts"
import * as Output from "./Output.ts"
import { layer as readOnly } from "./ReadOnly.ts"
import { maxSeed, type Given } from "./VerifyCommand.ts"
import * as Report from "./VerifyReport.ts"
import * as Sample from "./VerifySample.ts"

/** Receipts that are read from the journal at once, of each lane. */
const pageSize = 500
/** Findings that are held back, so that the table is one. */
const tableSize = 10_000

export const verify = Effect.fn("Verify.verify")(function* (given: Given) {
  if (given.size && given.hash) return yield* usage("--size and --hash exclude each other.", "verify")
  if (given.seed !== undefined && given.sample === undefined) {
    return yield* usage("--seed is for a sample: say how large with --sample N.", "verify")
  }
  const settings = yield* load(given.config, { db: given.db, noHttp: true })
  const print = given.json ? json() : text()
  if (!existsSync(settings.db)) {
    const scope = yield* scopeOf(given, settings, undefined)
    yield* print.begin
    yield* print.end(new Report.Tally(), scope)
    yield* Output.note(`There is no receipt yet: ${settings.db} does not exist.`)
    return 0
  }
  return yield* audit(given, settings, print).pipe(
    Effect.ensuring(Output.status("")),
    // bin.ts ends with this code where a signal interrupts: nobody may take that for good news
    Effect.onInterrupt(() => Effect.sync(() => (process.exitCode = 1))),
    Effect.provide(Layer.merge(readOnly(settings.db), targets)),
    Effect.mapError(from)
  )
})

const audit = (given: Given, settings: Settings, print: Print) =>
  Effect.gen(function* () {
    yield* Output.status("Reading the journal …")
    const receipts = yield* Receipts
    const snapshot = yield* receipts.snapshot({ since: given.since, destination: given.destination })
    const scope = yield* scopeOf(given, settings, snapshot)
    const lanes = lanesOf(snapshot, scope)
    const tally = new Report.Tally()
    const total = lanes.reduce((sum, { count }) => sum + count, 0)

    yield* print.begin
    const show = (entry: Report.Entry) => {
      tally.add(entry, entry.delivered.target.url)
      return Effect.zipRight(print.entry(entry), progress(tally, total))
    }
    yield* Audit.run<JournalError>({
      settings,
      lanes,
      verify: given.size ? "size" : given.hash ? "hash" : "auto",
      found: (delivered, verdict) => Effect.flatMap(entryOf(snapshot, delivered, verdict), show)
    })
    // a sample is drawn from those that count
    if (scope.sample === null) {
      yield* Stream.runForEach(pages(range(snapshot.replaced), snapshot.getReplaced), (page) =>
        Effect.forEach(page, ({ by, delivered }) => show(Report.replacedEntry(delivered, by)), { discard: true })
      )
    }
    yield* Output.status("")
    yield* print.end(tally, scope)
    for (const line of Report.summary(tally, scope)) yield* Output.note(line)
    return Report.holds(tally.total) ? 0 : 1
  }).pipe(Effect.scoped)

const targets = BuiltIn.layer.pipe(
  Layer.provideMerge(Destination.layerRegistry),
  Layer.provide(FilesWorker.layer),
  Layer.merge(FileFactsLive.layer),
  Layer.provideMerge(Logging.layerWarnings)
)

const scopeOf = (given: Given, settings: Settings, snapshot: Snapshot | undefined): Effect.Effect<Report.Scope> =>
  Effect.gen(function* () {
    const { destination, sample: size, since } = given
    const of = (snapshot?.groups ?? []).reduce((sum, { count }) => sum + count, 0)
    return {
      since: since ?? null,
      destination: destination ?? null,
      sample: size === undefined ? null : { size, seed: given.seed ?? (yield* Random.nextIntBetween(0, maxSeed)), of },
      oldest: snapshot?.oldest ?? null,
      retain: settings.log.retain
    }
  })

interface Lane extends Audit.Lane<JournalError> {
  readonly count: number
}

/** Those of one lane are asked by one after the other, target by target. */
const lanesOf = (snapshot: Snapshot, { sample }: Report.Scope): ReadonlyArray<Lane> => {
  const drawn = sample === null ? undefined : Sample.draw(snapshot.groups, sample.size, sample.seed)
  const byLane = new Map<string, Array<Iterable<number>>>()
  const counts = new Map<string, number>()
  for (const [index, group] of snapshot.groups.entries()) {
    const numbers = drawn?.[index]
    const known = byLane.get(group.lane) ?? []
    known.push(numbers ?? range(group))
    byLane.set(group.lane, known)
    counts.set(group.lane, (counts.get(group.lane) ?? 0) + (numbers?.length ?? group.count))
  }
  return Array.from(byLane, ([lane, numbers]) => ({
    lane,
    count: counts.get(lane) ?? 0,
    pages: pages(concat(numbers), snapshot.get)
  }))
}

function* range({ count, first }: { readonly first: number; readonly count: number }): Generator<number> {
  for (let number = first; number < first + count; number++) yield number
}

function* concat(all: ReadonlyArray<Iterable<number>>): Generator<number> {
  for (const numbers of all) yield* numbers
}

const pages = <A>(
  numbers: Iterable<number>,
  get: (numbers: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<A>, JournalError>
): Stream.Stream<ReadonlyArray<A>, JournalError> =>
  Stream.fromIterable(numbers).pipe(
    Stream.grouped(pageSize),
    Stream.mapEffect((chunk) => get(Array.from(chunk)))
  )

/** What looks bad may be the work of a daemon that delivers meanwhile. */
const entryOf = (snapshot: Snapshot, delivered: Delivered, verdict: Verdict) =>
  Effect.gen(function* () {
    if (verdict.status !== "changed" && verdict.status !== "gone") return Report.entryOf(delivered, verdict)
    const by = yield* snapshot.replacedSince(delivered)
    if (by !== undefined) return Report.replacedEntry(delivered, by)
    return Report.entryOf(delivered, verdict, sourceStateOf(delivered))
  })

const sourceStateOf = ({ generation: { path, source, stamp } }: Delivered): Report.SourceState => {
  try {
    const [found] = look(source, [path])
    if (found === null || found === undefined) return "gone"
    return found.stamp === stamp ? "same" : "changed"
  } catch {
    return "gone"
  }
}

let lastProgress = 0

const progress = (tally: Report.Tally, total: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const now = Date.now()
    if (!Output.onTerminal("stderr") || now - lastProgress < 100) return Effect.void
    lastProgress = now
    const { changed, gone, present, unknown, unverifiable } = tally.total
    const bad = changed + gone + unknown
    const done = present + unverifiable + bad
    return Output.status(`${done} of ${total} receipts …${bad === 0 ? "" : ` ${bad} do not hold`}`)
  })

interface Print {
  readonly begin: Effect.Effect<void>
  readonly entry: (entry: Report.Entry) => Effect.Effect<void>
  readonly end: (tally: Report.Tally, scope: Report.Scope) => Effect.Effect<void>
}

/** What does not hold, and how it stands with each target. */
const text = (): Print => {
  let findings: Array<Report.Entry> = []
  const flush = Effect.suspend(() => {
    const rows = findings.toSorted((one, other) => one.delivered.id - other.delivered.id).map(Report.row)
    findings = []
    return Output.table(Report.columns, rows)
  })
  return {
    begin: Effect.void,
    entry: (entry) =>
      Effect.suspend(() => {
        if (!Report.isFinding(entry)) return Effect.void
        findings.push(entry)
        return findings.length < tableSize ? Effect.void : flush
      }),
    end: (tally) =>
      Effect.gen(function* () {
        yield* flush
        // programs read the findings, and the rest as JSON
        if (!Output.onTerminal("stdout") || tally.destinations.length === 0) return
        yield* Output.line("")
        yield* Output.table(Report.destinationColumns, Report.destinationRows(tally))
        yield* Output.line("")
      })
  }
}

const json = (): Print => {
  let first = true
  return {
    begin: Output.raw('{"receipts":['),
    entry: (entry) =>
      Effect.suspend(() => {
        const separator = first ? "\n" : ",\n"
        first = false
        return Output.raw(`${separator}${Report.jsonOf(entry)}`)
      }),
    end: (tally, scope) => Output.line(`\n],"summary":${Report.jsonSummary(tally, scope)}}`)
  }
}
