/**
 * The order of syncs, in place of a power cut: what a recorded run had on the medium, for certain, at each moment.
 *
 * Taken at its worst, as POSIX allows it: data is there once the file was synced, a name once its directory was. So a
 * model of both goes through the recording, and before each step that relies on an earlier one, that one must be on the
 * medium.
 */
import { dirname, join } from "node:path"
import { isTempName } from "../../src/files/names.ts"
import { journalOf, resultOf, type Recording } from "./steps.ts"
import type { Call } from "./strace.ts"

export interface Order {
  /** How often something was relied on. */
  readonly checks: number
  /** What was relied on and was not there; empty where all is well. */
  readonly broken: ReadonlyArray<string>
}

/** Data of files. */
const writes: ReadonlySet<string> = new Set(["write", "pwrite64", "ftruncate", "copy_file_range", "sendfile"])
const syncs: ReadonlySet<string> = new Set(["fsync", "fdatasync"])

export const orderOf = ({ calls, label, project }: Recording): Order => {
  const { scenario } = project
  const results = new Map(Array.from(scenario.files.keys(), (name) => [resultOf(project, name), name]))
  const archived = new Set(
    Array.from(scenario.files.keys(), (name) =>
      typeof scenario.becomes === "function" ? join(project.directory, scenario.becomes(name)) : ""
    )
  )
  const sources = new Set(Array.from(scenario.files.keys(), (name) => join(project.inbox, name)))
  const asides = new Set(project.asides.values())
  const folders = new Set(Array.from(results.keys(), (path) => dirname(path)))
  const journal = `${journalOf(project.directory)}-wal`

  /** By path, when data was written that is not synced yet. */
  const data = new Map<string, number>()
  /** Files of which all data was synced at least once. */
  const synced = new Set<string>()
  /** By path of a new name, or of one that is gone, when that was: until its directory is synced. */
  const names = new Map<string, number>()
  /** Results that have their final names, and sources that are gone. */
  const published = new Set<string>()
  const gone = new Set<string>()
  let lastPublished = 0
  let committed = 0

  let checks = 0
  const broken: Array<string> = []
  const rely = (holds: boolean, call: Call, what: string): void => {
    checks += 1
    if (!holds) broken.push(`${label(call)}: ${what}`)
  }
  /** A path can be reached after a power cut: its own name is there, and those of all folders that were made for it. */
  const isKept = (path: string): boolean => {
    for (let at = path; at.length > project.directory.length; at = dirname(at)) if (names.has(at)) return false
    return true
  }

  const before = (call: Call): void => {
    const { name, paths } = call
    const [from = "", to = from] = paths
    const created = name === "openat" && call.args.includes("O_EXCL") ? (paths.at(-1) ?? "") : ""
    if (name === "connect" && call.args.includes("AF_INET")) {
      rely(committed > 0 && !data.has(journal), call, "that the delivery has begun was not synced in the journal")
    }
    if (isTempName(created) && folders.has(dirname(created))) {
      rely(committed > 0 && !data.has(journal), call, "that the delivery has begun was not synced in the journal")
    }
    if ((name === "rename" || name === "link") && results.has(to)) {
      rely(!data.has(from) && synced.has(from), call, "what gets its final name was not synced")
      rely(!data.has(journal), call, "what permits it was not synced in the journal")
    }
    if (name === "pwrite64" && paths.includes(journal)) {
      for (const result of published) {
        rely(isKept(result), call, "the name at the target was not synced before it is recorded")
        if (scenario.becomes !== "moved") continue
        rely(isKept(join(project.inbox, results.get(result) ?? "")), call, "that the source has moved was not synced")
      }
      for (const aside of gone) rely(isKept(aside), call, "that the source is gone was not synced")
    }
    const touches = sources.has(from) || asides.has(from)
    if ((name === "rename" || name === "unlink") && touches && scenario.becomes !== "moved") {
      rely(!data.has(journal) && committed > lastPublished, call, "that it was delivered was not synced in the journal")
      for (const result of results.keys()) rely(isKept(result) && !data.has(result), call, "the target was not synced")
    }
    if (name === "unlink" && asides.has(from)) {
      for (const place of archived) rely(isKept(place) && !data.has(place), call, "what is archived was not synced")
    }
  }

  const began = (call: Call): void => {
    const { name, paths } = call
    const [from = "", to = from] = paths
    const last = paths.at(-1) ?? ""
    if (writes.has(name)) for (const path of paths) data.set(path, call.began)
    if (name === "openat" && call.args.includes("O_CREAT")) names.set(last, call.began)
    if (name === "mkdir" || name === "unlink" || name === "rmdir" || name === "rename") names.set(from, call.began)
    if (name === "rename" || name === "link") {
      names.set(to, call.began)
      const unsynced = data.get(from)
      if (unsynced !== undefined) data.set(to, unsynced)
      else data.delete(to)
      if (synced.has(from)) synced.add(to)
      else synced.delete(to)
      if (name === "rename") {
        data.delete(from)
        synced.delete(from)
      }
      if (results.has(to)) {
        published.add(to)
        lastPublished = call.began
      }
    }
    if (name === "unlink" && asides.has(from)) gone.add(from)
  }

  /** What had come before a sync began is there when it has come back. */
  const ended = (call: Call): void => {
    const [path = ""] = call.paths
    if (!syncs.has(call.name)) return
    const written = data.get(path)
    if (written === undefined || written < call.began) {
      data.delete(path)
      synced.add(path)
    }
    for (const [name, since] of names) if (dirname(name) === path && since < call.began) names.delete(name)
    if (path === journal) committed = call.ended
  }

  const events = calls
    .filter(({ result }) => !result.startsWith("-1") || result.includes("EINPROGRESS"))
    .flatMap((call) => [
      { at: call.began, call, end: false },
      { at: call.ended, call, end: true }
    ])
    .sort((left, right) => left.at - right.at)
  for (const { call, end } of events) {
    if (end) ended(call)
    else {
      before(call)
      began(call)
    }
  }
  return { checks, broken }
}
