/**
 * Why a file goes where it goes, folder by folder, by the same rules that send it there.
 */
import { Effect } from "effect"
import type { Explanation, FolderVerdict, PlaceVerdict, Predicate, SourceVerdict } from "../domain/Explanation.ts"
import { noFacts } from "../domain/Facts.ts"
import type { Found } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Settings, Source } from "../domain/Settings.ts"
import { location, type Conflict, type Target, type Transform } from "../domain/Target.ts"
import type { Bytes, FactsError } from "../files/FileFacts.ts"
import { extension, predicate } from "./ExplainRules.ts"
import * as ExplainSource from "./ExplainSource.ts"
import { placeKey, type Folder, type Place } from "./RouterPlaces.ts"
import type { Decision } from "./Router.ts"
import * as Rules from "./Rules.ts"
import type * as Template from "./Template.ts"

export interface File {
  readonly path: RelPath.RelPath
  /** Null: it does not exist. */
  readonly found: Found | null
}

/** The config, compiled. */
export interface Given {
  readonly dispatch: Settings["dispatch"]
  readonly folders: ReadonlyArray<Folder>
  /** What is done with such a file, with all places of all folders; null: that can't be said without reading it. */
  readonly decide: (found: Found) => Effect.Effect<Decision | null, FactsError>
}

/** Stands for the number that a file would get; it is given only to files that are sent. */
export const someNumber = 8_713_640_925_187_364

export const explain = (
  { decide, dispatch, folders: compiled }: Given,
  source: Source,
  { found, path }: File,
  now: number,
  bytes: Bytes | null
): Effect.Effect<Explanation, FactsError> =>
  Effect.gen(function* () {
    const subject = new Rules.Subject(source.name, path, found, now)
    if (found !== null && bytes !== null) yield* readAll(compiled, subject, bytes)
    const decision = found === null ? null : yield* decide(found)
    const verdict = ExplainSource.source(source, path, found, now)
    const outcomes = judge(compiled, subject, dispatch)
    const senders = new Map<string, string>()
    const places = new Set<string>()
    const folders = outcomes.map(({ folder, gets, matched, why }): FolderVerdict => ({
      name: folder.route.name,
      predicates: predicatesOf(folder, subject),
      matched,
      gets,
      why,
      locations:
        gets === false
          ? []
          : folder.places.map((place, index) => {
              const sent = decision?.placed.filter(({ route }) => route === folder.route.name)[index]
              const name = sent === undefined ? guess(place, folder, source, subject) : plainName(sent.name)
              const key = placeKey(place.target, name)
              const sameAs = senders.get(key) ?? null
              const one = placeVerdict(place.target, name, sameAs)
              if (gets && sameAs === null) {
                senders.set(key, folder.route.name)
                places.add(one.location)
              }
              return one
            })
    }))
    const decided = folders.every(({ gets }) => gets !== null)
    const locations = verdict.accepted ? Array.from(places) : []
    const file = RelPath.display(path)
    return {
      file,
      exists: found !== null,
      source: verdict,
      dispatch,
      folders,
      locations,
      decided,
      until: decision?.until ?? null,
      summary: summarize(file, verdict, folders, locations)
    }
  })

/** Everything that any rule asks for, also where cheaper ones have decided: people want to see it. */
const readAll = (
  folders: ReadonlyArray<Folder>,
  subject: Rules.Subject,
  bytes: Bytes
): Effect.Effect<void, FactsError> =>
  Effect.gen(function* () {
    for (const rule of folders.flatMap(({ node }) => leaves(node))) {
      if (rule._tag === "Mime" && subject.mime === undefined) subject.mime = yield* bytes.mime
      if (rule._tag === "Content" && !subject.texts.has(rule.within)) {
        subject.texts.set(rule.within, yield* bytes.text(rule.within))
      }
    }
  })

const leaves = (node: Rules.Node): ReadonlyArray<Rules.Node["rule"]> =>
  node.parts.length === 0 ? [node.rule] : node.parts.flatMap(leaves)

const tooLong = (subject: Rules.Subject): boolean => subject.path.length > Rules.maxPath

const predicatesOf = ({ node, route }: Folder, subject: Rules.Subject): ReadonlyArray<Predicate> => {
  if (tooLong(subject)) {
    const { length } = subject.path
    const wanted = `a path of at most ${Rules.maxPath} characters`
    return [{ predicate: "path", wanted, had: `${length} characters`, matched: false }]
  }
  const any: Predicate = { predicate: "extensions", wanted: "any", had: extension(subject.base, []), matched: true }
  const others = node.parts.map((part) => predicate(part, subject))
  return route.extensions === undefined ? [any, ...others] : others
}

// Who gets it.

interface Outcome {
  readonly folder: Folder
  readonly matched: boolean | null
  readonly gets: boolean | null
  readonly why: string | null
}

