/** A folder of a source that is taken away while its files are being sent, and put back as it was. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import * as Process from "../cli/process.ts"
import { list, project } from "../e2e/project.ts"
import { tried } from "./report.ts"

for (const after of ["keep", "delete"] as const) {
  it.scopedLive(`files that are gone for a moment are delivered when they are back (after: ${after})`, () =>
    Effect.gen(function* () {
      const { directory, inbox, log, once, start } = yield* project(
        "sources:",
        `  - { path: ./in, recursive: true, settle: 0s, after: ${after}, rescan: 1s }`,
        "folders:",
        '  - { path: ./out, bandwidth: 2MiB/s, concurrency: 2, conflict: overwrite, rename: "{relpath}" }',
        "db: ./journal.db"
      )
      const folder = join(inbox, "folder")
      const away = join(directory, "away")
      const names = Array.from({ length: 12 }, (_, index) => `folder/f${index}`).toSorted()
      fs.mkdirSync(folder)
      for (const [index, name] of names.entries())
        fs.writeFileSync(join(inbox, name), Buffer.alloc(300_000, `${index}`))

      const running = yield* start()
      yield* Process.until(
        () => list(join(directory, "out")).length > 2,
        () => `nothing arrives: ${running.stderr()}`
      )
      fs.renameSync(folder, away)
      yield* Process.until(
        () => log().some((line) => line.startsWith("FAILED")),
        () => `nobody noticed: ${running.stderr()}`
      )
      fs.renameSync(away, folder)
      const whole = () => list(join(directory, "out")).filter((name) => !name.includes(".fd-"))
      yield* Process.until(
        () => whole().length === names.length,
        () => `${whole().join(" ")} alone arrived: ${running.stderr()}`
      )
      yield* running.kill("SIGTERM")
      yield* running.ended
      const ended = yield* once
      expect(ended.code, ended.stderr).toBe(0)
      expect(list(join(directory, "out"))).toEqual(names)
      const wrong = names.filter(
        (name, index) => !fs.readFileSync(join(directory, "out", name)).equals(Buffer.alloc(300_000, `${index}`))
      )
      expect(wrong).toEqual([])
      expect(list(inbox)).toEqual(after === "keep" ? names : [])
      const failed = log().filter((line) => line.startsWith("FAILED")).length
      tried({
        section: "files",
        what: `a folder is taken out of the source while its files are sent, and put back as it was (after: ${after})`,
        happened: `${failed} were given up while it was gone; all ${names.length} arrived once it was back`,
        counts: { files: names.length, lost: 0, duplicates: 0, partial: 0 }
      })
    })
  )
}
