/**
 * What a config says of a source beyond its path, in one line.
 */
import { formatDuration } from "../config/Quantity.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"

/** ` (recursive, marker {name}.ok, after delete)`; empty where all is as usual. */
export const saidOf = (source: Source): string => {
  const { include, marker, minAge, onDead, recursive, symlinks, watch } = source
  const said = [
    ...(recursive ? ["recursive"] : []),
    ...(include.join() === "**" ? [] : [`include ${include.map(RelPath.display).join(" ")}`]),
    ...(marker === null ? [] : [`marker ${RelPath.display(marker)}`]),
    ...(minAge === 0 ? [] : [`minAge ${formatDuration(minAge)}`]),
    ...(symlinks === "skip" ? [] : [`symlinks ${symlinks}`]),
    ...(watch === "auto" ? [] : [`watch ${watch}`]),
    ...ofAfter(source),
    ...(onDead._tag === "Keep" ? [] : [`onDead move to ${RelPath.display(onDead.template)}`])
  ]
  return said.length === 0 ? "" : ` (${said.join(", ")})`
}

const ofAfter = ({ after }: Source): ReadonlyArray<string> => {
  switch (after._tag) {
    case "Keep":
      return []
    case "Delete":
      return ["after delete"]
    case "Archive": {
      const time = after.keepFor === undefined ? "" : ` for ${formatDuration(after.keepFor)}`
      return [`after archive to ${RelPath.display(after.template)}${time}`]
    }
  }
}
