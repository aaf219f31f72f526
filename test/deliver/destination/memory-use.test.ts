/**
 * An upload takes the same memory whatever the size of the file: 1 GiB to servers in another process that count and
 * forget, while this process is watched.
 */
import { fork, type ChildProcess } from "node:child_process"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Ftp from "../../../src/deliver/destination/Ftp.ts"
import * as Http from "../../../src/deliver/destination/Http.ts"
import * as WebDav from "../../../src/deliver/destination/WebDav.ts"
import type { Destination } from "../../../src/deliver/Destination.ts"
import type { Target } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, targetOptions } from "../../contracts/destination.ts"
import { noSecrets, unlimited } from "../../../src/domain/Settings.ts"

const gib = 1024 * 1024 * 1024

/** A server that reads everything, slowly enough for a missing back-pressure to be seen. */
const startSink = (kind: "http" | "ftp" | "webdav") =>
  Effect.acquireRelease(
    Effect.async<{ readonly child: ChildProcess; readonly port: number }>((resume) => {
      const child = fork(new URL("../../servers/sink.mjs", import.meta.url), [kind], { execArgv: [] })
      child.once("message", (port) => resume(Effect.succeed({ child, port: Number(port) })))
    }),
    ({ child }) => Effect.sync(() => child.kill())
  )

const subjects: ReadonlyArray<
  readonly [string, "http" | "ftp" | "webdav", Partial<Target["options"]>, Effect.Effect<Destination>]
> = [
  ["http, as a form", "http", { upload: "multipart" }, Http.make()],
  ["http, the bare body", "http", { upload: "raw" }, Http.make()],
  ["ftp", "ftp", {}, Ftp.make()],
  ["webdav", "webdav", {}, WebDav.make()]
]

it.scopedLive.each(subjects)(
  "1 GiB over %s stays below 100 MiB",
  ([, scheme, options, make]) =>
    Effect.gen(function* () {
      const { port } = yield* startSink(scheme)
      const source = yield* makeSource
      const { generation } = yield* source.sparse("large.bin", gib)
      const connection = yield* (yield* make).open("lane", { concurrency: 4, sync: false })
      const before = process.memoryUsage().rss
      let most = before
      const watch = setInterval(() => {
        most = Math.max(most, process.memoryUsage().rss)
      }, 20)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(watch)))
      const receipt = yield* connection.deliver(
        makeTask(generation, {
          target: {
            url: `${scheme}://127.0.0.1:${port}`,
            scheme,
            lane: "lane",
            host: "127.0.0.1",
            port,
            username: null,
            path: "/",
            options: targetOptions({ ...options, timeout: 60_000 })
          },
          secrets: noSecrets,
          bandwidth: unlimited,
          rename: "{relpath}"
        })
      )
      expect(receipt.bytes).toBe(gib)
      expect(most - before).toBeLessThan(100 * 1024 * 1024)
    }),
  120_000
)
