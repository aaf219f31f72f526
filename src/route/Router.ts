/**
 * The router: which targets a file goes to, and why.
 */
import type { Settings, Source } from "../domain/Settings.ts"
import type { Placement } from "../domain/Target.ts"
import type { RelPath } from "../domain/RelPath.ts"

export interface Router {
  /** A digest of all that decides where a file goes. */
  readonly ruleset: string
  /** Where a file of this source goes; empty where no route wants it. */
  readonly route: (source: Source, path: RelPath) => ReadonlyArray<Placement & { readonly route: string }>
}

export declare const compile: (settings: Settings) => Router
