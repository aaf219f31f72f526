import { expect, it } from "@effect/vitest"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Transform } from "../../src/domain/Target.ts"
import { suffixed } from "../../src/route/Suffix.ts"

const plain: Transform = { decompress: null, compress: "none", age: [] }
const undo: Transform = { ...plain, decompress: { limit: 1000 } }

it.each<[string, Transform | null, string]>([
  ["d/a.log", null, "d/a.log"],
  ["d/a.log", plain, "d/a.log"],
  ["d/a.log", { ...plain, compress: "gzip" }, "d/a.log.gz"],
  ["a", { ...plain, compress: "brotli" }, "a.br"],
  ["a", { ...plain, compress: "zstd" }, "a.zst"],
  ["a", { ...plain, compress: "zip" }, "a.zip"],
  ["a", { ...plain, compress: "zip", age: ["age1"] }, "a.zip.age"],
  ["a.log.GZ", undo, "a.log"],
  ["a.br", undo, "a"],
  ["a.zst", undo, "a"],
  ["d/a.tgz", undo, "d/a.tar"],
  ["a.txt", undo, "a.txt"],
  ["d/.gz", undo, "d/.gz"],
  ["a.gz", { ...undo, compress: "zstd", age: ["age1", "age2"] }, "a.zst.age"]
])("%s by %j is %s", (name, transform, expected) => expect(suffixed(RelPath.make(name), transform)).toBe(expected))
