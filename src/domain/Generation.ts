/**
 * A file generation: one version of one source file.
 */
import * as Brand from "effect/Brand"
import * as Schema from "effect/Schema"
import { RelPath } from "./RelPath.ts"

// marked as pure for the bundles of the worker threads: see RelPath
export const GenerationId = /* @__PURE__ */ Schema.Int.pipe(/* @__PURE__ */ Schema.brand("filedispatch/GenerationId"))
export type GenerationId = typeof GenerationId.Type

/**
 * What tells one generation of a path from another: `dev:ino:size:mtime:ctime`, times in nanoseconds. The same path
 * with another stamp is a new generation. Inode numbers are reused, so none of the parts would do alone.
 */
export const Stamp = /* @__PURE__ */ Schema.String.pipe(/* @__PURE__ */ Schema.brand("filedispatch/Stamp"))
export type Stamp = typeof Stamp.Type

const brandStamp: (value: string) => Stamp = /* @__PURE__ */ Brand.nominal<Stamp>()

export const stamp = (stat: {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}): Stamp => brandStamp(`${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`)

/**
 * Whether two stamps belong to the same inode with the same content times, whatever renames or chmods happened. The
 * device does not count: it has another number after some restarts, and whenever some file systems are mounted again.
 */
export const sameContent = (left: string, right: string): boolean =>
  left.slice(left.indexOf(":"), left.lastIndexOf(":")) === right.slice(right.indexOf(":"), right.lastIndexOf(":"))

/** What is left of a stamp where the file system may have been mounted again; see {@link sameContent}. */
export const withoutDevice = (stamp: string): string => stamp.slice(stamp.indexOf(":"))

/** Whether two stamps are of the same generation, whatever number the device has got since; see {@link sameContent}. */
export const sameGeneration = (left: string, right: string): boolean => withoutDevice(left) === withoutDevice(right)

/** A regular file as a scan or a look at one path found it. Sizes in bytes, times in milliseconds since the epoch. */
export interface Found {
  readonly path: RelPath
  readonly stamp: Stamp
  readonly size: number
  readonly mtime: number
  /** Birth time where the file system has one, otherwise the change time. */
  readonly born: number
}

/** What happens to the source file once all its deliveries are done. */
export const After = /* @__PURE__ */ Schema.Union(
  /* @__PURE__ */ Schema.TaggedStruct("Keep", {}),
  /* @__PURE__ */ Schema.TaggedStruct("Delete", {}),
  /** A template for the path it is moved to, on any file system; `keepFor`: milliseconds until it is removed from there. */
  /* @__PURE__ */ Schema.TaggedStruct("Archive", {
    template: Schema.String,
    keepFor: /* @__PURE__ */ Schema.optionalWith(Schema.Number, { exact: true })
  })
)
export type After = typeof After.Type

/** What happens to the source file once nothing more is tried, and a delivery of it is dead. */
export const OnDead = /* @__PURE__ */ Schema.Union(
  /* @__PURE__ */ Schema.TaggedStruct("Keep", {}),
  /** A template for the path it is moved to, on any file system. */
  /* @__PURE__ */ Schema.TaggedStruct("Move", { template: Schema.String })
)
export type OnDead = typeof OnDead.Type

/** A generation as the journal has it. */
export const Generation = /* @__PURE__ */ Schema.Struct({
  id: GenerationId,
  /** The source's directory, absolute. */
  source: Schema.String,
  path: RelPath,
  stamp: Stamp,
  size: Schema.Number,
  mtime: Schema.Number,
  born: Schema.Number,
  after: After,
  /** Null in what was accepted before there was a choice: it is kept. */
  onDead: /* @__PURE__ */ Schema.NullOr(OnDead),
  /** The file that said it was complete, relative to the source; it goes where the file goes. */
  marker: /* @__PURE__ */ Schema.NullOr(RelPath)
})
export interface Generation extends Schema.Schema.Type<typeof Generation> {}
