/**
 * File systems that are taken away and come back while the program runs, or between two runs.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import * as Machine from "./machine.ts"
import { list, noDisks, project } from "./machine.ts"
import { tried } from "./report.ts"

vi.setConfig({ maxConcurrency: 3 })

const none = { lost: 0, partial: 0, duplicates: 0, temps: 0 }

describe.skipIf(noDisks !== undefined).concurrent(noDisks === undefined ? "mounts" : `mounts (${noDisks})`, () => {
  it.scopedLive("a source that is unmounted and comes back: what was there is not sent again, what is new is", () =>
    Effect.gen(function* () {
      const at = yield* project(
        "sources: [{ path: ./in, settle: 20ms, pollInterval: 200ms, recursive: true }]",
        "folders: [{ path: ./out, conflict: rename }]",
        "db: ./journal.db"
      )
      const { directory, inbox } = at
      const disk = yield* Machine.disk(inbox, "size=8m")
      const contents = new Map<string, Uint8Array>()
      const running = yield* Machine.watching(at)
      Machine.putAll(inbox, contents, "before", 20)
      yield* Machine.delivered(running, at, contents.size)
      for (let round = 0; round < 3; round++) {
        disk.detach()
        // an empty directory stands in its place
        expect(list(inbox)).toEqual([])
        yield* Machine.calm(running, 1)
        disk.attach()
        Machine.putAll(inbox, contents, `round${round}-`, 10)
        yield* Machine.delivered(running, at, contents.size)
      }
      yield* Machine.stop(running)
      Machine.holds(join(directory, "out"), contents)
      Machine.loggedOnce(at, contents)
      tried({
        section: "fault",
        what: "a source unmounted and mounted again, three times, under `conflict: rename`",
        happened: `${contents.size} files, each there once; an empty mount point is no reason to forget any`,
        counts: { files: contents.size, ...none }
      })
    })
  )

  it.scopedLive("a source that comes back under another device number is known again", () =>
    Effect.gen(function* () {
      const at = yield* project(
        "sources: [{ path: ./in, settle: 20ms, pollInterval: 200ms }]",
        "folders: [{ path: ./out, conflict: rename }]",
        "db: ./journal.db"
      )
      const { directory, inbox } = at
      const lower = join(directory, "lower")
      fs.mkdirSync(lower)
      fs.mkdirSync(join(directory, "nothing"))
      const mount = () =>
        execFileSync("mount", [
          "-t",
          "overlay",
          "overlay",
          "-o",
          `lowerdir=${lower}:${join(directory, "nothing")}`,
          inbox
        ])
      const contents = new Map<string, Uint8Array>()
      const devices = new Set<number>()
      for (let round = 0; round < 3; round++) {
        Machine.putAll(lower, contents, `round${round}-`, 10)
        // takes the number that was free
        yield* Machine.disk(join(directory, `other${round}`), "size=1m")
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Effect.acquireRelease(Effect.sync(mount), () =>
              Effect.sync(() => execFileSync("umount", ["-l", inbox]))
            )
            devices.add(fs.statSync(join(inbox, "round0-0")).dev)
            const ended = yield* at.once
            expect(ended.code, ended.stderr).toBe(0)
          })
        )
      }
      expect(devices.size).toBeGreaterThan(1)
      Machine.holds(join(directory, "out"), contents)
      Machine.loggedOnce(at, contents)
      tried({
        section: "fault",
        what: `a source mounted under ${devices.size} device numbers in turn, under \`conflict: rename\``,
        happened: `${contents.size} files, each sent once`,
        counts: { files: contents.size, ...none }
      })
    })
  )

  it.scopedLive("a target that is unmounted: nothing is written where it was, and it goes on when it is back", () =>
    Effect.gen(function* () {
      const at = yield* project(
        "sources: [{ path: ./in, settle: 20ms, after: delete }]",
        "folders: [{ path: ./nas/share }]",
        "db: ./journal.db"
      )
      const { directory, inbox } = at
      const disk = yield* Machine.disk(join(directory, "nas"), "size=64m")
      const contents = new Map<string, Uint8Array>()
      const running = yield* Machine.watching(at)
      Machine.putAll(inbox, contents, "before", 5)
      yield* Machine.delivered(running, at, contents.size)
      disk.detach()
      Machine.putAll(inbox, contents, "small", 20)
      Machine.putAll(inbox, contents, "large", 2, () => 9_000_000)
      yield* Machine.says(
        running,
        /WARN .*is down: Can't write \S+nas\/share: the file system \S+nas is not mounted: mount it again/
      )
      const share = yield* Machine.calm(running)
      expect(fs.readdirSync(join(directory, "nas"))).toEqual([])
      expect(list(inbox).length).toBe(22)
      // the same over a restart: what was accepted for that file system waits for it
      yield* Machine.stop(running)
      const again = yield* Machine.starting(at)
      yield* Machine.says(again, /WARN .*is down: .*not mounted/)
      expect(fs.readdirSync(join(directory, "nas"))).toEqual([])
      disk.attach()
      yield* Machine.delivered(again, at, contents.size)
      yield* Process.until(
        () => list(inbox).length === 0,
        () => again.stderr()
      )
      yield* Machine.stop(again)
      Machine.holds(join(directory, "nas", "share"), contents)
      Machine.loggedOnce(at, contents)
      tried({
        section: "fault",
        what: "a target unmounted, also over a restart, and mounted again",
        happened: `its lane waits and says so, nothing is written under the mount point; ${contents.size} files, each there once; ${Math.round(share * 100)} % of a processor meanwhile`,
        counts: { files: contents.size, ...none }
      })
    })
  )
})
