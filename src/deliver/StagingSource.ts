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
  readonly skip: (bytes: number) => Effect.Effect<unknown, DeliveryError>
  /** Where all of it was skipped. */
  readonly end: Effect.Effect<unknown, DeliveryError>
}

export const onDisk = (reader: SourceReader.SourceReader, flow: SourceReader.Flow): Source => {
  let body: Readable | undefined
  return {
    size: reader.size,
    failure: reader.failure,
    finish: reader.finish,
    content: undefined,
    body: () => (body ??= reader.stream(flow)),
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
