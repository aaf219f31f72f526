import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Option } from "effect"
import * as Cli from "../../src/cli/Cli.ts"
import { parseLevel } from "../../src/cli/Logging.ts"

/** What a command line comes to, through the normalisation and @effect/cli. */
const read = (...args: ReadonlyArray<string>) =>
  Effect.flatMap(Cli.request(args), (asked) => (asked._tag === "Words" ? Cli.parse(asked) : Effect.die(asked))).pipe(
    Effect.provide(NodeContext.layer)
  )

/** As {@link read}, what the command after the program's name is given. */
const readCommand = (...args: ReadonlyArray<string>) =>
  Effect.map(read(...args), ({ subcommand }): unknown => {
    // a pair of the command's tag and what it is given, although the type says otherwise
    const pair: unknown = Option.getOrThrow(subcommand)
    return Array.isArray(pair) ? pair[1] : pair
  })

/** What is said of a wrong command line: one line, and a hint. */
const problem = (...args: ReadonlyArray<string>) =>
  Effect.map(Effect.flip(read(...args)), ({ code, message }) => {
    expect(code).toBe(2)
    expect(message).toMatch(/^.+\nTry: filedispatch.* --help$/)
    return message
  })

const words = (...args: ReadonlyArray<string>) => {
  const asked = Either.getOrThrow(Cli.request(args))
  return asked._tag === "Words" ? asked.words : asked
}

/** Every option of the program: its name, its letter, and a value with what is read from it. */
const options: ReadonlyArray<
  readonly [key: string, name: string, letter?: string | undefined, value?: string, is?: unknown]
> = [
  ["config", "config", "c", "some file.yml"],
  ["host", "host", "H", "0.0.0.0"],
  ["port", "port", "P", "80", 80],
  ["noWebapp", "no-webapp"],
  ["noMonitor", "no-monitor"],
  ["daemon", "daemon", "d"],
  ["exit", "exit", "x"],
  ["pidfile", "pidfile", "p", "x.pid"],
  ["logFile", "log-file", undefined, "x.log"],
  ["logLevel", "log-level", undefined, "debug", "DEBUG"],
  ["move", "move", "m"],
  ["db", "db", undefined, "x.db"],
  ["once", "once"],
  ["dryRun", "dry-run"]
]

