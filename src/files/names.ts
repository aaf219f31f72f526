/**
 * Paths as the file system calls take them: a string where the name is text, a Buffer where it is not.
 */
import { createHash } from "node:crypto"
import * as RelPath from "../domain/RelPath.ts"

export type FsPath = string | Buffer

export const fsPath = (path: string): FsPath => (RelPath.isText(path) ? path : Buffer.from(RelPath.toBytes(path)))

/** Joins a directory and a path below it, both in RelPath's form. */
export const below = (directory: string, path: string): string =>
  path === "" ? directory : directory.endsWith("/") ? `${directory}${path}` : `${directory}/${path}`

/** Whether a path below a directory stays below it, spelled the one way there is. */
export const staysBelow = (path: string): boolean =>
  !path.includes("\0") && path.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..")

/** The directory part of a path. */
export const parent = (path: string): string => {
  const slash = path.lastIndexOf("/")
  return slash > 0 ? path.slice(0, slash) : slash === 0 ? "/" : "."
}

/**
 * Our temp names: `.fd-`, 20 characters made from what the file is for, `.part`; 29 bytes, so that they fit wherever a
 * name fits. The same key gives the same name, so that a restarted process finds what it left.
 */
export const tempName = (key: string): string =>
  `.fd-${createHash("sha256").update(key).digest("base64url").replace(/[-_]/g, "0").slice(0, 20)}.part`

/**
 * The temp names of a journal's deliveries, from the delivery and the attempt. Ten characters tell one journal from
 * another that delivers to the same place, eight the delivery, two the attempt.
 */
export const tempNames = (journal: string): ((delivery: number, attempt: number) => string) => {
  const prefix = tempName(journal).slice(0, 14)
  return (delivery, attempt) =>
    `${prefix}${delivery.toString(36).padStart(8, "0")}${(attempt % 1296).toString(36).padStart(2, "0")}.part`
}

/** Whether a name is one of those. */
export const isTempName = (name: string): boolean => /(?:^|\/)\.fd-[0-9A-Za-z]{20}\.part$/.test(name)

/** `name (1).ext`, `name (2).ext`, … */
export const numbered = (name: string, number: number): string => {
  const slash = name.lastIndexOf("/") + 1
  const dot = name.lastIndexOf(".")
  return dot > slash ? `${name.slice(0, dot)} (${number})${name.slice(dot)}` : `${name} (${number})`
}

/** `.fd-aBc.part` → `.FD-AbC.PART` */
export const swapCase = (text: string): string =>
  text.replace(/[a-z]/gi, (letter) => (letter === letter.toUpperCase() ? letter.toLowerCase() : letter.toUpperCase()))

/** Whether two names are one where names that differ by case, or by how accents are composed, are one. */
export const foldsTogether = (left: string, right: string): boolean => folded(left) === folded(right)

const folded = (name: string): string => name.normalize("NFC").toLowerCase()

/** The one of these names that takes the place of another on a target that can't tell the two apart. */
export const twinAmong = (names: ReadonlyArray<string>, name: string): string | undefined =>
  names.includes(name) ? undefined : names.find((other) => foldsTogether(other, name))

/** `x/a%b.txt` → `x/%61%25%62.%74%78%74`: no other name folds to it, and decoded it is what it was. */
export const withoutLetters = (path: string): string => {
  const slash = path.lastIndexOf("/") + 1
  const encoded = path
    .slice(slash)
    .replace(/[\p{L}\p{M}%]/gu, (letter) =>
      Array.from(Buffer.from(letter), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("")
    )
  return `${path.slice(0, slash)}${encoded}`
}
