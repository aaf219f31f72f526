/**
 * The local file system as the daemon needs it: in batches, and never on the thread that everything else runs on.
 *
 * Small files are cheaper by synchronous calls in a worker thread than by promises on the main one, so the work itself
 * is in plain functions (scan.ts, copy.ts, dispose.ts), which `FilesWorker.layer` runs in worker threads and
 * `FilesDirect.layer` on the spot.
 */
import { Context, Schema, type Effect, type Scope, type Stream } from "effect"
import type { Found, Stamp } from "../domain/Generation.ts"
import type { RelPath } from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"
import type { Conflict, TargetOptions, Verify } from "../domain/Target.ts"
import type { Receipt } from "../domain/Delivery.ts"

/** A file system call failed. `code` is the system's (`ENOENT`, `EACCES`, …). */
export class FilesError extends Schema.TaggedError<FilesError>("filedispatch/FilesError")("FilesError", {
  operation: Schema.String,
  path: Schema.String,
  code: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

export interface ScanOptions {
  readonly root: string
  readonly recursive: boolean
  /** Whether links are followed to what lies below the root, too; "skip" as a rule. */
  readonly symlinks?: Source["symlinks"]
}

/** What a scan says of a directory: its identity, to notice one that was deleted and made again; `dev:ino`. */
export interface ScanBatch {
  readonly found: ReadonlyArray<Found>
  /** Directories that could not be read, with the reason; the scan goes on without them. */
  readonly failed: ReadonlyArray<FilesError>
}

export interface CopyJob {
  /** The source file: directory and path below it. */
  readonly root: string
  readonly path: RelPath
  readonly stamp: Stamp
  /** Where it goes: directory and path below it. */
  readonly target: string
  /** The mount point of the file system that it is meant to go to; undefined where any will do. */
  readonly mount?: string | undefined
  readonly name: RelPath
  readonly temp: string
  readonly stale: ReadonlyArray<string>
  readonly conflict: Conflict
  /** A name that was chosen and committed by an earlier attempt. */
  readonly chosen: RelPath | null
  /** Whether the source may be moved there by a rename instead of being copied. */
  readonly move: boolean
  readonly sync: boolean
  /**
   * `hash`: the copy is read back and compared before it is published. What was just written may be answered by the
   * page cache, so that this proves what the system has, and not what is on the medium.
   */
  readonly verify: Verify
  /** What becomes of a name that the target can't tell from another one that is there. */
  readonly names: TargetOptions["names"]
}

/** A limit of bandwidth, as it is asked for each piece of a copy; see `Destination.Pace`. */
export interface Pacer {
  readonly chunk: () => number
  readonly wait: (bytes: number) => Promise<void>
}

/** Why a copy failed, in the terms of DeliveryError. */
export type CopyFault = {
  readonly kind: "transient" | "lane" | "permanent" | "skipped" | "changed" | "gone"
  readonly reason: string
}

export type CopyResult =
  | { readonly _tag: "Done"; readonly receipt: Receipt }
  /** Another name was picked: commit it, then call again with it as `chosen`. The temp file is kept. */
  | { readonly _tag: "Choose"; readonly name: RelPath }
  | { readonly _tag: "Failed"; readonly fault: CopyFault }

/** A source file of which nothing more is to be sent, with the file that said that it was complete. */
export interface DisposeJob {
  /** The directory, and the paths below it. */
  readonly root: string
  readonly path: RelPath
  readonly stamp: Stamp
  readonly marker: RelPath | null
  readonly sync: boolean
}

/** Where a source file has been moved. Paths are absolute, in the form of RelPath. */
export interface Moved {
  readonly path: string
  readonly stamp: Stamp
  /** The same of its marker, which lies beside it; null where there was none. */
  readonly marker: { readonly path: string; readonly stamp: Stamp } | null
}

export interface DisposeResult {
  /** Why the source is left where it is; null: it is gone from there. */
  readonly note: string | null
  /** Null where it was not moved, or had gone before. */
  readonly moved: Moved | null
  /** What could not be done with the marker, for people. */
  readonly warning: string | null
  /** What the note tells of may pass: it is worth another try. */
  readonly later?: boolean
}

/** An archived file whose time is over. */
export interface Expired {
  /** Absolute, in the form of RelPath. */
  readonly path: string
  readonly identity: string
  /** The directory around it, absolute, that stays, and without which nothing can be said. */
  readonly root: string
}

/** A file that was made of a source file, by what it is known again. Numbers are decimal, times in nanoseconds. */
export interface UndoPlace {
  /** Absolute, in the form of RelPath. */
  readonly path: string
  /** Null where that is not known; so with the others. */
  readonly size: string | null
  readonly ino: string | null
  readonly mtime: string | null
  readonly sha256: string | null
}

/** A file that is to be put back in its source. */
export interface UndoJob {
  /** Where it goes: the source's directory, and the path below it. */
  readonly root: string
  readonly path: RelPath
  /** Of the generation that was sent; temp names are made from it. */
  readonly stamp: Stamp
  /** Where it is. */
  readonly from: UndoPlace
  /** Its marker, and where that goes below the source; null where there is none to put back. */
  readonly marker: { readonly from: UndoPlace; readonly path: RelPath } | null
  /** Other results, which are removed once the file is back. */
  readonly others: ReadonlyArray<UndoPlace>
  readonly sync: boolean
  /** Whether it may have been begun by a process that was killed. */
  readonly resumed: boolean
}

/** Why it would be refused, as the end of a sentence; or what the file is that would be put back. */
export type UndoCheck =
  { readonly reason: string; readonly stamp: null } | { readonly reason: null; readonly stamp: Stamp }

export type UndoResult =
  | {
      readonly _tag: "Restored"
      /** As it lies in its source; null where it is another file, or none, by now. */
      readonly stamp: Stamp | null
      /** Those of `others` that are left where they are, and why. */
      readonly left: ReadonlyArray<{ readonly place: number; readonly reason: string }>
      /** What could not be done with the marker. */
      readonly warning: string | null
    }
  /** All is as it was. */
  | { readonly _tag: "Refused"; readonly reason: string }
  /** It could neither be done nor left: it is to be called again. */
  | { readonly _tag: "Stuck"; readonly reason: string }

/** `other`: another file is there by now; `unreachable`: not even its root is there. */
export type ExpireResult = "removed" | "gone" | "other" | "unreachable"

/** A place to look at. */
export interface Place {
  /** Absolute, in the form of RelPath. */
  readonly path: string
  /** The size of the file whose hash is wanted; null: none is. */
  readonly hashed: number | null
}

/** What is at a place. */
export type Seen =
  | { readonly _tag: "Nothing" }
  /** Something, and no file: "a folder". */
  | { readonly _tag: "Other"; readonly what: string }
  | { readonly _tag: "File"; readonly size: number; readonly sha256: string | undefined }

/** Threads that copy. Each local lane has its own, so that a file system that hangs holds up no other. */
export interface Copier {
  /** With a pace it is copied piece by piece; a move by a rename has no need of it. */
  readonly copy: (job: CopyJob, progress: (bytes: number) => void, pace?: Pacer) => Effect.Effect<CopyResult>
  /** Several files at once; one result for each, in their order. */
  readonly copyAll: (jobs: ReadonlyArray<CopyJob>) => Effect.Effect<ReadonlyArray<CopyResult>>
  /** For an interrupted copy: removes its temp files; the receipt if the target holds the file already. */
  readonly recover: (job: CopyJob) => Effect.Effect<Receipt | null, FilesError>
  /** For a copy that was given up: removes what interrupted attempts left; why that can't be done, or null. */
  readonly discard: (job: CopyJob) => Effect.Effect<CopyFault | null, FilesError>
  /** Looks at several places at once, in their order; null: nothing can be said of that one here, or not by now. */
  readonly examine: (places: ReadonlyArray<Place>) => Effect.Effect<ReadonlyArray<Seen | null>, FilesError>
}

export class Files extends Context.Tag("filedispatch/files/Files")<
  Files,
  {
    /** All regular files below the root, in batches; fails only where the root itself can't be read. */
    readonly scan: (options: ScanOptions) => Stream.Stream<ScanBatch, FilesError>
    /** What these paths are now; null where there is no regular file. No link is followed, unless that is asked for. */
    readonly look: (
      root: string,
      paths: ReadonlyArray<RelPath>,
      symlinks?: Source["symlinks"]
    ) => Effect.Effect<ReadonlyArray<Found | null>, FilesError>
    /** What tells a directory from one made later at the same path: `dev:ino:birth`. */
    readonly identity: (directory: string) => Effect.Effect<string, FilesError>
    readonly copier: (threads: number) => Effect.Effect<Copier, never, Scope.Scope>
    /** Deletes the source, if it is still the generation of this stamp, and then its marker. */
    readonly remove: (job: DisposeJob) => Effect.Effect<DisposeResult, FilesError>
    /**
     * Moves the source there, on any file system, if it is still the generation of this stamp, and then its marker.
     * Overwrites nothing; called again after the end of a process, it says where that had moved it.
     */
    readonly archive: (job: DisposeJob, to: string) => Effect.Effect<DisposeResult, FilesError>
    /** Removes an archived file, if it is still that, and the folders below the root that are empty then. */
    readonly expire: (file: Expired, sync: boolean) => Effect.Effect<ExpireResult, FilesError>
    /** Whether `undo` would do it. Changes nothing. */
    readonly checkUndo: (job: UndoJob) => Effect.Effect<UndoCheck, FilesError>
    /** Puts a file back in its source, on any file system, if it still is what was moved. Overwrites nothing. */
    readonly undo: (job: UndoJob) => Effect.Effect<UndoResult, FilesError>
  }
>() {}
