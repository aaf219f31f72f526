/**
 * The command line: what each command takes, how it is read, and its help.
 *
 * Node's own parser tells options, values and positionals apart; this module says which there are, and answers a wrong
 * command line with one clear line.
 */
import { Either } from "effect"
import { parseArgs, type ParseArgsConfig } from "node:util"
import { usage, type Failure } from "./Failure.ts"

export interface Flag {
  readonly type: "boolean" | "string"
  readonly short?: string
  /** For those that take one: what the help calls the value. */
  readonly value?: string
  readonly about: string
}

export type Flags = { readonly [name: string]: Flag }

export interface Command<F extends Flags = Flags> {
  /** Empty for the program itself. */
  readonly name: string
  readonly about: string
  readonly usage: ReadonlyArray<string>
  readonly flags: F
  /** What may follow the options: its name in messages, or undefined where nothing may. */
  readonly operands?: string
}

/** The names of a command's options of one type. */
type Names<F extends Flags, T extends Flag["type"]> = {
  [K in keyof F]: [Extract<F[K]["type"], T>] extends [never] ? never : K
}[keyof F] &
  string

/** What was given. */
export interface Given<F extends Flags> {
  readonly on: (name: Names<F, "boolean">) => boolean
  readonly text: (name: Names<F, "string">) => string | undefined
  readonly operands: ReadonlyArray<string>
  /** `-h` or `-v`, which every command has; nothing else counts then. */
  readonly builtIn: "help" | "version" | undefined
}

const common = {
  help: { type: "boolean", short: "h", about: "show this help" },
  version: { type: "boolean", short: "v", about: "show the version" }
} as const satisfies Flags

const config = { type: "string", short: "c", value: "CONFIG", about: "the config file (YAML)" } as const
const json = { type: "boolean", about: "print JSON for programs to read" } as const

export const root = {
  name: "",
  about: "Watches directories and dispatches every file that arrives to where it belongs.",
  usage: ["filedispatch -c CONFIG [OPTIONS]", "filedispatch -x -p PIDFILE", "filedispatch COMMAND [OPTIONS]"],
  flags: {
    config,
    host: { type: "string", short: "H", value: "IP", about: "the address of the HTTP server (127.0.0.1)" },
    port: { type: "string", short: "P", value: "PORT", about: "the port of the HTTP server (3001)" },
    "no-webapp": { type: "boolean", about: "start no HTTP server; the log is kept all the same" },
    "no-monitor": { type: "boolean", about: "start no monitor console" },
    daemon: { type: "boolean", short: "d", about: "run in the background" },
    exit: { type: "boolean", short: "x", about: "stop the daemon that --pidfile names" },
    pidfile: { type: "string", short: "p", value: "PIDFILE", about: "where the process id is kept while it runs" },
    "log-file": { type: "string", value: "FILE", about: "as a daemon: where messages go" },
    "log-level": { type: "string", value: "LEVEL", about: "TRACE, DEBUG, INFO, WARNING, ERROR, FATAL or NONE (INFO)" },
    move: { type: "boolean", short: "m", about: "delete each file from its source once it is delivered" },
    db: { type: "string", value: "FILE", about: "the journal's database" },
    once: { type: "boolean", about: "deliver what is there, and exit when all is concluded" },
    "dry-run": { type: "boolean", about: "touch nothing, print what would be done" },
    ...common
  }
} as const satisfies Command

export const check = {
  name: "check",
  about: "Reads a config and says what is wrong with it, or what it means.",
  usage: ["filedispatch check -c CONFIG"],
  flags: { config, ...common }
} as const satisfies Command

export const explain = {
  name: "explain",
  about: "Says where files would go, and why: which folders match and which do not. The files need not exist.",
  usage: ["filedispatch explain -c CONFIG FILE..."],
  flags: {
    config,
    source: { type: "string", value: "NAME", about: "take the files as those of this source" },
    json,
    ...common
  },
  operands: "FILE"
} as const satisfies Command

export const logs = {
  name: "logs",
  about: "Shows the log, newest first: one line for each concluded delivery.",
  usage: ["filedispatch logs -c CONFIG [FILTERS]"],
  flags: {
    config,
    status: { type: "string", value: "STATUS", about: "SUCCEEDED or FAILED" },
    filename: { type: "string", value: "TEXT", about: "this file" },
    source: { type: "string", value: "DIRECTORY", about: "from this source" },
    destination: { type: "string", value: "URL", about: "to this target" },
    extension: { type: "string", value: "EXT", about: "with this extension" },
    protocol: { type: "string", value: "NAME", about: "over this protocol: file, http, ftp" },
    limit: { type: "string", value: "N", about: "at most so many (100)" },
    db: { type: "string", value: "FILE", about: "the journal's database" },
    json,
    ...common
  }
} as const satisfies Command

export const retry = {
  name: "retry",
  about: "Brings dead deliveries back, in the running daemon or, where none runs, for its next start.",
  usage: ["filedispatch retry -c CONFIG ID...", "filedispatch retry -c CONFIG --all"],
  flags: {
    config,
    all: { type: "boolean", about: "all that are dead, ambiguous or cancelled" },
    host: {
      type: "string",
      short: "H",
      value: "IP",
      about: "where the running daemon listens, if not as in the config"
    },
    port: { type: "string", short: "P", value: "PORT", about: "the same for its port" },
    db: { type: "string", value: "FILE", about: "the journal's database" },
    ...common
  },
  operands: "ID"
} as const satisfies Command

