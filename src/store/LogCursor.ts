/**
 * Where a page of the log ended: opaque to those who pass it back, and checked when it comes.
 */
import { Option, Schema } from "effect"
import type { LogOrder } from "./LogRepo.ts"

/** The sort key and the running number of a page's last entry. */
export const LogCursor = Schema.Union(
  Schema.Tuple(Schema.Literal("created", "-created"), Schema.String.pipe(Schema.maxLength(40)), Schema.NonNegativeInt),
  Schema.Tuple(Schema.Literal("byte_size", "-byte_size"), Schema.Number, Schema.NonNegativeInt)
)
export type LogCursor = typeof LogCursor.Type

const Wire = Schema.compose(Schema.StringFromBase64Url, Schema.parseJson(LogCursor))
const encodeWire = Schema.encodeSync(Wire)
const decodeWire = Schema.decodeOption(Wire)

export const encode = (order: LogOrder, last: { readonly created: string; readonly byte_size: number }, seq: number) =>
  encodeWire(order === "created" || order === "-created" ? [order, last.created, seq] : [order, last.byte_size, seq])

/** None for what is not a cursor of this order. */
export const decode = (order: LogOrder, text: string): Option.Option<LogCursor> =>
  Option.filter(decodeWire(text), (cursor) => cursor[0] === order)
