/**
 * `filedispatch doctor`: what targets can do, found out by trying. It touches no journal, and runs beside a daemon.
 */
import { Effect } from "effect"
import type { Given, TargetGiven } from "./DoctorCommand.ts"
import * as DoctorProbe from "./DoctorProbe.ts"
import * as DoctorReport from "./DoctorReport.ts"
import { targetOf } from "./DoctorTarget.ts"
import { usage } from "./Failure.ts"
import { loadAndWarn } from "./Load.ts"
import * as Output from "./Output.ts"

export const doctor = Effect.fn("Doctor.doctor")(function* (given: Given) {
  const { config, json, urls, ...options } = given
  return yield* examine(yield* patientsOf(config, urls, options), json)
})

/** Looks at these targets and reports; 0 where files can be delivered to each of them, 1 otherwise. */
export const examine = Effect.fn("Doctor.examine")(function* (
  patients: ReadonlyArray<DoctorProbe.Patient>,
  json: boolean
) {
  const results = yield* DoctorProbe.probeAll(patients, (result) =>
    json ? Effect.void : Output.line(DoctorReport.block(result))
  )
  if (json) yield* Output.line(DoctorReport.json(results))
  yield* Output.note(DoctorReport.summary(results))
  return results.every(DoctorReport.isSound) ? 0 : 1
})

const patientsOf = Effect.fnUntraced(function* (
  config: string | undefined,
  urls: ReadonlyArray<string>,
  options: TargetGiven
) {
  if (config === undefined) {
    if (urls.length === 0) return yield* usage("Which target? Name a config with -c, or a URL.", "doctor")
    const targets = yield* Effect.forEach(urls, (url) => targetOf(url, options))
    return targets.map(({ secrets, target }) => ({ target, secrets, folders: [], sync: true }))
  }
  if (urls.length > 0) return yield* usage("--config and a URL exclude each other.", "doctor")
  if (Object.values(options).some((value) => value !== undefined)) {
    return yield* usage("Options of a target are for a URL: with -c the config has them.", "doctor")
  }
  return DoctorProbe.patients(yield* loadAndWarn(config, { noHttp: true }))
})
