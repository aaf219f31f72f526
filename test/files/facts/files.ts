/**
 * Files in a directory that goes with the scope, and what a service says of them.
 */
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Found } from "../../../src/domain/Generation.ts"
import * as RelPath from "../../../src/domain/RelPath.ts"
import { FileFacts } from "../../../src/files/FileFacts.ts"
import { look } from "../../../src/files/scan.ts"
import { directory } from "../../cli/process.ts"

export const found = (root: string, name: string): Found => {
  const file = look(root, [RelPath.make(name)])[0]
  if (file === undefined || file === null) throw new Error(`there is no ${name}`)
  return file
}

/** A directory to write files to, and to ask about them. */
export const place = Effect.gen(function* () {
  const root = yield* directory
  const facts = yield* FileFacts
  const write = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(root, name), content)
    return facts.of(root, found(root, name))
  }
  return { root, facts, write, at: (name: string) => facts.of(root, found(root, name)) }
})

/** The text, or why there is none in square brackets. */
export const textOf = (bytes: ReturnType<typeof FileFacts.Service.of>, length = 10_000) =>
  Effect.map(bytes.text(length), (text) => (text._tag === "Text" ? text.text : `[${text.why}]`))
