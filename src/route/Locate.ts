/**
 * Which source a path belongs to, for questions about it: the file need not be there.
 */
import { Either } from "effect"
import * as Path from "node:path"
import * as RelPath from "../domain/RelPath.ts"
import type { Settings, Source } from "../domain/Settings.ts"

/** A path as a source would see it. */
export interface Place {
  readonly source: Source
  /** Relative to the source. */
  readonly path: RelPath.RelPath
  /** It does not lie in this source, and is judged as if it did. */
  readonly supposed: boolean
  /** Whether it lies in any source. */
  readonly contained: boolean
  /** Where the file is, if it is there: a directory and the path below it. */
  readonly at: { readonly directory: string; readonly path: RelPath.RelPath }
}

export interface Options {
  /** Only as a file of this source. */
  readonly source?: string | undefined
  /** Where relative paths begin, before it is asked whether they lie in a source; null: below the source. */
  readonly directory: string | null
  /** Whether there is something at an absolute path outside every source. */
  readonly isThere?: (path: string) => boolean
}

/**
 * All sources that the path lies in. One outside every source is taken as if it lay in the first one, or in the one that
 * is named: a relative path as it is, an absolute one by its name alone. Answers what is wrong, in one sentence.
 */
export const locate = (
  settings: Pick<Settings, "sources">,
  file: RelPath.RelPath,
  { directory, isThere = () => false, source: name }: Options
): Either.Either<ReadonlyArray<Place>, string> => {
  const chosen = settings.sources.filter((source) => name === undefined || source.name === name)
  const [first] = chosen
  if (first === undefined) {
    const known = settings.sources.map((source) => source.name).join(", ")
    return Either.left(`there is no source ${RelPath.display(name ?? "")}; the sources are ${known}`)
  }
  if (file === "" || file.endsWith("/") || file.includes("\0")) {
    return Either.left(`${RelPath.display(file) || "an empty path"} is not the path of a file`)
  }
  const below = RelPath.make(Path.relative("/", Path.resolve("/", file)))
  if (!Path.isAbsolute(file) && directory === null) return Either.right([placeIn(first, below)])

  const absolute = Path.resolve(directory ?? "/", file)
  const inside = (sources: ReadonlyArray<Source>): ReadonlyArray<Place> =>
    sources.flatMap((source) => {
      const path = relative(source.path, absolute)
      return path === undefined ? [] : [placeIn(source, path)]
    })
  const places = inside(chosen)
  if (places.length > 0) return Either.right(places)
  if (settings.sources.some((source) => source.path === absolute)) {
    return Either.left(`${RelPath.display(absolute)} is a source: name a file in it`)
  }
  // of another source, as if it lay in the one that is named
  const [other] = inside(settings.sources).toSorted((left, right) => left.path.length - right.path.length)
  if (other !== undefined) return Either.right([{ ...other, source: first, supposed: true }])
  const outside = { source: first, supposed: true, contained: false }
  if (Path.isAbsolute(file)) {
    const at = { directory: Path.dirname(absolute), path: RelPath.basename(absolute) }
    return Either.right([{ ...outside, path: at.path, at }])
  }
  return isThere(absolute)
    ? Either.right([
        { ...outside, path: below, at: { directory: Path.dirname(absolute), path: RelPath.basename(absolute) } }
      ])
    : Either.right([placeIn(first, below)])
}

/** What lies there. */
const placeIn = (source: Source, path: RelPath.RelPath): Place => ({
  source,
  path,
  supposed: false,
  contained: true,
  at: { directory: source.path, path }
})

/** The path of a file below a directory. */
const relative = (directory: string, file: string): RelPath.RelPath | undefined => {
  const prefix = directory.endsWith("/") ? directory : `${directory}/`
  return file.startsWith(prefix) ? RelPath.make(file.slice(prefix.length)) : undefined
}
