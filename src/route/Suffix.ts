/**
 * What a transform on the way makes of a file's name: `a.log` compressed is `a.log.gz`, encrypted `a.log.gz.age`.
 */
import * as RelPath from "../domain/RelPath.ts"
import type { Transform } from "../domain/Target.ts"

/** The ends of names that say that the file is one compressed stream, and what is left of each. */
const compressed: ReadonlyArray<readonly [end: string, left: string]> = [
  [".gz", ""],
  [".br", ""],
  [".zst", ""],
  [".tgz", ".tar"],
  [".tzst", ".tar"]
]

const ends = { none: "", gzip: ".gz", brotli: ".br", zstd: ".zst", zip: ".zip" } as const

/** The name that arrives, for a name below a target. What is not compressed by its name keeps it when it is undone. */
export const suffixed = (name: RelPath.RelPath, transform: Transform | null): RelPath.RelPath => {
  if (transform === null) return name
  const plain = transform.decompress === null ? name : undone(name)
  return RelPath.make(`${plain}${ends[transform.compress]}${transform.age.length > 0 ? ".age" : ""}`)
}

const undone = (name: string): string => {
  const base = RelPath.basename(name).toLowerCase()
  for (const [end, left] of compressed) {
    // a name that is nothing but the suffix stays one
    if (base.length > end.length && base.endsWith(end)) return `${name.slice(0, -end.length)}${left}`
  }
  return name
}
