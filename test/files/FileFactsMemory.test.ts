import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { FileFacts } from "../../src/files/FileFacts.ts"
import * as FileFactsMemory from "../../src/files/FileFactsMemory.ts"

const file = (path: string) => ({
  path: RelPath.make(path),
  stamp: stamp({ dev: 1n, ino: 1n, size: 1n, mtimeNs: 1n, ctimeNs: 1n }),
  size: 1,
  mtime: 0,
  born: 0
})

describe("FileFactsMemory", () => {
  it.effect("says what it was given, and who asked", () => {
    const asked: Array<string> = []
    const files = { "a.txt": { mime: "text/plain", text: "hello", sha256: "ab" }, b: { fault: "b is gone" } }
    return Effect.gen(function* () {
      const facts = yield* FileFacts
      const a = facts.of("/in", file("a.txt"))
      expect(yield* a.mime).toBe("text/plain")
      expect(yield* a.text(4)).toEqual({ _tag: "Text", text: "hell", cut: true })
      expect(yield* a.sha256).toBe("ab")
      expect((yield* Effect.flip(facts.of("/in", file("b")).mime)).reason).toBe("b is gone")
      const none = facts.of("/in", file("c"))
      expect(yield* none.mime).toBe(null)
      expect((yield* none.text(4))._tag).toBe("NoText")
      expect(asked).toEqual(["mime a.txt", "text a.txt", "sha256 a.txt", "mime b", "mime c", "text c"])
    }).pipe(Effect.provide(FileFactsMemory.layer(files, (path, what) => asked.push(`${what} ${path}`))))
  })
})
