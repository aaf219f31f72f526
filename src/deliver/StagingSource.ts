/**
 * A source file as staging sends it.
 */
import { Readable } from "node:stream"
import { Effect, Option } from "effect"
import type { DeliveryError } from "../domain/DeliveryError.ts"
import type * as SourceReader from "./SourceReader.ts"

/** What is sent: from memory where it is small, which saves as many hops to the disk as the network takes. */
export interface Source extends Pick<SourceReader.SourceReader, "size" | "failure" | "finish"> {
  readonly content: Uint8Array | undefined
  readonly body: () => Readable
  /** Takes back the memory of a chunk of the body. */
  readonly giveBack?: (chunk: Uint8Array) => void
  readonly skip: (bytes: number) => Effect.Effect<unknown, DeliveryError>
  /** Where all of it was skipped. */
  readonly end: Effect.Effect<unknown, DeliveryError>
}

/** `drains` as {@link SourceReader.SourceReader.stream} has it. */
export const onDisk = (reader: SourceReader.SourceReader, flow: SourceReader.Flow, drains: boolean): Source => {
  let body: Readable | undefined
  const lent: Array<Uint8Array> = []
  return {
    size: reader.size,
    failure: reader.failure,
    finish: reader.finish,
    content: undefined,
    body: () => (body ??= reader.stream({ ...flow, drains, lent })),
    giveBack: (chunk) => void lent.push(chunk),
    skip: (bytes) => reader.skip(bytes, flow),
    end: Effect.suspend(() => reader.read(0, flow))
  }
}

export const inMemory = ({
  content,
  sent
}: {
  readonly content: Uint8Array
  readonly sent: SourceReader.Sent
}): Source => {
  let body: Readable | undefined
  return {
    size: content.byteLength,
    failure: Option.none,
    finish: Effect.succeed(sent),
    content,
    body: () => (body ??= Readable.from(content.byteLength === 0 ? [] : [content], { objectMode: false })),
    skip: () => Effect.void,
    end: Effect.void
  }
}
