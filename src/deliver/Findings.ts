/**
 * Findings of probes: what all protocols have in common in how they are put.
 */
import { Option, Predicate } from "effect"
import type { DeliveryError } from "../domain/DeliveryError.ts"
import type { TargetOptions } from "../domain/Target.ts"
import { isInsecure, isUnreachable } from "./destination/network.ts"
import type { Finding } from "./Destination.ts"

/** In which order findings are shown. */
const order: ReadonlyArray<Finding["what"]> = [
  "reachable",
  "identity",
  "authenticated",
  "folder",
  "writable",
  "rename",
  "verification",
  "resume",
  "mtime",
  "case",
  "names",
  "space"
]

/** In that order, of each kind the last one. */
export const sorted = (findings: Iterable<Finding>): ReadonlyArray<Finding> => {
  const last = new Map(Array.from(findings, (finding) => [finding.what, finding]))
  return order.flatMap((what) => last.get(what) ?? [])
}

/** What a failure before the first file says, by the phase of connecting in which it happened. */
export const unconnected = (error: DeliveryError): ReadonlyArray<Finding> => {
  const yes = (what: Finding["what"], found: string): Finding => ({ what, state: "yes", found, therefore: "" })
  const no = (what: Finding["what"]): Finding => ({
    what,
    state: "no",
    found: error.reason,
    therefore: "Files for it wait until that is mended, and go on by themselves."
  })
  const phase = phaseOf(error)
  if (phase === "reachable") return [no("reachable")]
  const answers = yes("reachable", "The server answers.")
  switch (phase) {
    case "crowded":
      return [
        answers,
        {
          what: "authenticated",
          state: "unknown",
          found: error.reason,
          therefore: "If filedispatch is running it may have all the connections. Try again when it is idle."
        }
      ]
    case "identity":
      return [answers, no("identity")]
    case "authenticated":
      return [answers, no("authenticated")]
  }
}

const phaseOf = (error: DeliveryError): "reachable" | "identity" | "authenticated" | "crowded" => {
  if (error._tag === "CrowdedError") return "crowded"
  if (error._tag === "LaneDownError" && error.phase !== undefined) return error.phase
  const cause = Option.getOrUndefined(error.cause)
  if (isUnreachable(cause)) return "reachable"
  if (isInsecure(cause)) return "identity"
  return isLogin(cause) ? "authenticated" : "reachable"
}

/** FTP's codes for a refused login, and ssh2's level for one. */
const isLogin = (cause: unknown): boolean =>
  (Predicate.hasProperty(cause, "code") && (cause.code === 430 || cause.code === 530 || cause.code === 532)) ||
  (Predicate.hasProperty(cause, "level") && cause.level === "client-authentication")

/** What follows from the room that is left, in bytes. */
export const space = (bytes: number): Finding => {
  const found = `${readable(bytes)} free.`
  if (bytes < 1024 ** 2) {
    return { what: "space", state: "no", found, therefore: "No room is left. Make some there; files wait until then." }
  }
  return bytes < 100 * 1024 ** 2
    ? { what: "space", state: "limit", found, therefore: "That is little. Make room there before it is full." }
    : { what: "space", state: "yes", found, therefore: "" }
}

const readable = (bytes: number): string => {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}

/** What a target does not take as names, in words. `length`: bytes of the longest name that it took. */
export const namesRefused = (
  length: number,
  characters: ReadonlyArray<string>,
  bytes: boolean
): ReadonlyArray<string> => [
  ...(length === 255 ? [] : [length === 0 ? "names of 100 bytes" : `names of more than ${length} bytes`]),
  ...(characters.length === 0 ? [] : [`names with ${characters.join(" ")}`]),
  ...(bytes ? [] : ["names that are not UTF-8"])
]

export const names = (refused: ReadonlyArray<string>, policy: TargetOptions["names"]): Finding =>
  refused.length === 0
    ? {
        what: "names",
        state: "yes",
        found: 'Names of 255 bytes, with : ? * | < > ", and such that are not UTF-8.',
        therefore: ""
      }
    : {
        what: "names",
        state: "limit",
        found: `It does not take ${refused.join(", ")}.`,
        therefore: encoded(policy)
      }

/** What becomes of a file whose name a target can't hold. */
export const encoded = (policy: TargetOptions["names"]): string =>
  policy === "portable"
    ? "Where a file's name needs it, it is encoded."
    : "A file with such a name is refused, with this reason. `names: portable` encodes it."
