/**
 * What stands in front of the commands: a command line as people write it becomes one that @effect/cli can take in one
 * way only. Which options there are, and which of them take a value, is read from the commands themselves.
 */
import * as AutoCorrect from "@effect/cli/AutoCorrect"
import * as CliConfig from "@effect/cli/CliConfig"
import type * as Usage from "@effect/cli/Usage"
import { Either, Option } from "effect"
import { parseArgs } from "node:util"
import { usage, type Failure } from "./Failure.ts"
import { parseLevel } from "./Logging.ts"

/** A command, by its name and what it takes. The program itself is the one whose name is empty. */
export interface Known {
  readonly name: string
  readonly usage: Usage.Usage
}

/** What a command line asks for. */
export type Request =
  | { readonly _tag: "Help"; readonly command: string }
  | { readonly _tag: "Version" }
  /** For @effect/cli: without the program's own name, and with nothing left in it that has two meanings. */
  | { readonly _tag: "Words"; readonly command: string; readonly words: ReadonlyArray<string> }

/** What every command has beside its own options. They are answered before any of those is looked at. */
export const builtIns = {
  help: { short: "h", about: "show this help" },
  version: { short: "v", about: "show the version" }
} as const

/** How @effect/cli reads: `-H` is not `-h`; misspelt options are found here, where all of them are known. */
export const config: CliConfig.CliConfig = CliConfig.make({
  isCaseSensitive: true,
  autoCorrectLimit: 0,
  showBuiltIns: false
})

/**
 * Makes a command line plain.
 *
 * - The command is the first word or none: @effect/cli looks for it in all of them, also among values and files.
 * - `-h` and `-v` win, whatever is wrong beside them. (@effect/cli has no `-v`, and `--help` only where all else is
 *   right.)
 * - `-dm`, `-pFILE`, `--flag=value`: each option under its long name, its value in a word of its own.
 * - Options first, then `--` and the operands: a word such as `yes` after a boolean would be taken for its value, and
 *   operands that begin with a dash for options.
 * - Of an option that is given twice the last counts, as in most programs.
 * - The level of `--log-level` in capitals: @effect/cli has an option of that name, which takes lower-case words, and
 *   which would win.
 */
export const normalise = (
  program: Known,
  commands: ReadonlyArray<Known>,
  args: ReadonlyArray<string>
): Either.Either<Request, Failure> => {
  const [first] = args
  if (first === undefined) {
    return Either.left(usage("What shall be dispatched? Name a config: filedispatch -c CONFIG"))
  }
  const names = commands.map(({ name }) => name)
  const isProgram = first.startsWith("-")
  const command = isProgram ? program : commands.find(({ name }) => name === first)
  if (command === undefined) return Either.left(usage(`There is no command "${first}".${meant(first, names)}`))

  const { flags, operands: takesOperands } = contents(command.usage)
  const { tokens } = parseArgs({
    args: isProgram ? [...args] : args.slice(1),
    options: Object.fromEntries([
      ...flags.map(({ long, short, value }) => [long, { type: value === undefined ? "boolean" : "string", ...short }]),
      ...Object.entries(builtIns).map(([long, { short }]) => [long, { type: "boolean", short }])
    ]),
    strict: false,
    allowPositionals: true,
    tokens: true
  })
  const wanted = (name: keyof typeof builtIns) => tokens.some((token) => token.kind === "option" && token.name === name)
  if (wanted("help")) return Either.right({ _tag: "Help", command: command.name })
  if (wanted("version")) return Either.right({ _tag: "Version" })

  const options = new Map<string, ReadonlyArray<string>>()
  const operands: Array<string> = []
  for (const token of tokens) {
    if (token.kind === "option") {
      const problem = problemOf(flags, token)
      if (problem !== undefined) return Either.left(usage(problem, command.name))
      options.set(token.name, wordsOf(token.name, token.value, names))
    } else if (token.kind === "positional") {
      if (!takesOperands) return Either.left(usage(unexpected(token.value, names, isProgram), command.name))
      operands.push(token.value)
    }
  }
  return Either.right({
    _tag: "Words",
    command: command.name,
    words: [
      ...(isProgram ? [] : [command.name]),
      ...[...options.values()].flat(),
      ...(operands.length === 0 ? [] : ["--", ...operands])
    ]
  })
}

