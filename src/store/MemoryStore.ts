/**
 * What the journal in memory holds: for tests, and for an embedding app that needs no durability.
 */
import { Context, Layer } from "effect"
import type { Attempt, Delivery, DeliveryId } from "../domain/Delivery.ts"
import type { Generation, GenerationId } from "../domain/Generation.ts"
import type { RelPath } from "../domain/RelPath.ts"
import type { Moved } from "../files/Files.ts"
import type { Archived } from "./Journal.ts"
import type { GenerationState } from "./UndoRepo.ts"

export interface StoredGeneration {
  generation: Generation
  readonly wanted: number
  readonly ruleset: string
  state: GenerationState
  note: string | null
  /** Where it was found, once it was moved. */
  origin: { readonly source: string; readonly path: RelPath } | null
  /** Where it was archived. */
  archived?: Moved | null
  updated: number
}

/** What a delivery has beside what everybody sees of it. */
export interface Extra {
  readonly rank: number
  /** The rules by which it was routed, where they are others than its generation's. */
  readonly ruleset: string | null
  /** The delivery that goes instead of it. */
  anew: DeliveryId | null
  /** Its file was not there, or was another. */
  lost?: boolean
}

/** What both in-memory services look at. */
export class MemoryStore extends Context.Tag("filedispatch/store/MemoryStore")<
  MemoryStore,
  {
    readonly generations: Map<GenerationId, StoredGeneration>
    readonly deliveries: Map<DeliveryId, Delivery>
    readonly extras: Map<DeliveryId, Extra>
    readonly attempts: Array<Attempt>
    readonly counters: Map<string, number>
    readonly rulesets: Map<string, string>
    readonly archives: Map<GenerationId, Archived>
    last: number
  }
>() {}

export const layer = Layer.sync(MemoryStore, () => ({
  generations: new Map<GenerationId, StoredGeneration>(),
  deliveries: new Map<DeliveryId, Delivery>(),
  extras: new Map<DeliveryId, Extra>(),
  attempts: [],
  counters: new Map<string, number>(),
  rulesets: new Map<string, string>(),
  archives: new Map<GenerationId, Archived>(),
  last: 0
}))
