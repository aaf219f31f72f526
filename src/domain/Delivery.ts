/**
 * A delivery: one generation to one target, the unit of work, durable, with a state.
 */
import { Schema } from "effect"
import { Facts } from "./Facts.ts"
import { Generation } from "./Generation.ts"
import { RelPath } from "./RelPath.ts"
import { Target } from "./Target.ts"

export const DeliveryId = Schema.Int.pipe(Schema.brand("filedispatch/DeliveryId"))
export type DeliveryId = typeof DeliveryId.Type

export const DeliveryState = Schema.Literal(
  "PENDING",
  "SENDING",
  "PUBLISHING",
  "RETRY_WAIT",
  "BLOCKED",
  "DELIVERED",
  "DEAD",
  "SUPERSEDED",
  "AMBIGUOUS",
  "SKIPPED",
  "CANCELLED"
)
export type DeliveryState = typeof DeliveryState.Type

/** From which states a delivery can come into each state. What is not here is a bug. */
export const transitions: { readonly [State in DeliveryState]: ReadonlyArray<DeliveryState> } = {
  PENDING: ["SENDING", "PUBLISHING", "RETRY_WAIT", "BLOCKED", "DEAD", "AMBIGUOUS", "CANCELLED"],
  SENDING: ["PENDING", "RETRY_WAIT", "BLOCKED"],
  PUBLISHING: ["SENDING"],
  RETRY_WAIT: ["SENDING", "PUBLISHING"],
  BLOCKED: ["SENDING", "PUBLISHING"],
  DELIVERED: ["SENDING", "PUBLISHING"],
  DEAD: ["SENDING", "PUBLISHING"],
  AMBIGUOUS: ["SENDING", "PUBLISHING"],
  SKIPPED: ["SENDING", "PUBLISHING"],
  SUPERSEDED: ["PENDING", "SENDING", "PUBLISHING", "RETRY_WAIT", "BLOCKED"],
  CANCELLED: ["PENDING", "RETRY_WAIT", "BLOCKED", "DELIVERED", "DEAD", "AMBIGUOUS"]
}

/** States in which nothing more happens by itself. */
export const concluded: ReadonlyArray<DeliveryState> = [
  "DELIVERED",
  "DEAD",
  "SUPERSEDED",
  "AMBIGUOUS",
  "SKIPPED",
  "CANCELLED"
]

/** States in which a delivery is still owed. */
export const open: ReadonlyArray<DeliveryState> = ["PENDING", "SENDING", "PUBLISHING", "RETRY_WAIT", "BLOCKED"]

/** States in which an attempt is to come. */
export const waiting: ReadonlyArray<DeliveryState> = ["PENDING", "RETRY_WAIT", "BLOCKED"]

/** States in which nothing more is sent, and nothing was delivered: what attempts have left at the target is litter. */
export const givenUp: ReadonlyArray<DeliveryState> = ["DEAD", "SUPERSEDED", "AMBIGUOUS", "SKIPPED", "CANCELLED"]

/** States from which `retry` brings a delivery back. */
export const replayable: ReadonlyArray<DeliveryState> = ["DEAD", "AMBIGUOUS", "SKIPPED", "CANCELLED"]

/** How a finished upload was proved, strongest first. `inode`: the source itself was moved there by a rename. */
export const Verified = Schema.Literal("hash", "inode", "size", "status")
export type Verified = typeof Verified.Type

/** The proof that a delivery happened. */
export const Receipt = Schema.Struct({
  bytes: Schema.Number,
  /** Hex; null where the kernel or a rename moved the data and nobody read it. */
  sha256: Schema.NullOr(Schema.String),
  /** What the destination said, or what was done, in words: "226 Transfer complete", "201 Created", "renamed". */
  said: Schema.String,
  verified: Verified,
  /** The path below the target under which it was published. */
  name: RelPath,
  /** Where the file was transformed on its way: the sha256 of the source file, of which `sha256` is not. */
  sourceSha256: Schema.optionalWith(Schema.String, { exact: true })
})
export interface Receipt extends Schema.Schema.Type<typeof Receipt> {}

/** A delivery with all that an attempt needs. Times in milliseconds since the epoch. */
export const Delivery = Schema.Struct({
  id: DeliveryId,
  generation: Generation,
  route: Schema.String,
  target: Target,
  /** The path below the target's root. */
  name: RelPath,
  /** Higher ones are sent first. */
  priority: Schema.Int,
  /** What was learnt of the file when it was routed; null where nothing was. */
  facts: Schema.NullOr(Facts),
  state: DeliveryState,
  /** Attempts that have failed so far. */
  attempts: Schema.Int,
  /** For RETRY_WAIT: when it is tried again. */
  due: Schema.NullOr(Schema.Number),
  /** Why it is in this state, where that was not a success. */
  reason: Schema.NullOr(Schema.String),
  /** The name that the conflict policy chose, committed before publishing. */
  chosen: Schema.NullOr(RelPath),
  /** What an attempt has begun at the target and has neither finished nor cleared away; the destination's own words. */
  resume: Schema.NullOr(Schema.String),
  /** Whether this is the only target of a file that is to be deleted, so that it may be moved instead of copied. */
  sole: Schema.Boolean,
  /** Whether the process died during an attempt, so that its traces must be looked for first. */
  interrupted: Schema.Boolean,
  receipt: Schema.NullOr(Receipt),
  /** When its file was put back in its source, if it was. One whose result was taken back is CANCELLED then. */
  undone: Schema.optionalWith(Schema.Number, { exact: true }),
  created: Schema.Number,
  updated: Schema.Number
})
export interface Delivery extends Schema.Schema.Type<typeof Delivery> {}

/** One attempt that did not succeed. */
export const Attempt = Schema.Struct({
  delivery: DeliveryId,
  number: Schema.Int,
  started: Schema.Number,
  ended: Schema.Number,
  outcome: DeliveryState,
  reason: Schema.String
})
export interface Attempt extends Schema.Schema.Type<typeof Attempt> {}
