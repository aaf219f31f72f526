/**
 * An upload in parts takes the same memory whatever the size of the file and however slow the server, which is in
 * another process; several at once share what there is.
 */
import { fork, type ChildProcess } from "node:child_process"
import { expect, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import * as S3 from "../../../src/deliver/destination/S3.ts"
import { noSecrets, unlimited } from "../../../src/domain/Settings.ts"
import { makeSource, makeTask, targetOptions } from "../../contracts/destination.ts"

const mib = 1024 * 1024

const startSink = Effect.acquireRelease(
  Effect.async<{ readonly child: ChildProcess; readonly port: number }>((resume) => {
    const child = fork(new URL("../../servers/s3sink.mjs", import.meta.url), { execArgv: [] })
    child.once("message", (port) => resume(Effect.succeed({ child, port: Number(port) })))
  }),
  ({ child }) => Effect.sync(() => child.kill())
)

const subjects: ReadonlyArray<readonly [string, number, number, number | null]> = [
  ["1 GiB in one file", 1, 1024 * mib, null],
  ["four files of 128 MiB at once", 4, 128 * mib, null],
  ["512 MiB in parts that are too large to be held", 1, 512 * mib, 128 * mib]
]

it.scopedLive.each(subjects)(
  "%s stays below 150 MiB",
  ([, count, size, partSize]) =>
    Effect.gen(function* () {
      const { port } = yield* startSink
      const source = yield* makeSource
      const files = yield* Effect.forEach(
        Array.from({ length: count }, (_, index) => `${index}.bin`),
        (name) => source.sparse(name, size)
      )
      const destination = yield* S3.make({ environment: {} })
      const connection = yield* destination.open("lane", { concurrency: 4, sync: false })
      const before = process.memoryUsage().rss
      let most = before
      const watch = setInterval(() => {
        most = Math.max(most, process.memoryUsage().rss)
      }, 20)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(watch)))
      const receipts = yield* Effect.forEach(
        files,
        ({ generation }) =>
          connection.deliver(
            makeTask(generation, {
              target: {
                url: "s3://key@bucket",
                scheme: "s3",
                lane: "s3://key@bucket",
                host: "bucket",
                port: null,
                username: "key",
                path: "/",
                options: targetOptions({
                  endpoint: `http://127.0.0.1:${port}`,
                  timeout: 60_000,
                  partSize
                })
              },
              secrets: { ...noSecrets, password: Option.some(Redacted.make("secret")) },
              bandwidth: unlimited,
              rename: "{relpath}"
            })
          ),
        { concurrency: "unbounded" }
      )
      expect(receipts.map(({ bytes }) => bytes)).toEqual(files.map(() => size))
      expect((most - before) / mib).toBeLessThan(150)
    }),
  180_000
)
