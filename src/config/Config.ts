/**
 * Loads a config file: all that it says, resolved, or all that is wrong with it.
 */
import { Effect, Option, Redacted } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { Secrets, Settings } from "../domain/Settings.ts"
import { ConfigError, type Problem, whole } from "./ConfigError.ts"
import * as ConfigText from "./ConfigText.ts"
import { type Overrides, Resolver } from "./Resolver.ts"
import * as YamlFile from "./YamlFile.ts"

export type { Overrides } from "./Resolver.ts"

export interface Checked {
  readonly settings: Settings
  /** What is not wrong, but hardly meant. */
  readonly warnings: ReadonlyArray<Problem>
}

/** The settings of a file. Fails with every problem of it at once. */
export const load = (path: string, overrides: Overrides = {}): Effect.Effect<Settings, ConfigError> =>
  Effect.map(check(path, overrides), ({ settings }) => settings)

/** As {@link load}, with warnings. */
export const check = Effect.fn("Config.check")(function* (path: string, overrides: Overrides = {}) {
  const fail = (problems: ReadonlyArray<Problem>) => new ConfigError({ file: path, problems })
  const source = yield* Effect.mapError(read(path), (problem) => fail([problem]))
  const yaml = YamlFile.parse(source, overrides.env ?? process.env)
  if (yaml.value === undefined) return yield* fail(yaml.problems)
  const resolver = new Resolver(yaml, yaml.value, realPath(path), overrides)
  const settings = resolver.settings()
  const problems = [...yaml.problems, ...resolver.report.problems]
  if (settings === undefined || problems.length > 0) return yield* fail(tidy(problems, yaml.problems))
  texts.set(settings, Redacted.make(source))
  return { settings, warnings: distinct(resolver.report.warnings) } satisfies Checked
})

/** The file that settings were loaded from, as it was then, without its secrets; nothing where there was none. */
export const textOf = (settings: Settings): ConfigText.ConfigText => {
  const known = shown.get(settings)
  if (known !== undefined) return known
  const source = texts.get(settings)
  const text = source === undefined ? ConfigText.none : ConfigText.make(Redacted.value(source), settings)
  shown.set(settings, text)
  return text
}

const texts = new WeakMap<Settings, Redacted.Redacted>()
const shown = new WeakMap<Settings, ConfigText.ConfigText>()

/** The secrets of a target that was stored without them; none where the config has no such target any more. */
export const secretsFor = (settings: Settings, url: string): Option.Option<Secrets> => {
  let index = indexes.get(settings)
  if (index === undefined) {
    index = new Map(settings.routes.flatMap((route) => route.targets).map((one) => [one.target.url, one.secrets]))
    indexes.set(settings, index)
  }
  return Option.fromNullable(index.get(url))
}

const indexes = new WeakMap<Settings, ReadonlyMap<string, Secrets>>()

// Reading

const maxBytes = 4 * 1024 * 1024

const read = (path: string): Effect.Effect<string, Problem> =>
  Effect.tryPromise({
    try: () => readStart(path),
    catch: (cause) => unreadable(cause)
  }).pipe(
    Effect.filterOrFail(
      (bytes) => bytes.length <= maxBytes,
      () => whole("the file is too large for a config", `${maxBytes / 1024 / 1024} MiB at most`)
    ),
    Effect.flatMap((bytes) =>
      Effect.try({
        try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
        catch: () => notText(bytes)
      })
    )
  )

/** At most a little more than a config may have: what is named may be a pipe or a device without an end. */
const readStart = async (path: string): Promise<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  let length = 0
  for await (const chunk of Fs.createReadStream(path)) {
    const bytes: Uint8Array = chunk
    chunks.push(bytes)
    length += bytes.length
    if (length > maxBytes) break
  }
  return Buffer.concat(chunks)
}

const unreadable = (cause: unknown): Problem => {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return whole("there is no such file", "the path of a config file")
    case "EISDIR":
      return whole("it is a directory", "the path of a config file")
    case "EACCES":
    case "EPERM":
      return whole("it may not be read by this user", "read permission on it and its directory")
    default:
      return whole(`it can't be read (${String(code ?? cause)})`, "the path of a config file")
  }
}

/** The line of the first byte that is not UTF-8. */
const notText = (bytes: Uint8Array): Problem => {
  const text = new TextDecoder("utf-8").decode(bytes)
  const before = text.slice(0, Math.max(0, text.indexOf("\ufffd"))).split("\n")
  return {
    ...whole("the file is not UTF-8 text", "a YAML file in UTF-8"),
    line: before.length,
    column: (before.at(-1)?.length ?? 0) + 1
  }
}

const realPath = (path: string): string => {
  const absolute = Path.resolve(path)
  try {
    return Fs.realpathSync(absolute)
  } catch {
    return absolute
  }
}

/** In the order of the file, each once; a value whose variable is not set is blamed for nothing else. */
const tidy = (problems: ReadonlyArray<Problem>, first: ReadonlyArray<Problem>): ReadonlyArray<Problem> => {
  const blamed = new Set(first.map((problem) => problem.path))
  return distinct(
    problems.filter((problem) => first.includes(problem) || problem.path === "" || !blamed.has(problem.path))
  ).sort((left, right) => left.line - right.line || left.column - right.column)
}

/** Each once: several targets may have it of their folder. */
const distinct = (problems: ReadonlyArray<Problem>): Array<Problem> =>
  Array.from(new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values())
