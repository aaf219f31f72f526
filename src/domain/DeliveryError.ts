/**
 * Why an attempt at a delivery failed, and what follows from it. A destination says which of these happened; it never
 * retries by itself. Every message says what happened, to which file or place, and what to do.
 */
import { Schema } from "effect"

const common = {
  /** One line for people: what happened and what to do. */
  reason: Schema.String,
  cause: Schema.optionalWith(Schema.Defect, { as: "Option" })
}

const message = (error: { readonly reason: string }): string => error.reason

/** Worth another attempt: a cut connection, a 503, a busy file. Costs an attempt. */
export class TransientError extends Schema.TaggedError<TransientError>("filedispatch/TransientError")(
  "TransientError",
  {
    ...common,
    /** Milliseconds that the destination asked for. */
    retryAfter: Schema.optional(Schema.Number),
    /** `false`: it costs no attempt, because it is no matter of this file or its target. */
    counts: Schema.optional(Schema.Boolean)
  }
) {
  override get message() {
    return message(this)
  }
}

/** The destination as a whole is unusable: refused, login denied, disk full, read-only. Costs no attempt. */
export class LaneDownError extends Schema.TaggedError<LaneDownError>("filedispatch/LaneDownError")("LaneDownError", {
  ...common,
  retryAfter: Schema.optional(Schema.Number),
  /** Where connecting has failed, which `doctor` tells apart; where it is left out, the cause is looked at. */
  phase: Schema.optional(Schema.Literal("reachable", "identity", "authenticated"))
}) {
  override get message() {
    return message(this)
  }
}

/**
 * The server takes no more at once ("421 too many connections", a refused channel): the lane makes do with fewer. Costs
 * no attempt.
 */
export class CrowdedError extends Schema.TaggedError<CrowdedError>("filedispatch/CrowdedError")("CrowdedError", {
  ...common,
  retryAfter: Schema.optional(Schema.Number)
}) {
  override get message() {
    return message(this)
  }
}

/** No further attempt can help: a name the target can't take, a 413, a conflict under `fail`. */
export class PermanentError extends Schema.TaggedError<PermanentError>("filedispatch/PermanentError")(
  "PermanentError",
  common
) {
  override get message() {
    return message(this)
  }
}

/** The whole body was sent, no answer came, and sending it again could make a second one. */
export class AmbiguousError extends Schema.TaggedError<AmbiguousError>("filedispatch/AmbiguousError")(
  "AmbiguousError",
  common
) {
  override get message() {
    return message(this)
  }
}

/** The conflict policy says to leave what is at the target: nothing was sent, and the source stays. */
export class SkippedError extends Schema.TaggedError<SkippedError>("filedispatch/SkippedError")(
  "SkippedError",
  common
) {
  override get message() {
    return message(this)
  }
}

/** The source is no longer the generation that was accepted: it goes back to settle as a new one. */
export class SourceChangedError extends Schema.TaggedError<SourceChangedError>("filedispatch/SourceChangedError")(
  "SourceChangedError",
  common
) {
  override get message() {
    return message(this)
  }
}

/** The source file is gone, or can't be read. */
export class SourceGoneError extends Schema.TaggedError<SourceGoneError>("filedispatch/SourceGoneError")(
  "SourceGoneError",
  {
    ...common,
    /** It is there, but may not be read: that it is seen again says nothing new. */
    unreadable: Schema.optionalWith(Schema.Boolean, { default: () => false })
  }
) {
  override get message() {
    return message(this)
  }
}

export type DeliveryError =
  | TransientError
  | LaneDownError
  | CrowdedError
  | PermanentError
  | AmbiguousError
  | SkippedError
  | SourceChangedError
  | SourceGoneError
