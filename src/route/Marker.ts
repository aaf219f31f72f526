/**
 * The file that says that another is complete: `data.csv.done` beside `data.csv`.
 *
 * A marker's template is a path relative to the source: `ready/{stem}.ok`. One that is a plain name (no `/`, no `{dir}`,
 * no `{relpath}`) names a file beside the one it speaks of. Whatever could be a marker is never taken as a file, whether
 * the file that it speaks of is there or not.
 */
import { Either } from "effect"
import { noFacts } from "../domain/Facts.ts"
import type { Source } from "../domain/Settings.ts"
import * as RelPath from "../domain/RelPath.ts"
import * as Template from "./Template.ts"

export interface Marker {
  /** The path of a file's marker, relative to the source. */
  readonly of: (path: RelPath.RelPath) => RelPath.RelPath
  /** Whether this path, relative to the source, could be that of a marker. */
  readonly is: (path: string) => boolean
}

/** Null where the source waits for none. */
export const compile = (source: Pick<Source, "name" | "marker">): Marker | null => {
  if (source.marker === null) return null
  const compiled = Template.compile(source.marker, { below: true })
  // the config was checked when it was loaded
  if (Either.isLeft(compiled)) return null
  const template = compiled.right
  const render = (path: RelPath.RelPath) =>
    template.render({ path, source: source.name, time: 0, size: 0, mtime: 0, facts: noFacts })
  const isBeside = !source.marker.includes("/") && !/\{(?:dir|relpath)[}:]/.test(source.marker)
  const of = (path: RelPath.RelPath): RelPath.RelPath => {
    const directory = isBeside ? RelPath.dirname(path) : ""
    return RelPath.make(directory === "" ? render(path) : `${directory}/${render(path)}`)
  }
  // rendered once for a file whose parts are no other text's, the result shows where they stand
  const segments = render(RelPath.make(`${directoryMark}/${stemMark}.${extensionMark}`)).split("/")
  const last = patternOf(segments.at(-1) ?? "")
  const directories = segments.slice(0, -1)
  const deep = directories.findIndex((segment) => segment.includes(directoryMark))
  const before = directories.slice(0, deep < 0 ? undefined : deep).map(patternOf)
  const after = deep < 0 ? [] : directories.slice(deep + 1).map(patternOf)
  return {
    of,
    is: (path) => {
      const parts = path.split("/")
      const name = parts.pop() ?? ""
      if (!last(name)) return false
      if (isBeside) return true
      if (deep < 0 ? parts.length !== before.length : parts.length < before.length + after.length) return false
      return (
        before.every((matches, index) => matches(parts[index] ?? "")) &&
        after.every((matches, index) => matches(parts[parts.length - after.length + index] ?? ""))
      )
    }
  }
}

// of the private use area, which no name is expected to have
const directoryMark = "\uf8a0"
const stemMark = "\uf8a1"
const extensionMark = "\uf8a2"

const marks = new RegExp(`[${directoryMark}${stemMark}${extensionMark}]`)

/** Whether a segment is made of these plain texts, in their order, with anything at all where a mark stands. */
const patternOf = (segment: string): ((name: string) => boolean) => {
  // the extension may be missing, and its dot is then part of nothing
  const [start = "", ...rest] = segment.replaceAll(`${stemMark}.${extensionMark}`, stemMark).split(marks)
  const end = rest.pop()
  if (end === undefined) return (name) => name === start
  return (name) => {
    if (!name.startsWith(start) || name.length < start.length + end.length || !name.endsWith(end)) return false
    const limit = name.length - end.length
    let at = start.length
    for (const text of rest) {
      const found = name.indexOf(text, at)
      if (found < 0 || found + text.length > limit) return false
      at = found + text.length
    }
    return true
  }
}
