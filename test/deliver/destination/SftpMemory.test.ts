/** An upload takes the same memory whatever the size of the file. */
import { rmSync } from "node:fs"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Sftp from "../../../src/deliver/destination/Sftp.ts"
import { noSecrets, unlimited } from "../../../src/domain/Settings.ts"
import { makeSource, makeTask, targetOptions } from "../../contracts/destination.ts"
import { hasOpenssh, startOpenssh } from "../../servers/openssh.ts"

const gib = 1024 * 1024 * 1024

it.scopedLive.skipIf(!hasOpenssh)(
  "1 GiB over sftp stays below 100 MiB",
  () =>
    Effect.gen(function* () {
      const server = yield* startOpenssh()
      const source = yield* makeSource
      const { generation } = yield* source.sparse("large.bin", gib)
      const connection = yield* (yield* Sftp.make()).open("lane", { concurrency: 4, sync: false })
      const before = process.memoryUsage().rss
      let most = before
      const watch = setInterval(() => {
        most = Math.max(most, process.memoryUsage().rss)
      }, 20)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(watch)))
      const target = {
        url: `sftp://127.0.0.1:${server.port}`,
        scheme: "sftp",
        lane: "lane",
        host: "127.0.0.1",
        port: server.port,
        username: server.user,
        path: server.root,
        options: targetOptions({ key: server.key, knownHosts: server.knownHosts, timeout: 60_000 })
      }
      const receipt = yield* connection.deliver(
        makeTask(generation, { target, secrets: noSecrets, bandwidth: unlimited, rename: "{relpath}" })
      )
      expect(receipt.bytes).toBe(gib)
      expect(most - before).toBeLessThan(100 * 1024 * 1024)
      rmSync(`${server.root}/large.bin`)
    }),
  120_000
)
