/**
 * Resolves what a folder says of one target: its place, its options, and whether the two go together.
 */
import { Either, Option } from "effect"
import * as Path from "node:path"
import { noSecrets, unlimited, type RouteTarget } from "../domain/Settings.ts"
import { usualOptions, type TargetOptions } from "../domain/Target.ts"
import { defaults, type FolderEntry, type TargetEntry } from "./ConfigFile.ts"
import * as Place from "./Place.ts"
import type { Scheme, SchemeOption } from "./Scheme.ts"
import * as TargetUrl from "./TargetUrl.ts"

export interface Context {
  /** Where relative paths begin. */
  readonly directory: string
  readonly schemes: ReadonlyMap<string, Scheme>
}

/** What is wrong with a target. `key` is the option that is to blame; undefined: the path. */
export interface Fault {
  readonly key: "conflict" | SchemeOption | undefined
  readonly message: string
  readonly expected: string
}

type Options = Omit<TargetEntry, "path">

/**
 * The target, as far as its place is right, and all that is wrong with it. `own` are the options of a target that is
 * written as a map; they win over those of its folder.
 */
export const resolve = (
  text: string,
  own: Options,
  folder: FolderEntry,
  context: Context
): { readonly target: RouteTarget | undefined; readonly faults: ReadonlyArray<Fault> } => {
  const name = Option.getOrElse(TargetUrl.schemeOf(text), () => "file")
  const faults = checkOptions(name, { ...folder, ...own }, own, context)
  const address =
    name === "file"
      ? localAddress(text, context.directory)
      : TargetUrl.parse(text, context.schemes, own.secure ?? folder.secure)
  if (Either.isLeft(address)) {
    const { expected, message } = address.left
    return { target: undefined, faults: [{ key: undefined, message, expected }, ...faults] }
  }
  const { secrets, ...place } = address.right
  return {
    target: {
      target: { ...place, lane: laneOf(place), options: optionsOf(name, own, folder) },
      secrets,
      bandwidth: unlimited
    },
    faults
  }
}

/** The options of a folder that none of its targets can use. */
export const useless = (
  folder: FolderEntry,
  targets: ReadonlyArray<string>,
  schemes: ReadonlyMap<string, Scheme>
): ReadonlyArray<Fault> => {
  const names = targets.map((text) => Option.getOrElse(TargetUrl.schemeOf(text), () => "file"))
  return schemeOptions
    .filter(
      (key) => folder[key] !== undefined && !names.some((name) => schemes.get(name)?.options.includes(key) ?? true)
    )
    .map((key) => misplaced(key, Array.from(new Set(names)).join(", "), schemes))
}

const schemeOptions: ReadonlyArray<SchemeOption> = ["fieldname", "upload", "method", "secure"]

const checkOptions = (name: string, all: Options, own: Options, context: Context): ReadonlyArray<Fault> => {
  const scheme = context.schemes.get(name)
  if (scheme === undefined) return []
  const conflict = all.conflict ?? defaults.target.conflict
  const faults: Array<Fault> = schemeOptions
    .filter((key) => own[key] !== undefined && !scheme.options.includes(key))
    .map((key) => misplaced(key, name, context.schemes))
  if (!scheme.conflicts.includes(conflict)) {
    faults.push({
      key: "conflict",
      message: `${name} can't keep conflict: ${conflict}`,
      expected: scheme.conflicts.join(", ")
    })
  }
  if (name === "ftps" && all.secure === "none") {
    faults.push({
      key: "secure",
      message: "ftps is never without security",
      expected: "explicit or implicit, or an ftp:// URL"
    })
  }
  return faults
}

const misplaced = (key: SchemeOption, name: string, schemes: ReadonlyMap<string, Scheme>): Fault => ({
  key,
  message: `${key} means nothing to ${name}`,
  expected: `${key} for ${Array.from(schemes)
    .filter(([, scheme]) => scheme.options.includes(key))
    .map(([one]) => one)
    .join(" and ")} only`
})

const optionsOf = (name: string, own: Options, folder: FolderEntry): TargetOptions => {
  const pick = <Key extends keyof Options>(key: Key): Options[Key] => own[key] ?? folder[key]
  return {
    ...usualOptions,
    conflict: pick("conflict") ?? defaults.target.conflict,
    retry: { ...defaults.target.retry, ...folder.retry, ...own.retry },
    concurrency: pick("concurrency") ?? defaults.target.concurrency,
    timeout: pick("timeout") ?? defaults.target.timeout,
    fieldname: pick("fieldname") ?? defaults.target.fieldname,
    upload: pick("upload") ?? defaults.target.upload,
    method: pick("method") ?? null,
    secure: name === "ftps" ? (pick("secure") ?? "implicit") : name === "ftp" ? (pick("secure") ?? "none") : "none"
  }
}

const localAddress = (text: string, directory: string) =>
  Either.gen(function* () {
    if (/^(?:https?|ftps?|sftp|file)(?::|\/\/)/i.test(text) && Option.isNone(TargetUrl.schemeOf(text))) {
      return yield* notPath("a URL without its ://", "scheme://host/path, or ./ before a plain path")
    }
    if (/^[^/.~][^/]*:[^/]*@/.test(text)) {
      return yield* notPath(
        "it looks like a URL without a scheme",
        "scheme://user:password@host/path, or ./ before a plain path"
      )
    }
    const path = Place.resolve(directory, yield* TargetUrl.localPath(text))
    return {
      scheme: "file",
      url: path,
      host: "",
      port: null,
      username: null,
      path,
      secrets: noSecrets
    } satisfies TargetUrl.Address
  })

const notPath = (message: string, expected: string) => Either.left(new TargetUrl.TargetUrlError({ message, expected }))

const laneOf = (place: Omit<TargetUrl.Address, "secrets">): string => {
  if (place.scheme === "file") return `file:${Place.mountPoint(place.path)}`
  const user = place.username === null ? "" : `${encodeURIComponent(place.username)}@`
  const host = place.host.includes(":") ? `[${place.host}]` : place.host
  return `${place.scheme}://${user}${host}${place.port === null ? "" : `:${place.port}`}`
}

/** A name for what has none: the last part of its path, or the host. */
export const nameOf = ({ target }: RouteTarget): string =>
  (target.scheme === "file" ? Path.basename(target.path) : Path.posix.basename(target.path)).replace(/^~$/, "") ||
  target.host ||
  "files"
