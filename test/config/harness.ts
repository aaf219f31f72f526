/**
 * Configs in directories of their own, for tests of what they mean and of what is wrong with them.
 */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as Config from "../../src/config/Config.ts"

export type Needs = FileSystem.FileSystem | Path.Path | Scope.Scope

/** A config in a directory of its own. */
export const write = Effect.fn(function* (content: string | Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = yield* Effect.flatMap(fs.makeTempDirectoryScoped(), (made) => fs.realPath(made))
  const file = path.join(directory, "config.yml")
  yield* typeof content === "string" ? fs.writeFileString(file, content) : fs.writeFile(file, content)
  return { directory, file }
})

export const check = Effect.fn(function* (content: string, overrides: Config.Overrides = {}) {
  const { directory, file } = yield* write(content)
  const { settings, warnings } = yield* Config.check(file, { env: {}, ...overrides })
  return {
    directory,
    settings,
    warnings: warnings.map(
      ({ column, line, message, path }) => `${line}:${column} ${path}: ${message.replaceAll(directory, "DIR")}`
    )
  }
})

/** Each problem as `line:column path: "text": message; expected`, the directory as DIR. */
export const problems = Effect.fn(function* (content: string | Uint8Array, overrides: Config.Overrides = {}) {
  const { directory, file } = yield* write(content)
  const error = yield* Effect.flip(Config.load(file, { env: {}, ...overrides }))
  return error.problems.map(({ column, expected, line, message, path, text }) =>
    `${line}:${column} ${path}: ${text === "" ? "" : `"${text}": `}${message}; ${expected}`.replaceAll(directory, "DIR")
  )
})

export const it_ = (name: string, test: () => Effect.Effect<void, unknown, Needs>) =>
  it.scoped(name, () => Effect.provide(test(), NodeContext.layer))
