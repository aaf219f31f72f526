import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import * as Arguments from "../../src/cli/Arguments.ts"
import { parseLevel } from "../../src/cli/Logging.ts"

const parse = <F extends Arguments.Flags>(command: Arguments.Command<F>, ...args: ReadonlyArray<string>) =>
  Either.getOrThrow(Arguments.parse(command, args))

const problem = (command: Arguments.Command, ...args: ReadonlyArray<string>) => {
  const failure = Either.getOrThrow(Either.flip(Arguments.parse(command, args)))
  expect(failure.code).toBe(2)
  return failure.message
}

describe("Arguments", () => {
  describe("every option of the program", () => {
    for (const [name, flag] of Object.entries<Arguments.Flag>(Arguments.root.flags)) {
      if (name === "help" || name === "version") continue
      const read = (...args: ReadonlyArray<string>) => {
        const given = parse<Arguments.Flags>(Arguments.root, ...args)
        return flag.type === "boolean" ? given.on(name) : given.text(name)
      }
      if (flag.type === "boolean") {
        it(`--${name}`, () => {
          expect(read(`--${name}`)).toBe(true)
          expect(read("-c", "x")).toBe(false)
          if (flag.short !== undefined) expect(read(`-${flag.short}`)).toBe(true)
          expect(problem(Arguments.root, `--${name}=yes`)).toContain("takes no value")
        })
      } else {
        it(`--${name} ${flag.value}`, () => {
          expect(read(`--${name}`, "some value")).toBe("some value")
          expect(read(`--${name}=-v`)).toBe("-v")
          expect(read()).toBe(undefined)
          if (flag.short !== undefined) {
            expect(read(`-${flag.short}`, "value")).toBe("value")
            expect(read(`-${flag.short}value`)).toBe("value")
          }
          expect(problem(Arguments.root, `--${name}`)).toContain("needs a value")
          expect(problem(Arguments.root, `--${name}`, "--daemon")).toContain("needs a value")
          expect(problem(Arguments.root, `--${name}=`)).toContain("needs a value")
        })
      }
    }

    it("the original tool's letters", () => {
      const given = parse(Arguments.root, "-dm", "-c", "a.yml", "-H", "0.0.0.0", "-P80", "-p", "x.pid", "-x")
      expect(given.on("daemon") && given.on("move") && given.on("exit")).toBe(true)
      expect([given.text("config"), given.text("host"), given.text("port"), given.text("pidfile")]).toEqual([
        "a.yml",
        "0.0.0.0",
        "80",
        "x.pid"
      ])
    })
  })

  it("-h and -v win over whatever is wrong beside them", () => {
    for (const args of [["-h"], ["--help"], ["--nonsense", "-h"], ["-d", "extra", "--help"]]) {
      expect(parse(Arguments.root, ...args).builtIn).toBe("help")
    }
    expect(parse(Arguments.root, "-v").builtIn).toBe("version")
    expect(parse(Arguments.check, "--version").builtIn).toBe("version")
    // but a value is a value, and what follows -- is an operand
    expect(parse(Arguments.explain, "-c", "x", "--", "-h")).toMatchObject({ builtIn: undefined, operands: ["-h"] })
  })

  it("names an unknown option and the one that was meant", () => {
    expect(problem(Arguments.root, "--conifg", "x")).toMatch(/no option --conifg\. Did you mean --config\?\n.*--help/)
    expect(problem(Arguments.root, "-Z")).toContain("no option -Z.")
    expect(problem(Arguments.root, "--toString")).toContain("no option --toString")
    expect(problem(Arguments.root, "--__proto__")).toContain("no option")
    expect(problem(Arguments.check, "--db", "x")).toContain("filedispatch check --help")
  })

  it("refuses operands where there are none", () => {
    expect(problem(Arguments.root, "-d", "inbox")).toContain(`"inbox"`)
    expect(problem(Arguments.root, "-c", "x", "check")).toContain("The command comes first: filedispatch check")
  })

  it("takes operands before, between and after options", () => {
    const given = parse(Arguments.explain, "a.pdf", "--json", "true", "-c", "x", "b.pdf")
    expect(given.operands).toEqual(["a.pdf", "true", "b.pdf"])
    expect(given.on("json")).toBe(true)
  })

  it("finds a command, or the one that was meant", () => {
    expect(Either.getOrThrow(Arguments.find("logs")).name).toBe("logs")
    expect(Either.getOrThrow(Either.flip(Arguments.find("chekc"))).message).toContain(`Did you mean "check"?`)
  })

  it("takes whole numbers within their bounds only", () => {
    const integer = (text: string) => Arguments.integer(Arguments.root, "port", text, 0, 65_535)
    expect(Either.getOrThrow(integer("0"))).toBe(0)
    expect(Either.getOrThrow(integer("65535"))).toBe(65_535)
    for (const text of ["65536", "-1", "1.5", "1e3", "", "x", "0x10", " 1"]) {
      expect(Either.isLeft(integer(text)), text).toBe(true)
    }
  })

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

  it("has help for each command, as plain text that names every option", () => {
    for (const command of [Arguments.root, ...Arguments.commands]) {
      const text = Arguments.help(command)
      for (const [name, flag] of Object.entries<Arguments.Flag>(command.flags)) {
        expect(text).toContain(`--${name}`)
        if (flag.short !== undefined) expect(text).toContain(`-${flag.short}, `)
      }
      expect(text).not.toContain("\u001b")
      expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(110)
    }
  })
})
