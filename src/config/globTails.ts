/**
 * What can be told of a glob without a file: how the paths that it matches end.
 */
import { braceExpand } from "minimatch"

/** For each alternative of its braces the text, in lower case, that a path ends in; empty where that may be anything. */
export const tails = (glob: string): ReadonlyArray<string> => braceExpand(glob, { braceExpandMax: 1000 }).map(tailOf)

/** Whether a path can end in both of these. */
export const agree = (left: string, right: string): boolean => left.endsWith(right) || right.endsWith(left)

/** Whether no path can match one of the first and one of the second. False where that is not sure. */
export const disjoint = (left: ReadonlyArray<string>, right: ReadonlyArray<string>): boolean => {
  const others = right.flatMap(tails)
  return left.flatMap(tails).every((one) => others.every((other) => !agree(one, other)))
}

const tailOf = (glob: string): string => {
  // an escape, a class or an extended glob may stand for anything
  if (/[\\[\]()]/.test(glob)) return ""
  return /[^*?/]*$/.exec(glob)?.[0].toLowerCase() ?? ""
}
