import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Finding } from "../../../src/deliver/Destination.ts"
import { probe } from "../../../src/deliver/destination/LocalProbe.ts"
import { noSecrets } from "../../../src/domain/Settings.ts"
import { tempName } from "../../../src/files/names.ts"
import { makeSource, targetOptions } from "../../contracts/destination.ts"

const probeOf = (path: string) =>
  probe({
    target: {
      url: path,
      scheme: "file",
      lane: "file:/",
      host: "",
      port: null,
      username: null,
      path,
      options: targetOptions()
    },
    secrets: noSecrets,
    temp: tempName("a probe of this test")
  })

const states = (findings: ReadonlyArray<Finding>) =>
  Object.fromEntries(findings.map(({ state, what }) => [what, state]))

const folder = Effect.map(makeSource, ({ source }) => source)

describe("the probe of a local folder", () => {
  it.scopedLive("finds out what can be done, and leaves nothing", () =>
    Effect.gen(function* () {
      const path = yield* folder
      writeFileSync(join(path, "other"), "a stranger's")
      const findings = yield* probeOf(path)
      const { identity, space, ...rest } = states(findings)
      expect(rest).toEqual({
        folder: "yes",
        writable: "yes",
        rename: "yes",
        verification: "yes",
        mtime: "yes",
        case: "yes",
        names: "yes"
      })
      expect(space).not.toBe("no")
      if (process.platform === "linux") {
        expect(identity).toBe("yes")
        expect(findings.find(({ what }) => what === "identity")?.found).toMatch(/^File system \S+, mounted at \/.*\.$/)
      }
      expect(readdirSync(path)).toEqual(["other"])
    })
  )

  it.scopedLive("a folder that is not there yet is tried above, and not made", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const findings = yield* probeOf(join(path, "a", "b"))
      expect(findings.find(({ what }) => what === "folder")).toMatchObject({
        state: "yes",
        found: expect.stringContaining(`${path} is.`)
      })
      expect(states(findings)).toMatchObject({ writable: "yes" })
      expect(existsSync(join(path, "a"))).toBe(false)
    })
  )

  it.scopedLive("a file in the way", () =>
    Effect.gen(function* () {
      const path = yield* folder
      writeFileSync(join(path, "a"), "")
      for (const below of ["a", "a/b/c"]) {
        const findings = yield* probeOf(join(path, below))
        expect(findings).toHaveLength(1)
        expect(findings[0]).toMatchObject({ what: "folder", state: "no" })
        expect(findings[0]?.found).toContain(`${join(path, "a")} is a file`)
      }
    })
  )

  // for root nothing is read-only
  it.scopedLive.skipIf(process.getuid?.() === 0)("a folder that may not be written", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "closed")
      mkdirSync(path)
      yield* Effect.acquireRelease(
        Effect.sync(() => chmodSync(path, 0o500)),
        () => Effect.sync(() => chmodSync(path, 0o700))
      )
      const findings = yield* probeOf(path)
      expect(findings.at(-1)).toMatchObject({ what: "writable", state: "no" })
    })
  )

  it.scopedLive.skipIf(!existsSync("/proc/self"))("a file system that takes no files", () =>
    Effect.gen(function* () {
      const findings = yield* probeOf("/proc/self")
      expect(findings.at(-1)).toMatchObject({ what: "writable", state: "no" })
    })
  )
})