const judge = (
  folders: ReadonlyArray<Folder>,
  subject: Rules.Subject,
  dispatch: Settings["dispatch"]
): ReadonlyArray<Outcome> => {
  const matches = new Map(folders.map((folder) => [folder, tooLong(subject) ? false : folder.node.test(subject)]))
  const asks = (otherwise: boolean, answer: boolean | null) =>
    folders.filter((folder) => folder.route.otherwise === otherwise && matches.get(folder) === answer)
  return folders.map((folder) => {
    const matched = matches.get(folder) ?? null
    const { otherwise } = folder.route
    const because = (gets: boolean | null, why: string): Outcome => ({ folder, matched, gets, why })
    if (matched === false) return { folder, matched, gets: false, why: null }
    if (otherwise) {
      const [wants] = asks(false, true)
      if (wants !== undefined)
        return because(false, `it takes only what no other folder wants, and ${called(wants)} does`)
      const [may] = asks(false, null)
      if (may !== undefined) return because(null, `it takes only what no other folder wants, and ${called(may)} may`)
    }
    if (dispatch === "first") {
      const isEarlier = (one: Folder) => one.index < folder.index
      const before = asks(otherwise, true).find(isEarlier)
      if (before !== undefined) return because(false, `dispatch is first, and ${called(before)} took it before`)
      const maybe = asks(otherwise, null).find(isEarlier)
      if (maybe !== undefined) return because(null, `dispatch is first, and ${called(maybe)} may take it before`)
    }
    return { folder, matched, gets: matched, why: null }
  })
}

const called = ({ route }: Folder): string => `the folder ${RelPath.display(route.name)}`

// Under which name.

/** With what stands for the number in words. */
const plainName = (name: string): string => name.replace(new RegExp(`0*${someNumber}`), "{counter}")

/** What the templates make of what is known, or the template itself where they want more. */
const guess = (place: Place, folder: Folder, source: Source, subject: Rules.Subject): string => {
  const groups: Rules.Groups = new Map()
  folder.node.collect(subject, groups)
  /** With what is not known taken as this or that. */
  const suppose = (other: boolean): string => {
    const context: Template.Context = {
      path: RelPath.make(subject.path),
      source: source.name,
      time: subject.now,
      size: subject.found?.size ?? (other ? 1 : 0),
      mtime: subject.found?.mtime ?? (other ? 1e12 : 0),
      facts: {
        ...noFacts,
        mime: subject.mime === undefined ? (other ? "a/a" : "b/b") : subject.mime,
        sha256: (other ? "a" : "b").repeat(64),
        counter: someNumber,
        groups: {
          ...Object.fromEntries(folder.node.groups.map((name) => [name, other ? "a" : "b"])),
          ...Object.fromEntries(groups)
        }
      }
    }
    return place.name(context)
  }
  const name = suppose(false)
  return name === suppose(true) ? plainName(name) : place.rename
}

export const placeVerdict = (target: Target, name: string, sameAs: string | null): PlaceVerdict => {
  const shown = RelPath.display(name)
  return {
    location: location(target, shown),
    sameAs,
    name: shown,
    conflict: conflicts[target.options.conflict],
    transform: transformed(target.options.transform)
  }
}

const conflicts: Readonly<Record<Conflict, string>> = {
  overwrite: "the file that is there is overwritten",
  skip: "the file that is there stays, and this one is not sent",
  rename: "it gets a name that is free, such as name (1)",
  fail: "it is not sent, and the delivery fails",
  newer: "the file that is there is overwritten if it is older; else this one is not sent",
  backup: "the file that is there is moved to name.bak first"
}

const transformed = (transform: Transform | null): string | null => {
  if (transform === null) return null
  const { age, compress, decompress } = transform
  const done = [
    ...(decompress === null ? [] : ["decompressed"]),
    ...(compress === "none" ? [] : [`compressed with ${compress}`]),
    ...(age.length === 0
      ? []
      : [`encrypted with age to ${age.length} ${age.length === 1 ? "recipient" : "recipients"}`])
  ]
  return done.length === 0 ? null : done.join(", then ")
}

// In one sentence.

const summarize = (
  file: string,
  source: SourceVerdict,
  folders: ReadonlyArray<FolderVerdict>,
  locations: ReadonlyArray<string>
): string => {
  const no = source.predicates.find((one) => one.matched === false)
  if (no !== undefined)
    return `${file} is not taken from ${source.name}: ${no.predicate} wants ${no.wanted}; ${no.had}.`
  const open = folders.filter(({ gets }) => gets === null).map(({ name }) => RelPath.display(name))
  const may = open.length === 0 ? "" : `what ${open.join(", ")} would do can't be said without the file`
  if (locations.length > 0) return `${file} goes to ${locations.join(", ")}${may === "" ? "" : `; ${may}`}.`
  if (may !== "") return `${file}: ${may}.`
  // extensions alone are what most configs go by, and then they are the whole reason
  const [only] = folders[0]?.predicates ?? []
  const byName = folders.every(({ predicates }) => predicates.length === 1 && predicates[0]?.predicate === "extensions")
  const count = `${folders.length} ${folders.length === 1 ? "folder" : "folders"}`
  return byName && only !== undefined
    ? `${file} stays where it is: none of ${count} wants ${only.had}.`
    : `${file} stays where it is: none of ${count} wants it.`
}