interface Flag {
  readonly long: string
  readonly short: { readonly short?: string }
  /** For those that take one: what the help calls it. */
  readonly value: string | undefined
}

/** The options in what @effect/cli says of a command's usage, and whether it takes anything else. */
const contents = (self: Usage.Usage): { readonly flags: ReadonlyArray<Flag>; readonly operands: boolean } => {
  switch (self._tag) {
    case "Named": {
      const long = self.names.find((name) => name.startsWith("--"))
      const short = self.names.find((name) => /^-[^-]$/.test(name))
      const flag: Flag | undefined =
        long === undefined
          ? undefined
          : {
              long: long.slice(2),
              short: short === undefined ? {} : { short: short.slice(1) },
              value: Option.getOrUndefined(self.acceptedValues)
            }
      return { flags: flag === undefined ? [] : [flag], operands: self.names.some((name) => name.startsWith("<")) }
    }
    case "Optional":
    case "Repeated":
      return contents(self.usage)
    case "Alternation":
    case "Concat": {
      const left = contents(self.left)
      const right = contents(self.right)
      return { flags: [...left.flags, ...right.flags], operands: left.operands || right.operands }
    }
    case "Empty":
    case "Mixed":
      return { flags: [], operands: false }
  }
}

/** In one word where the value would be mistaken for the name of a command, or for the end of the options. */
const wordsOf = (name: string, value: string | undefined, commands: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (value === undefined) return [`--${name}`]
  if (value === "--" || commands.includes(value)) return [`--${name}=${value}`]
  return [`--${name}`, name === "log-level" ? (parseLevel(value) ?? value) : value]
}

const problemOf = (
  flags: ReadonlyArray<Flag>,
  token: {
    readonly name: string
    readonly rawName: string
    readonly value?: string | undefined
    readonly inlineValue?: boolean | undefined
  }
): string | undefined => {
  const flag = flags.find(({ long }) => long === token.name)
  if (flag === undefined) {
    return `There is no option ${token.rawName}.${meant(
      token.rawName,
      flags.map(({ long }) => `--${long}`)
    )}`
  }
  if (flag.value === undefined) return token.value === undefined ? undefined : `${token.rawName} takes no value.`
  if (token.value === undefined || token.value === "") return `${token.rawName} needs a value: ${flag.value}.`
  // `-c -d` is a forgotten value far more often than a file that is called -d, which can be given as --config=-d
  if (token.inlineValue === false && token.value.startsWith("-") && token.value !== "-") {
    return `${token.rawName} needs a value: ${flag.value}. For one that begins with a dash, write --${token.name}=${token.value}.`
  }
  return undefined
}

const unexpected = (word: string, commands: ReadonlyArray<string>, isProgram: boolean): string =>
  commands.includes(word)
    ? `The command comes first: filedispatch ${word} …`
    : `"${word}" is not expected here${isProgram ? ": a config is given with -c, a directory in the config" : ""}.`

/** The name that was probably meant: at most two letters away. */
const meant = (name: string, candidates: ReadonlyArray<string>): string => {
  const [nearest] = candidates
    .map((candidate) => ({ candidate, distance: AutoCorrect.levensteinDistance(name, candidate, config) }))
    .filter(({ candidate, distance }) => distance <= 2 && distance < candidate.replace(/^--/, "").length)
    .sort((left, right) => left.distance - right.distance)
  return nearest === undefined
    ? ""
    : ` Did you mean ${name.startsWith("-") ? nearest.candidate : `"${nearest.candidate}"`}?`
}
