import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { vi } from "vitest"
import { hasOpenssh, startOpenssh } from "../servers/openssh.ts"
import { hasVsftpd, startVsftpd } from "../servers/vsftpd.ts"
import { long, seed } from "./report.ts"
import { emptyJournal, type Scenario } from "./steps.ts"
import { killEverywhere } from "./stepsRun.ts"
import { noStrace } from "./strace.ts"

vi.setConfig({ testTimeout: long ? 3_600_000 : 600_000 })

const bytes = (name: string, size: number): [string, Buffer] => [name, Buffer.alloc(size, `what is in ${name} `)]

const scenarioAt = (
  root: string,
  options: Pick<Scenario, "what" | "kind" | "folders" | "becomes" | "adopts" | "source">
): Scenario => ({
  ...options,
  // large enough to be gone on with
  files: new Map([bytes("a.bin", 9_000_000)]),
  outside: (directory) => join(root, directory),
  result: (name, directory) => join(root, directory, name),
  journal: "some"
})

const shown = (what: string, why: string | undefined): string => (why === undefined ? what : `${what}: ${why}`)

describe(`killed at every step of an upload, and started again (seed ${seed})`, () => {
  const noFtp = noStrace ?? (hasVsftpd ? undefined : "no vsftpd, or not root")
  it.scopedLive.skipIf(noFtp !== undefined)(shown("FTP", noFtp), () =>
    Effect.gen(function* () {
      const server = yield* startVsftpd
      const { order } = yield* killEverywhere(
        scenarioAt(join(server.root, "upload"), {
          what: "an upload to vsftpd under a name that was chosen, which overwrites nothing",
          folders: [`{ path: "${server.url}/upload$DIR", conflict: rename, concurrency: 1 }`],
          becomes: "kept",
          adopts: true
        }),
        yield* emptyJournal
      )
      expect(order.broken).toEqual([])
      expect(order.checks).toBeGreaterThan(0)
    })
  )

  const noSftp = noStrace ?? (hasOpenssh ? undefined : "no OpenSSH server")
  it.scopedLive.skipIf(noSftp !== undefined)(shown("SFTP", noSftp), () =>
    Effect.gen(function* () {
      const { key, knownHosts, port, root, user } = yield* startOpenssh()
      const { order } = yield* killEverywhere(
        scenarioAt(root, {
          what: "an upload to OpenSSH, after which the source is deleted",
          source: "after: delete",
          folders: [
            `{ path: "sftp://${user}@127.0.0.1:${port}${root}$DIR", key: "${key}", knownHosts: "${knownHosts}", concurrency: 1 }`
          ],
          becomes: "deleted",
          // under `overwrite` it is sent again over itself
          adopts: false
        }),
        yield* emptyJournal
      )
      expect(order.broken).toEqual([])
      expect(order.checks).toBeGreaterThan(0)
    })
  )
})
