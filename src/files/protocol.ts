/**
 * What goes between the main thread and a file worker: plain data, each request with one reply.
 */
import type { Found } from "../domain/Generation.ts"
import type { Receipt } from "../domain/Delivery.ts"
import type { Source } from "../domain/Settings.ts"
import type {
  CopyFault,
  CopyJob,
  CopyResult,
  DisposeJob,
  DisposeResult,
  Expired,
  ExpireResult,
  Place,
  ScanOptions,
  Seen,
  UndoCheck,
  UndoJob,
  UndoResult
} from "./Files.ts"
import type { Staged, StageResult, StepResult } from "./copy.ts"
import type { Batch, Fault } from "./scan.ts"

/** Each operation, with its arguments and its answer. */
export interface Operations {
  /** Opens a scan; the answer is its number. */
  readonly scanOpen: { readonly in: ScanOptions; readonly out: number }
  /** The scan's next batch; null at its end. */
  readonly scanNext: { readonly in: { readonly scan: number }; readonly out: Batch | null }
  readonly scanClose: { readonly in: { readonly scan: number }; readonly out: null }
  readonly look: {
    readonly in: {
      readonly root: string
      readonly paths: ReadonlyArray<string>
      readonly symlinks: Source["symlinks"]
    }
    readonly out: ReadonlyArray<Found | null>
  }
  readonly identity: { readonly in: { readonly directory: string }; readonly out: string }
  readonly copyAll: { readonly in: { readonly jobs: ReadonlyArray<CopyJob> }; readonly out: ReadonlyArray<CopyResult> }
  readonly stage: { readonly in: { readonly job: CopyJob }; readonly out: StageResult }
  /** All of `stage` but the copying; null where there is a need of that. */
  readonly prepare: { readonly in: { readonly job: CopyJob }; readonly out: StageResult | null }
  readonly step: {
    readonly in: { readonly job: CopyJob; readonly offset: number; readonly length: number }
    readonly out: StepResult
  }
  readonly hash: {
    readonly in: { readonly root: string; readonly path: string; readonly stamp: string }
    readonly out: string | null
  }
  readonly publish: {
    readonly in: { readonly job: CopyJob; readonly staged: Staged }
    readonly out: CopyResult
  }
  readonly recover: { readonly in: { readonly job: CopyJob }; readonly out: Receipt | null }
  readonly discard: { readonly in: { readonly job: CopyJob }; readonly out: CopyFault | null }
  readonly examine: { readonly in: { readonly places: ReadonlyArray<Place> }; readonly out: ReadonlyArray<Seen | null> }
  readonly remove: { readonly in: { readonly job: DisposeJob }; readonly out: DisposeResult }
  readonly archive: { readonly in: { readonly job: DisposeJob; readonly to: string }; readonly out: DisposeResult }
  readonly expire: { readonly in: { readonly file: Expired; readonly sync: boolean }; readonly out: ExpireResult }
  readonly checkUndo: { readonly in: { readonly job: UndoJob }; readonly out: UndoCheck }
  readonly undo: { readonly in: { readonly job: UndoJob }; readonly out: UndoResult }
}

export type Operation = keyof Operations

export type Request = {
  [Name in Operation]: { readonly id: number; readonly operation: Name; readonly input: Operations[Name]["in"] }
}[Operation]

export type Reply = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly fault: Fault }
