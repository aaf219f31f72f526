/**
 * What the rules of a source say of a file, in words.
 */
import type { Found } from "../domain/Generation.ts"
import type { Predicate, SourceVerdict } from "../domain/Explanation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"
import { duration, listOf, plainly } from "./ExplainRules.ts"
import * as Matcher from "./Matcher.ts"

export const source = (
  source: Source,
  path: RelPath.RelPath,
  found: Pick<Found, "mtime"> | null,
  now: number
): SourceVerdict => {
  const predicates = [...byName(source, path), ...byTime(source, found, now)]
  return {
    name: source.name,
    path: source.path,
    predicates,
    accepted: predicates.every((one) => one.matched !== false)
  }
}

const byName = (source: Source, path: RelPath.RelPath): ReadonlyArray<Predicate> => {
  const verdict = Matcher.compile(source).explain(path)
  const file = RelPath.display(path)
  const predicates: Array<Predicate> = []
  if (verdict.rule === "temp") {
    predicates.push({
      predicate: "temp",
      wanted: "not a temp file of ours",
      had: `${file} is ${verdict.glob}`,
      matched: false
    })
  } else {
    const excluded = verdict.rule === "exclude"
    predicates.push({
      predicate: "exclude",
      wanted: `none of ${listOf(source.exclude)}`,
      had: excluded ? `${file} matches ${plainly(verdict.glob ?? "")}` : `${file} matches none`,
      matched: !excluded
    })
    if (!excluded) {
      predicates.push({
        predicate: "include",
        wanted: `one of ${listOf(source.include)}`,
        had: verdict.accepted ? `${file} matches ${plainly(verdict.glob ?? "")}` : `${file} matches none`,
        matched: verdict.accepted
      })
    }
  }
  if (path.includes("/") && !source.recursive) {
    predicates.push({
      predicate: "recursive",
      wanted: "a file directly in the source",
      had: `it is below ${RelPath.display(RelPath.dirname(path))}`,
      matched: false
    })
  }
  return predicates
}

const byTime = (
  { marker, minAge }: Source,
  found: Pick<Found, "mtime"> | null,
  now: number
): ReadonlyArray<Predicate> => {
  const predicates: Array<Predicate> = []
  if (minAge > 0) {
    const age = found === null ? null : Math.max(0, now - found.mtime)
    predicates.push({
      predicate: "minAge",
      wanted: `at least ${duration(minAge)}`,
      had: age === null ? "unknown: there is no such file" : duration(age),
      matched: age === null ? null : age >= minAge
    })
  }
  if (marker !== null) {
    predicates.push({
      predicate: "marker",
      wanted: `a file ${plainly(marker)} that says it is complete`,
      had: "unknown: it was not looked for",
      matched: null
    })
  }
  return predicates
}