describe("the command line", () => {
  for (const [key, name, letter, value, is = value] of options) {
    if (value === undefined) {
      it.effect(`--${name}`, () =>
        Effect.gen(function* () {
          expect(yield* read(`--${name}`)).toMatchObject({ [key]: true })
          expect(yield* read("--db", "x")).toMatchObject({ [key]: false })
          if (letter !== undefined) expect(yield* read(`-${letter}`)).toMatchObject({ [key]: true })
          expect(yield* problem(`--${name}=yes`)).toContain("takes no value")
        })
      )
    } else {
      it.effect(`--${name} ${value}`, () =>
        Effect.gen(function* () {
          expect(yield* read(`--${name}`, value)).toMatchObject({ [key]: is })
          expect(yield* read(`--${name}=${value}`)).toMatchObject({ [key]: is })
          expect(yield* read("--once")).toMatchObject({ [key]: undefined })
          if (letter !== undefined) {
            expect(yield* read(`-${letter}`, value)).toMatchObject({ [key]: is })
            expect(yield* read(`-${letter}${value}`)).toMatchObject({ [key]: is })
          }
          for (const args of [[`--${name}`], [`--${name}`, "--daemon"], [`--${name}=`]]) {
            expect(yield* problem(...args)).toContain("needs a value")
          }
        })
      )
    }
  }

  it("the list above has every option", () => {
    const shown = [...Cli.help("", false).matchAll(/^ {2}(?:-(\w), | {4})--([a-z-]+)/gm)].map(([, letter, name]) => [
      name,
      letter
    ])
    expect(shown).toEqual([...options.map(([, name, letter]) => [name, letter]), ["help", "h"], ["version", "v"]])
  })

  it.effect("the original tool's letters, together, and the last of two", () =>
    Effect.gen(function* () {
      const given = yield* read("-dm", "-c", "b.yml", "-H", "0.0.0.0", "-P80", "-xp", "x.pid", "-ca.yml")
      expect(given).toMatchObject({
        daemon: true,
        move: true,
        exit: true,
        config: "a.yml",
        host: "0.0.0.0",
        port: 80,
        pidfile: "x.pid"
      })
    })
  )

  it.effect("a value is a value, whatever it looks like", () =>
    Effect.gen(function* () {
      for (const value of ["check", "--", "-v", "--help", "--version", "true", "a\nb", " a ", "a=b", "-", "é"]) {
        expect(yield* read(`--config=${value}`, "--once"), value).toMatchObject({ config: value, once: true })
        expect(yield* readCommand("check", `--config=${value}`), value).toMatchObject({ config: value })
      }
      expect(yield* read("-c", "check")).toMatchObject({ config: "check", subcommand: Option.none() })
    })
  )

  it.effect("a file is a file, whatever it is called", () =>
    Effect.gen(function* () {
      const given = yield* readCommand("explain", "check", "--json", "true", "-c", "x", "explain", "--", "-h", "--json")
      expect(given).toEqual({
        config: "x",
        json: true,
        source: undefined,
        log: undefined,
        db: undefined,
        files: ["check", "true", "explain", "-h", "--json"]
      })
      expect(yield* readCommand("explain", "-c", "x", "--", "--version")).toMatchObject({ files: ["--version"] })
      expect(yield* readCommand("retry", "-c", "x", "--all", "1")).toMatchObject({
        all: true,
        reroute: false,
        ids: [1]
      })
      expect(yield* readCommand("retry", "--reroute", "-c", "x", "1")).toMatchObject({ reroute: true, ids: [1] })
      expect(yield* readCommand("diff", "--to", "diff", "--from", "x", "--log", "check")).toEqual({
        from: "x",
        to: "diff",
        log: true,
        exitCode: false,
        db: undefined,
        json: false,
        directories: ["check"]
      })
    })
  )

  it("-h and -v win over whatever is wrong beside them", () => {
    for (const args of [["-h"], ["--help"], ["--nonsense", "-h"], ["-d", "extra", "--help"], ["-vh"]]) {
      expect(words(...args)).toEqual({ _tag: "Help", command: "" })
    }
    expect(words("check", "-h", "--db")).toEqual({ _tag: "Help", command: "check" })
    expect(words("-v")).toEqual({ _tag: "Version" })
    expect(words("check", "--version")).toEqual({ _tag: "Version" })
  })

  it("is made plain for @effect/cli", () => {
    // options under their long names, values apart, operands last
    expect(words("explain", "yes", "-cx", "--json", "check")).toEqual([
      "explain",
      "--config",
      "x",
      "--json",
      "--",
      "yes",
      "check"
    ])
    // no word of a value is the name of a command
    expect(words("-c", "logs", "-m")).toEqual(["--config=logs", "--move"])
    // @effect/cli's own --log-level would take lower-case words
    expect(words("--log-level", "info")).toEqual(["--log-level", "INFO"])
  })

  it.effect("names an unknown option and the one that was meant", () =>
    Effect.gen(function* () {
      expect(yield* problem("--conifg", "x")).toContain("no option --conifg. Did you mean --config?\n")
      for (const name of ["-Z", "--toString", "--__proto__", "--completions", "--wizard"]) {
        expect(yield* problem(name)).toContain(`no option ${name}.`)
      }
      expect(yield* problem("check", "--db", "x")).toMatch(/no option --db\.\nTry: filedispatch check --help$/)
    })
  )

  it.effect("refuses operands where there are none", () =>
    Effect.gen(function* () {
      expect(yield* problem("-d", "inbox")).toContain(`"inbox" is not expected here`)
      expect(yield* problem("-c", "x", "check")).toContain("The command comes first: filedispatch check")
      expect(yield* problem("check", "-c", "x", "y")).toContain(`"y" is not expected here.`)
    })
  )

  it.effect("says what is missing", () =>
    Effect.gen(function* () {
      for (const command of ["check", "logs"]) {
        expect(yield* problem(command)).toContain("Which config? Say it with -c or --config CONFIG.")
      }
      expect(yield* problem()).toContain("Name a config")
      expect(yield* problem("")).toContain(`no command ""`)
      expect(yield* problem("chekc")).toContain(`no command "chekc". Did you mean "check"?`)
    })
  )

  it.effect("takes what an option is for, and says what it must be", () =>
    Effect.gen(function* () {
      expect(yield* read("-P", "0")).toMatchObject({ port: 0 })
      expect(yield* read("-P", "65535")).toMatchObject({ port: 65_535 })
      for (const text of ["65536", "1.5", "1e3", "x", "0x10", " 1"]) {
        expect(yield* problem("-P", text)).toContain(`--port is "${text}", but must be a whole number from 0 to 65535.`)
      }
      expect(yield* problem("retry", "-c", "x", "-P", "0", "1")).toContain("from 1 to 65535")
      expect(yield* problem("retry", "-c", "x", "one")).toContain(`"one" is no ID`)
      expect(yield* readCommand("logs", "-c", "x", "--status", "failed")).toMatchObject({ status: "FAILED" })
      expect(yield* problem("logs", "-c", "x", "--status", "GOOD")).toContain("must be SUCCEEDED or FAILED")
      for (const level of ["INFO", "info", "Info"]) {
        expect(yield* read("--log-level", level)).toMatchObject({ logLevel: "INFO" })
      }
      expect(yield* problem("--log-level", "loud")).toContain(`"loud", but must be one of TRACE, DEBUG`)
    })
  )

  it("takes a log level in any case", () => {
    expect(["INFO", "info", "Info", "warn", "WARNING", "critical", "none"].map(parseLevel)).toEqual([
      "INFO",
      "INFO",
      "INFO",
      "WARNING",
      "WARNING",
      "FATAL",
      "NONE"
    ])
    expect(["", "loud", "__proto__", "toString"].map(parseLevel)).toEqual([undefined, undefined, undefined, undefined])
  })

  it("has help for each command, plain where it is not for a terminal", () => {
    for (const command of ["", "check", "diff", "doctor", "explain", "logs", "reload", "retry"]) {
      const text = Cli.help(command, false)
      const config = ["diff", "reload"].includes(command) ? [] : ["-c, --config CONFIG"]
      for (const part of ["Usage:\n  filedispatch", ...config, "-h, --help", "-v, --version"]) {
        expect(text).toContain(part)
      }
      expect(text).not.toMatch(/A user-defined|optional|\n\n\n|undefined/)
      expect(text).not.toContain("\u001b")
      expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(110)
      expect(Cli.help(command, true)).toContain("\u001b[0;1mUsage:\u001b[0m")
    }
    expect(Cli.help("explain", false)).toContain("\nArguments:\n  FILE...  a file below")
    for (const command of ["check", "diff", "doctor", "explain", "logs", "reload", "retry"]) {
      expect(Cli.help("", false)).toMatch(new RegExp(`^  ${command} +[A-Z]`, "m"))
    }
  })
})
