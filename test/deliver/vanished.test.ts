/** Files that were to be kept, and that somebody has removed. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { GenerationId, stamp, type Generation } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Vanished from "../../src/deliver/Vanished.ts"
import { FilesError } from "../../src/files/Files.ts"
import * as Scan from "../../src/files/scan.ts"
import * as Process from "../cli/process.ts"

/** The real file system, and a journal of these generations in two pages. */
const sweep = (pages: ReadonlyArray<ReadonlyArray<Generation>>) =>
  Effect.gen(function* () {
    const gone: Array<string> = []
    const byId = new Map(pages.flat().map((one) => [one.id, one.path]))
    const count = yield* Vanished.sweep(
      {
        look: (root, paths, symlinks) => Effect.sync(() => Scan.look(root, paths, symlinks)),
        identity: (directory) =>
          Effect.try({
            try: () => Scan.identity(directory),
            catch: () => new FilesError({ ...missing, path: directory })
          })
      },
      {
        aged: (_, after) =>
          Effect.succeed({ generations: pages[after] ?? [], next: after + 1 < pages.length ? after + 1 : null }),
        disposed: (batch) => Effect.sync(() => void gone.push(...batch.map(({ id }) => byId.get(id) ?? "?")))
      },
      1000
    )
    expect(count).toBe(gone.length)
    return gone
  })

const missing = { operation: "read", code: "ENOENT", reason: "it does not exist" } as const

let lastId = 0
const generationOf = (source: string, path: string, change: (text: string) => string = (text) => text): Generation => ({
  id: GenerationId.make(++lastId),
  source,
  path: RelPath.make(path),
  stamp: stampOf(change, join(source, path)),
  size: 1,
  mtime: 0,
  born: 0,
  after: { _tag: "Keep" },
  onDead: null,
  marker: null
})
const stampOf = (change: (text: string) => string, path: string) => {
  const real = fs.statSync(path, { bigint: true })
  return stamp({ ...real, dev: BigInt(change(String(real.dev))) })
}

describe("files that were to be kept", () => {
  it.scoped("are gone where neither they nor another disk are there", () =>
    Effect.gen(function* () {
      const source = yield* Process.directory
      fs.mkdirSync(join(source, "folder", "deep"), { recursive: true })
      for (const name of ["here", "removed", "folder/deep/removed", "elsewhere", "folder/unmounted"]) {
        fs.writeFileSync(join(source, name), "x")
      }
      fs.writeFileSync(join(source, "linked to"), "x")
      fs.symlinkSync("linked to", join(source, "link"))
      const otherDisk = (device: string) => `${device}1`
      const pages = [
        [generationOf(source, "here"), generationOf(source, "removed"), generationOf(source, "link")],
        [
          generationOf(source, "folder/deep/removed"),
          generationOf(source, "elsewhere", otherDisk),
          generationOf(source, "folder/unmounted", otherDisk)
        ]
      ]
      fs.rmSync(join(source, "removed"))
      fs.rmSync(join(source, "elsewhere"))
      fs.rmSync(join(source, "folder"), { recursive: true })
      expect(yield* sweep(pages)).toEqual(["removed", "folder/deep/removed"])
    })
  )

  it.scoped("are not gone where their source is not there", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const source = join(directory, "source")
      fs.mkdirSync(source)
      fs.writeFileSync(join(source, "a"), "x")
      const pages = [[generationOf(source, "a")]]
      fs.rmSync(source, { recursive: true })
      expect(yield* sweep(pages)).toEqual([])
    })
  )
})
