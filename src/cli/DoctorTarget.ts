/**
 * A target of the command line, read as the config would read it.
 */
import { Effect, Either, Schema } from "effect"
import { TargetEntry } from "../config/ConfigFile.ts"
import * as Issues from "../config/Issues.ts"
import * as Scheme from "../config/Scheme.ts"
import * as Targets from "../config/Targets.ts"
import * as TargetUrl from "../config/TargetUrl.ts"
import { expand } from "../config/Variables.ts"
import type { RouteTarget } from "../domain/Settings.ts"
import type { TargetGiven } from "./DoctorCommand.ts"
import { usage, type Failure } from "./Failure.ts"
import * as Output from "./Output.ts"

export const targetOf = (url: string, options: TargetGiven): Effect.Effect<RouteTarget, Failure> =>
  Effect.gen(function* () {
    const entry = yield* entryOf(url, options)
    const { path, ...own } = entry
    const { faults, target, warnings } = Targets.resolve(
      path,
      own,
      { path },
      {
        directory: process.cwd(),
        schemes: Scheme.schemes,
        env: process.env
      }
    )
    const shown = TargetUrl.safeText(url)
    if (target === undefined || faults.length > 0) {
      return yield* wrong(
        faults.map(({ expected, key, message }) => line(key === undefined ? shown : flagOf(key), message, expected))
      )
    }
    for (const { expected, key, message } of warnings) {
      yield* Output.note(`warning: ${line(key === undefined ? shown : flagOf(key), message, expected)}`)
    }
    return target
  })

const entryOf = (url: string, options: TargetGiven): Either.Either<TargetEntry, Failure> => {
  const faults: Array<string> = []
  const values = Object.entries({ path: url, ...options }).flatMap(([key, text]) => {
    if (text === undefined) return []
    const expanded = expand(text, process.env)
    for (const fault of expanded.faults) faults.push(line(fault.text, fault.message, fault.expected))
    return [[key, expanded.value] as const]
  })
  if (faults.length > 0) return Either.left(wrong(faults))
  return Schema.decodeUnknownEither(TargetEntry, { errors: "all", onExcessProperty: "error" })(
    Object.fromEntries(values)
  ).pipe(
    Either.mapLeft(({ issue }) =>
      wrong(
        Issues.fromParseIssue(issue).map((one) => {
          const key = String(one.path[0] ?? "path")
          const where = key === "path" ? TargetUrl.safeText(url) : flagOf(key)
          switch (one._tag) {
            case "Wrong":
              return line(where, one.message, one.expected)
            case "Missing":
              return line(where, "it is missing", one.expected)
            case "Unknown":
              return line(where, "there is no such option", "")
          }
        })
      )
    )
  )
}

const wrong = (lines: ReadonlyArray<string>): Failure => usage(lines.join("\n"), "doctor")

const line = (where: string, message: string, expected: string): string =>
  `${where}: ${message}${expected === "" ? "" : `; expected ${expected}`}`

/** `knownHosts` → `--known-hosts` */
const flagOf = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
