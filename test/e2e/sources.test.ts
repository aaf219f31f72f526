/** What a source may ask of its files before they are taken, with the built program. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { list, project } from "./project.ts"

vi.setConfig({ testTimeout: 120_000 })

const head = ["db: ./journal.db", "monitor: false"]

const until = (running: Process.Running, condition: () => boolean) => Process.until(condition, () => running.stderr())

describe("a source", () => {
  it.scopedLive("waits for the marker of each file, and takes it away with the file", () =>
    Effect.gen(function* () {
      const place = yield* project(
        ...head,
        "sources: [{ path: ./in, settle: 0s, marker: '{name}.done', after: delete, recursive: true }]",
        "folders: [{ path: ./out }]"
      )
      fs.mkdirSync(join(place.inbox, "deep"))
      place.put("early.done", "")
      const running = yield* place.start()
      place.put("early", "1")
      place.put("late", "2")
      place.put("inner", "3", join(place.inbox, "deep"))
      yield* until(running, () => place.log().length === 1)
      place.put("late.done", "")
      place.put("inner.done", "", join(place.inbox, "deep"))
      yield* until(running, () => place.log().length === 3)
      yield* until(running, () => list(place.inbox).length === 0)
      expect(list(join(place.directory, "out"))).toEqual(["deep/inner", "early", "late"])
    })
  )

  it.scopedLive("takes a file when it is old enough, and not with the next scan", () =>
    Effect.gen(function* () {
      const place = yield* project(
        ...head,
        "sources: [{ path: ./in, settle: 0s, minAge: 3s, rescan: 1h }]",
        "folders:",
        "  - { name: all, path: ./out, extensions: [txt] }",
        "  - { name: old, path: ./old, extensions: [log], match: { age: { min: 4s } } }"
      )
      const running = yield* place.start()
      const began = Date.now()
      place.put("a.txt", "a")
      place.put("b.log", "b")
      yield* until(running, () => place.log().length === 1)
      expect(Date.now() - began).toBeGreaterThan(2500)
      yield* until(running, () => place.log().length === 2)
      expect(Date.now() - began).toBeGreaterThan(3500)
      expect(list(join(place.directory, "out"))).toEqual(["a.txt"])
      expect(list(join(place.directory, "old"))).toEqual(["b.log"])
    })
  )

  it.scopedLive("leaves with --once what is to wait, and says so", () =>
    Effect.gen(function* () {
      const place = yield* project(
        ...head,
        "sources: [{ path: ./in, settle: 0s, marker: '{name}.done' }]",
        "folders: [{ path: ./out }]"
      )
      place.put("a", "a")
      place.put("b", "b")
      place.put("b.done", "")
      const ended = yield* place.once
      expect(ended.code, ended.stderr).toBe(0)
      expect(ended.stderr).toContain("1 not taken yet")
      expect(list(join(place.directory, "out"))).toEqual(["b"])
    })
  )

  it.scopedLive("follows links to its own files, removes the links alone, and sends nothing from elsewhere", () =>
    Effect.gen(function* () {
      const place = yield* project(
        ...head,
        "sources: [{ path: ./in, settle: 0s, symlinks: follow, after: delete, recursive: true, exclude: ['store/**'] }]",
        "folders: [{ path: ./out }]"
      )
      fs.mkdirSync(join(place.inbox, "store"))
      fs.writeFileSync(join(place.inbox, "store/a"), "a")
      fs.writeFileSync(join(place.inbox, "store/large"), Buffer.alloc(9 * 1024 * 1024, 7))
      fs.writeFileSync(join(place.directory, "secret"), "secret")
      fs.symlinkSync("../secret", join(place.inbox, "out-of-it"))
      fs.symlinkSync("store/a", join(place.inbox, "one"))
      fs.symlinkSync("store/large", join(place.inbox, "large"))
      const running = yield* place.start()
      fs.symlinkSync("store/a", join(place.inbox, "two"))
      const expected = ["large", "one", "two"]
      yield* until(running, () => place.log().length === expected.length)
      yield* until(running, () => list(place.inbox).length === 3)
      expect(list(join(place.directory, "out"))).toEqual(expected)
      expect(fs.readFileSync(join(place.directory, "out/two"), "utf8")).toBe("a")
      expect(fs.lstatSync(join(place.directory, "out/large")).size).toBe(9 * 1024 * 1024)
      expect(list(place.inbox)).toEqual(["out-of-it", "store/a", "store/large"])
    })
  )

  it.scopedLive("goes its own way beside another that overlaps it", () =>
    Effect.gen(function* () {
      const place = yield* project(
        ...head,
        "sources:",
        "  - { path: ./in, name: texts, settle: 0s, recursive: true, include: ['**/*.txt'] }",
        "  - { path: ./in/deep, name: deep, settle: 0s, exclude: ['*.txt'] }",
        "folders: [{ path: './out/{source}' }]"
      )
      fs.mkdirSync(join(place.inbox, "deep"))
      const running = yield* place.start()
      place.put("a.txt", "a", join(place.inbox, "deep"))
      place.put("a.pdf", "b", join(place.inbox, "deep"))
      yield* until(running, () => place.log().length === 2)
      expect(list(join(place.directory, "out"))).toEqual(["deep/a.pdf", "texts/deep/a.txt"])
    })
  )
})
