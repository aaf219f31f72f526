/**
 * A server that reads slowly holds up the reading of the file: nothing piles up in this process. The servers are in
 * processes of their own, and forget what they are sent.
 */
import { fork, type ChildProcess } from "node:child_process"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Http from "../../../src/deliver/destination/Http.ts"
import * as Sftp from "../../../src/deliver/destination/Sftp.ts"
import type { Destination } from "../../../src/deliver/Destination.ts"
import { noSecrets, unlimited } from "../../../src/domain/Settings.ts"
import type { Target, TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, targetOptions } from "../../contracts/destination.ts"

const mib = 1024 * 1024

/** Answers what it tells: its port, and its host key's fingerprint where it has one. */
const startSink = (file: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly child: ChildProcess; readonly told: string }>((resume) => {
        const child = fork(new URL(`../../servers/${file}`, import.meta.url), { execArgv: [] })
        child.once("message", (message) => resume(Effect.succeed({ child, told: String(message) })))
      }),
      ({ child }) => Effect.sync(() => child.kill())
    ),
    ({ told }) => {
      const [port = "", fingerprint = ""] = told.split(" ")
      return { port: Number(port), fingerprint }
    }
  )

const target = (scheme: string, port: number, options: Partial<TargetOptions>): Target => ({
  url: `${scheme}://127.0.0.1:${port}/root`,
  scheme,
  lane: "lane",
  host: "127.0.0.1",
  port,
  username: null,
  path: "/root",
  options: targetOptions({ ...options, timeout: 60_000 })
})

interface Sink {
  readonly port: number
  readonly fingerprint: string
}

const sftp = ({ fingerprint, port }: Sink) => target("sftp", port, { hostKey: fingerprint })
const tus = ({ port }: Sink) => target("http", port, { upload: "tus" })

const subjects: ReadonlyArray<
  readonly [string, number, number, string, Effect.Effect<Destination>, (sink: Sink) => Target]
> = [
  ["256 MiB over sftp", 1, 256 * mib, "sshsink.mjs", Sftp.make(), sftp],
  ["four files of 24 MiB over one connection of sftp", 4, 24 * mib, "sshsink.mjs", Sftp.make(), sftp],
  ["256 MiB over tus", 1, 256 * mib, "tussink.mjs", Http.make(), tus]
]

it.scopedLive.each(subjects)("%s to a slow server take less than 100 MiB", ([, count, size, file, make, to]) =>
  Effect.gen(function* () {
    const sink = yield* startSink(file)
    const source = yield* makeSource
    const files = yield* Effect.forEach(
      Array.from({ length: count }, (_, index) => `${index}.bin`),
      (name) => source.sparse(name, size)
    )
    const connection = yield* (yield* make).open("lane", { concurrency: 4, sync: false })
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
          makeTask(generation, { target: to(sink), secrets: noSecrets, bandwidth: unlimited, rename: "{relpath}" })
        ),
      { concurrency: "unbounded" }
    )
    expect(receipts.map(({ bytes }) => bytes)).toEqual(files.map(() => size))
    expect((most - before) / mib).toBeLessThan(100)
  })
)
