/**
 * What goes between the main thread and a transform worker: plain data.
 */
import type { Transform } from "../../domain/Target.ts"

/** One file to be transformed into the spool. Paths in the form of RelPath. */
export interface Job {
  /** The directory of the source, absolute, and the file in it. */
  readonly root: string
  readonly path: string
  /** Its generation's; see `Generation.Stamp`. */
  readonly stamp: string
  /** Bytes. */
  readonly size: number
  readonly transform: Transform
  /** The name of the entry in a zip file. */
  readonly entry: string
  /** The folder of the spool, absolute. */
  readonly folder: string
  /** The name there until it is complete. */
  readonly temp: string
  /** How its final name there begins: see {@link spooledName}. */
  readonly prefix: string
  /** Whether it must be on the medium. */
  readonly sync: boolean
}

/** A file in the spool that is complete. */
export interface Made {
  readonly name: string
  readonly stamp: string
  readonly size: number
  /** Of the file in the spool, in hex. */
  readonly sha256: string
  /** Of the source, in hex. */
  readonly sourceSha256: string
}

/**
 * Why there is none. `changed`, `gone`: of the source. `permanent`: this content can't be transformed. `transient`: it
 * could not be read. `spool`: it could not be written.
 */
export interface Failure {
  readonly kind: "changed" | "gone" | "permanent" | "transient" | "spool"
  /** One line for people. */
  readonly reason: string
}

export type Result = ({ readonly _tag: "Made" } & Made) | ({ readonly _tag: "Failed" } & Failure)

/** A file in the spool, of an earlier run of the program. */
export interface Found {
  readonly folder: string
  readonly name: string
}

export type Request =
  | { readonly id: number; readonly _tag: "Make"; readonly job: Job }
  | { readonly id: number; readonly _tag: "Prove"; readonly found: Found }
  | { readonly id: number; readonly _tag: "Stop" }

export type Reply =
  /** It goes on. */
  | { readonly id: number; readonly _tag: "Beat" }
  | { readonly id: number; readonly _tag: "Made"; readonly result: Result }
  | { readonly id: number; readonly _tag: "Proved"; readonly made: Made | null }

/** The name says what the file is, so that both come into being by one rename: `PREFIX.SOURCE_SHA256.SHA256`. */
export const spooledName = (prefix: string, sourceSha256: string, sha256: string): string =>
  `${prefix}.${sourceSha256}.${sha256}`

export const parseName = (
  name: string
): { readonly prefix: string; readonly sourceSha256: string; readonly sha256: string } | undefined => {
  const [prefix, sourceSha256, sha256, ...more] = name.split(".")
  if (prefix === undefined || sourceSha256 === undefined || sha256 === undefined || more.length > 0) return undefined
  return isHash(sourceSha256) && isHash(sha256) ? { prefix, sourceSha256, sha256 } : undefined
}

const isHash = (text: string): boolean => /^[0-9a-f]{64}$/.test(text)

/** Ends a transformation, with what it means. */
export class Fault extends Error {
  readonly failure: Failure
  constructor(kind: Failure["kind"], reason: string) {
    super(reason)
    this.failure = { kind, reason }
  }
}

/** One step: bytes in, bytes out, with back-pressure. */
export type Stage = (input: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>
