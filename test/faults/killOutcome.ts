/** What a kill loop has come to: everything that must not be, found by comparing what was produced with what there is. */
import { join } from "node:path"
import { list } from "../e2e/project.ts"
import type { Journal } from "./journalCopy.ts"
import { holdsOf, type Place, type Report } from "./oracles.ts"
import type { Writer } from "./writer.ts"

/** All of them empty where all is well. */
export interface Outcome {
  /** What the oracles saw meanwhile: parts of files, names of nobody, sources that went too early. */
  readonly partial: ReadonlyArray<string>
  readonly unknown: ReadonlyArray<string>
  readonly early: ReadonlyArray<string>
  /** Files that a place does not hold as they were last, or that their source still or no more holds. */
  readonly lost: ReadonlyArray<string>
  /** Deliveries, or entries of the log, beyond the one that there is to be. */
  readonly duplicates: ReadonlyArray<string>
  /** Files that nobody asked for: temp files, and parts of uploads. */
  readonly temps: ReadonlyArray<string>
  /** Deliveries that are not concluded as they should be. */
  readonly journal: ReadonlyArray<string>
}

export interface Facts {
  readonly writer: Pick<Writer, "files" | "loose" | "versionsOf">
  readonly report: Report
  readonly journal: Journal
  readonly places: ReadonlyArray<Place>
  /** How many of the places are targets: the first ones. */
  readonly targets: number
  readonly directory: string
  readonly sources: ReadonlyArray<string>
  readonly kept: boolean
}

export const outcomeOf = (facts: Facts): Outcome => {
  const { report } = facts
  const saw = (kind: "partial" | "unknown" | "early") =>
    report.violations.filter((one) => one.kind === kind).map(({ what }) => what)
  return {
    partial: saw("partial"),
    unknown: saw("unknown"),
    early: saw("early"),
    lost: [...missingAtPlaces(facts), ...atSources(facts)],
    duplicates: duplicatesOf(facts),
    temps: tempsOf(facts),
    journal: journalOf(facts)
  }
}

const missingAtPlaces = ({ places, report, writer }: Facts): ReadonlyArray<string> =>
  places.flatMap((place) =>
    Array.from(writer.files.values()).flatMap(({ path, sha256, version }) => {
      const held = report.held[place.name]?.[path]
      if (!holdsOf(place, path)) return held === undefined ? [] : [`${path} is at ${place.name}, where it was refused`]
      if (held === sha256 || (writer.loose.has(path) && held !== undefined)) return []
      return [`${path} (version ${version}) is not at ${place.name}: ${held ?? "there is nothing"}`]
    })
  )

const atSources = ({ kept, sources, writer }: Facts): ReadonlyArray<string> =>
  sources.flatMap((folder, source) => {
    const there = new Set(list(folder))
    const expected = Array.from(writer.files.values()).filter((file) => kept && file.source === source)
    const gone = expected.flatMap(({ path }) => (there.delete(path) ? [] : [`${path} is gone from its source`]))
    return [...gone, ...Array.from(there, (name) => `${name} was left in its source`)]
  })

/** What is delivered under names with a path is there once by nature: here it is that it was not done twice. */
const duplicatesOf = ({ journal, places, report, writer }: Facts): ReadonlyArray<string> => {
  const delivered = new Map<string, number>()
  for (const { path, state, target } of journal.deliveries) {
    if (state === "DELIVERED" || state === "DEAD") {
      const key = JSON.stringify([path, target])
      delivered.set(key, (delivered.get(key) ?? 0) + 1)
    }
  }
  const often = Array.from(delivered).flatMap(([key, count]) => {
    const [path]: [string, number] = JSON.parse(key)
    const versions = writer.versionsOf(path)
    return count > versions && !writer.loose.has(path) ? [`${key}: ${count} deliveries of ${versions} versions`] : []
  })
  const logged = journal.deliveries.flatMap(({ failed, id, path, succeeded }) =>
    succeeded + failed > 1 ? [`${path}: ${succeeded + failed} entries in the log for delivery ${id}`] : []
  )
  const others = places.flatMap((place) =>
    Object.keys(report.held[place.name] ?? {})
      .filter((name) => !writer.files.has(name))
      .map((name) => `${name} at ${place.name}`)
  )
  return [...often, ...logged, ...others]
}

const tempsOf = ({ directory, places, report, sources }: Facts): ReadonlyArray<string> => {
  const folders = places.flatMap(({ at }) => (typeof at === "string" ? [] : [at.folder]))
  const known = new Set(["config.yml", "manifest", "journal.db", "journal.db.lock", "journal.db-wal", "journal.db-shm"])
  const elsewhere = list(directory).filter(
    (name) =>
      !known.has(name) && ![...folders, ...sources].some((folder) => join(directory, name).startsWith(`${folder}/`))
  )
  const inPlaces = folders.flatMap((folder) => list(folder).filter((name) => /(?:^|\/)\.|\.(?:part|tmp)$/.test(name)))
  return [...elsewhere, ...inPlaces, ...Array.from({ length: report.unfinished }, () => "an upload in parts to S3")]
}

const journalOf = ({ journal, places, targets, writer }: Facts): ReadonlyArray<string> => {
  const wrong = journal.deliveries.flatMap(({ failed, generation, path, state, succeeded, traces }) => {
    const isRefused = places.slice(0, targets).some((place) => !holdsOf(place, path))
    const right =
      traces === 0 &&
      !["DISPOSING", "MOVING"].includes(generation) &&
      ((state === "DELIVERED" && succeeded === 1 && failed === 0) ||
        (state === "DEAD" && succeeded === 0 && failed === 1 && isRefused) ||
        (state === "SUPERSEDED" && succeeded + failed === 0 && (writer.versionsOf(path) > 1 || writer.loose.has(path))))
    const what = `${state}, ${succeeded} and ${failed} entries in the log, ${traces} traces; its source is ${generation}`
    return right ? [] : [`${path}: ${what}`]
  })
  const concluded = new Set<string>()
  for (const { path, state, target } of journal.deliveries) {
    if (state === "DELIVERED" || state === "DEAD") concluded.add(JSON.stringify([path, target]))
  }
  const expected = writer.files.size * targets
  return concluded.size === expected
    ? wrong
    : [...wrong, `${concluded.size} files are concluded at their targets, not ${expected}`]
}
