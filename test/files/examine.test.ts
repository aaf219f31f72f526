/**
 * What lies at a place, as it is found by the threads.
 */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import { examine, smallFile } from "../../src/files/examine.ts"
import type { Place } from "../../src/files/Files.ts"
import { fsPath } from "../../src/files/names.ts"
import * as Process from "../cli/process.ts"

const sha256 = (content: string | Uint8Array) => createHash("sha256").update(content).digest("hex")

const setUp = Effect.map(Process.directory, (directory) => ({
  at: (name: string, hashed: number | null = 5): Place => ({ path: `${directory}/${name}`, hashed }),
  put: (name: string, content: string | Uint8Array) => fs.writeFileSync(fsPath(`${directory}/${name}`), content),
  directory
}))

it.scopedLive("tells size and hash, in the order of the places, and reads only where that is wanted", () =>
  Effect.gen(function* () {
    const { at, put } = yield* setUp
    const name = "lone byte \udcff"
    put("a", "first")
    put(name, "other")
    put("empty", "")
    const there = (size: number, hash?: string) => ({ _tag: "File", size, sha256: hash })
    expect(examine([at(name), at("a"), at("a", null), at("a", 4), at("empty", 0), at("none")])).toEqual([
      there(5, sha256("other")),
      there(5, sha256("first")),
      there(5),
      there(5),
      there(0, sha256("")),
      { _tag: "Nothing" }
    ])
  })
)

it.scopedLive("neither follows nor waits for what is no file", () =>
  Effect.gen(function* () {
    const { at, directory, put } = yield* setUp
    put("file", "first")
    fs.mkdirSync(join(directory, "folder"))
    fs.symlinkSync("file", join(directory, "link"))
    execFileSync("mkfifo", [join(directory, "pipe")])
    expect(examine([at("folder"), at("link"), at("pipe"), at("file/below")])).toEqual([
      { _tag: "Other", what: "a folder" },
      { _tag: "Other", what: "a symbolic link" },
      { _tag: "Other", what: "something that is no regular file" },
      { _tag: "Nothing" }
    ])
  })
)

it.scopedLive("leaves to others what is large, and what can't be looked at", () =>
  Effect.gen(function* () {
    const { at, put } = yield* setUp
    const most = Buffer.alloc(smallFile, "x")
    const large = Buffer.alloc(smallFile + 1, "x")
    put("most", most)
    put("large", large)
    expect(
      examine([at("most", most.length), at("large", large.length), at("large", null), at("n".repeat(300)), at("most")])
    ).toEqual([
      { _tag: "File", size: most.length, sha256: sha256(most) },
      null,
      { _tag: "File", size: large.length, sha256: undefined },
      null,
      { _tag: "File", size: most.length, sha256: undefined }
    ])
  })
)
