/**
 * Looks at targets: each once, those of a lane one after the other, several lanes at once, and none for long.
 */
import { randomUUID } from "node:crypto"
import { Array as Arr, Deferred, Effect, Layer, Option, Scope } from "effect"
import type { RouteTarget, Settings } from "../domain/Settings.ts"
import * as Destination from "../deliver/Destination.ts"
import * as BuiltIn from "../deliver/destination/BuiltIn.ts"
import * as FilesDirect from "../files/FilesDirect.ts"
import { tempName } from "../files/names.ts"
import * as Logging from "./Logging.ts"
import * as Output from "./Output.ts"

/** A target to be looked at. */
export interface Patient extends Pick<RouteTarget, "target" | "secrets"> {
  /** The names of the folders that send there. */
  readonly folders: ReadonlyArray<string>
  /** Whether data must be on the medium before it counts as delivered. */
  readonly sync: boolean
}

export interface Result extends Patient {
  readonly findings: ReadonlyArray<Destination.Finding>
}

/** How many lanes are looked at at once. */
const lanesAtOnce = 8
/** A destination ends its probe in time by itself; what does not is given up. In milliseconds. */
const patience = 60_000
const closing = 5_000

/** All targets of a config, each once. */
export const patients = (settings: Settings): ReadonlyArray<Patient> => {
  const found = new Map<string, Patient>()
  for (const { name, targets } of settings.routes) {
    for (const { secrets, target } of targets) {
      const known = found.get(target.url)
      const folders = [...(known?.folders ?? []), name]
      found.set(target.url, { target, secrets, sync: settings.durability === "power", ...known, folders })
    }
  }
  return Array.from(found.values())
}

/** `show` is called for each in the order of `all`, as soon as it and those before it are known. */
export const probeAll = (
  all: ReadonlyArray<Patient>,
  show: (result: Result) => Effect.Effect<void>
): Effect.Effect<ReadonlyArray<Result>> =>
  Effect.gen(function* () {
    const destinations = yield* Destination.Destinations
    const entries = yield* Effect.forEach(all, (patient) =>
      Effect.map(Deferred.make<ReadonlyArray<Destination.Finding>>(), (done) => ({ patient, done }))
    )
    const lanes = Arr.groupBy(entries, ({ patient }) => patient.target.lane)
    yield* Effect.forkScoped(
      Effect.forEach(
        Object.entries(lanes),
        ([lane, members]) =>
          Effect.scoped(
            Effect.gen(function* () {
              const scope = yield* leavingScope
              const [{ patient }] = members
              const destination = yield* destinations.get(patient.target.scheme)
              const connection = yield* Option.match(destination, {
                onNone: () => Effect.sync(() => undefined),
                onSome: (found) => Scope.extend(found.open(lane, { concurrency: 2, sync: patient.sync }), scope)
              })
              for (const { done, patient } of members) yield* Deferred.succeed(done, yield* probe(patient, connection))
            })
          ),
        { concurrency: lanesAtOnce, discard: true }
      )
    )
    const results: Array<Result> = []
    for (const { done, patient } of entries) {
      yield* Output.status(`Looking at ${patient.target.url} …`)
      const result = { ...patient, findings: yield* Deferred.await(done) }
      yield* Output.status("")
      yield* show(result)
      results.push(result)
    }
    return results
  }).pipe(
    Effect.ensuring(Output.status("")),
    // bin.ts ends with this code where a signal interrupts: nobody may take that for good news
    Effect.onInterrupt(() => Effect.sync(() => (process.exitCode = 1))),
    Effect.scoped,
    Effect.provide(layer)
  )

const layer = BuiltIn.layer.pipe(
  Layer.provideMerge(Destination.layerRegistry),
  Layer.provide(FilesDirect.layer),
  Layer.provideMerge(Logging.layerWarnings)
)

/** One whose end is not waited for for ever: a server may hang at the farewell, too. */
const leavingScope = Effect.acquireRelease(Scope.make(), (scope, exit) =>
  Effect.ignore(Effect.timeout(Effect.interruptible(Effect.disconnect(Scope.close(scope, exit))), closing))
)

const probe = (
  { secrets, target }: Patient,
  connection: Destination.Connection | undefined
): Effect.Effect<ReadonlyArray<Destination.Finding>> => {
  const one = (state: "no" | "unknown", found: string, therefore: string): ReadonlyArray<Destination.Finding> => [
    { what: "reachable", state, found, therefore }
  ]
  if (connection === undefined) {
    return Effect.succeed(one("no", `Nothing here delivers to ${target.scheme}.`, "Nothing can be delivered there."))
  }
  if (connection.probe === undefined) {
    return Effect.succeed(
      one("unknown", `What a target of ${target.scheme} can do can't be asked.`, "Try it with a file.")
    )
  }
  return connection.probe({ target, secrets, temp: tempName(`doctor ${randomUUID()}`) }).pipe(
    Effect.disconnect,
    Effect.timeoutTo({
      duration: patience,
      onSuccess: (findings) => findings,
      onTimeout: () => one("no", `It took more than ${patience / 1000} s.`, "Check that the server works.")
    }),
    Effect.catchAllCause((cause) =>
      Effect.as(
        Effect.logError(`This is a bug in filedispatch: the probe of ${target.url} failed`, cause),
        one("unknown", "The probe itself failed.", "Please report it.")
      )
    )
  )
}
