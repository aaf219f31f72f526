/**
 * Which files of a source are taken: they match one of `include` and none of `exclude`, and are not our own temp files.
 */
import type { Source } from "../domain/Settings.ts"
import * as Glob from "./Glob.ts"

/** What decided. `glob` is the pattern, where it was one. */
export interface Verdict {
  readonly accepted: boolean
  readonly rule: "include" | "exclude" | "temp"
  readonly glob: string | null
}

export interface Matcher {
  /** Whether a file with this path relative to the source is taken. */
  readonly accepts: (path: string) => boolean
  /**
   * Whether all that can lie below this directory is excluded, so that a scan need not enter it. False where that is
   * not sure.
   */
  readonly prunes: (directory: string) => boolean
  readonly explain: (path: string) => Verdict
}

export const compile = (source: Pick<Source, "include" | "exclude">): Matcher => {
  const include = source.include.map(rule)
  const exclude = source.exclude.map(rule)
  const prune = source.exclude.flatMap((glob) => (glob.endsWith("/**") ? [rule(glob.slice(0, -3))] : []))
  const everything = source.include.includes("**")
  const included = (path: string) => everything || include.some((one) => one.matches(path))
  return {
    accepts: (path) => included(path) && !exclude.some((one) => one.matches(path)) && !isTemp(path),
    prunes: (directory) => prune.some((one) => one.matches(directory)),
    explain: (path) => {
      if (isTemp(path)) return { accepted: false, rule: "temp", glob: temp }
      const excluded = exclude.find((one) => one.matches(path))
      if (excluded !== undefined) return { accepted: false, rule: "exclude", glob: excluded.glob }
      const found = include.find((one) => one.matches(path))
      return { accepted: found !== undefined, rule: "include", glob: found?.glob ?? null }
    }
  }
}

/** The temp names of our own uploads: never taken, whatever the config says. */
const temp = ".fd-*.part"

const isTemp = (path: string): boolean => path.endsWith(".part") && path.startsWith(".fd-", path.lastIndexOf("/") + 1)

const rule = (glob: string) => ({ glob, matches: Glob.compile(glob) })