export const commands = [check, explain, logs, retry] as const

/** Reads what follows the command's name. `-h` and `-v` win over everything that may be wrong beside them. */
export const parse = <F extends Flags>(
  command: Command<F>,
  args: ReadonlyArray<string>
): Either.Either<Given<F>, Failure> => {
  const options: NonNullable<ParseArgsConfig["options"]> = command.flags
  const { tokens, values } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true
  })
  const wanted = (name: string) => tokens.some((token) => token.kind === "option" && token.name === name)
  const builtIn = wanted("help") ? "help" : wanted("version") ? "version" : undefined
  if (builtIn !== undefined) return Either.right({ on: wanted, text: () => undefined, operands: [], builtIn })
  const operands: Array<string> = []
  for (const token of tokens) {
    if (token.kind === "option") {
      const problem = problemOf(command, token)
      if (problem !== undefined) return Either.left(usage(problem, command.name))
    } else if (token.kind === "positional") {
      if (command.operands === undefined) return Either.left(usage(unexpected(command, token.value), command.name))
      operands.push(token.value)
    }
  }
  return Either.right({
    on: (name) => values[name] === true,
    text: (name) => {
      const value = values[name]
      return typeof value === "string" ? value : undefined
    },
    operands,
    builtIn
  })
}

/** The command of that name. */
export const find = (name: string): Either.Either<(typeof commands)[number], Failure> => {
  const found = commands.find((command) => command.name === name)
  if (found !== undefined) return Either.right(found)
  const near = nearest(
    name,
    commands.map((command) => command.name)
  )
  return Either.left(usage(`There is no command "${name}".${near === undefined ? "" : ` Did you mean "${near}"?`}`))
}

/** The value of an option that must be there. */
export const required = (command: Command, name: string, value: string | undefined): Either.Either<string, Failure> => {
  if (value !== undefined) return Either.right(value)
  const flag = command.flags[name]
  return Either.left(usage(`Which ${name}? Say it with ${spelling(name, flag)}.`, command.name))
}

/** A whole number within these bounds. */
export const integer = (
  command: Command,
  name: string,
  value: string,
  min: number,
  max: number
): Either.Either<number, Failure> => {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
  return number >= min && number <= max
    ? Either.right(number)
    : Either.left(usage(`--${name} is "${value}", but must be a whole number from ${min} to ${max}.`, command.name))
}

/** The help of a command, as plain text. */
export const help = (command: Command): string => {
  const options = Object.entries(command.flags).map(([name, flag]): readonly [string, string] => [
    `${flag.short === undefined ? "    " : `-${flag.short}, `}--${name}${flag.value === undefined ? "" : ` ${flag.value}`}`,
    flag.about
  ])
  const sections = [
    command.about,
    `Usage:\n${command.usage.map((text) => `  ${text}`).join("\n")}`,
    `Options:\n${columns(options)}`
  ]
  if (command.name === "") {
    sections.push(
      `Commands:\n${columns(commands.map((each) => [each.name, each.about]))}`,
      "Exit codes: 0 done; 1 a failure at run time; 2 wrong usage or config; 3 another process holds the journal."
    )
  }
  return sections.join("\n\n")
}

const columns = (rows: ReadonlyArray<readonly [string, string]>): string => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n")
}

const spelling = (name: string, flag: Flag | undefined): string =>
  `${flag?.short === undefined ? "" : `-${flag.short} or `}--${name}${flag?.value === undefined ? "" : ` ${flag.value}`}`

const problemOf = (
  command: Command,
  token: {
    readonly name: string
    readonly rawName: string
    readonly value?: string | undefined
    readonly inlineValue?: boolean | undefined
  }
): string | undefined => {
  const flag = Object.hasOwn(command.flags, token.name) ? command.flags[token.name] : undefined
  if (flag === undefined) {
    const near = nearest(token.name, Object.keys(command.flags))
    return `There is no option ${token.rawName}.${near === undefined ? "" : ` Did you mean --${near}?`}`
  }
  if (flag.type === "boolean") return token.value === undefined ? undefined : `${token.rawName} takes no value.`
  if (token.value === undefined || token.value === "") return `${token.rawName} needs a value: ${flag.value}.`
  // `-c -d` is a forgotten value far more often than a file that is called -d, which can be given as --config=-d
  if (token.inlineValue === false && token.value.startsWith("-") && token.value !== "-") {
    return `${token.rawName} needs a value: ${flag.value}. For one that begins with a dash, write --${token.name}=${token.value}.`
  }
  return undefined
}

const unexpected = (command: Command, value: string): string =>
  commands.some((each) => each.name === value)
    ? `The command comes first: filedispatch ${value} …`
    : `"${value}" is not expected here${command.name === "" ? ": a config is given with -c, a directory in the config" : ""}.`

/** The name that was probably meant: at most two letters away. */
const nearest = (name: string, candidates: ReadonlyArray<string>): string | undefined =>
  candidates
    .map((candidate) => ({ candidate, distance: distance(name, candidate) }))
    .filter(({ candidate, distance }) => distance <= 2 && distance < candidate.length)
    .sort((left, right) => left.distance - right.distance)[0]?.candidate

/** Levenshtein's distance. */
const distance = (left: string, right: string): number => {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= right.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[right.length] ?? 0
}
