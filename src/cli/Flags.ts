/**
 * The options that several commands share, and the makers of all others. What is declared with them is what the
 * command line takes, and what its help shows.
 */
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import { Either } from "effect"

/** An option with a value, which the help calls `value`; undefined where it is not given. */
export const text = (name: string, value: string, about: string): Options.Options<string | undefined> =>
  single(name, value, about).pipe(Options.withDefault(undefined))

/** An option that is there or not. */
export const on = (name: string, about: string): Options.Options<boolean> =>
  Options.boolean(name).pipe(Options.withDescription(about))

/** A whole number within these bounds, in decimal digits. */
export const integer = (
  name: string,
  value: string,
  about: string,
  min: number,
  max: number
): Options.Options<number | undefined> =>
  parsed(name, value, about, (given) => {
    const number = /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN
    return number >= min && number <= max ? Either.right(number) : Either.left(`a whole number from ${min} to ${max}`)
  })

/** A value that is read by `parse`, whose left says what it must be. */
export const parsed = <A>(
  name: string,
  value: string,
  about: string,
  parse: (given: string) => Either.Either<A, string>
): Options.Options<A | undefined> =>
  single(name, value, about).pipe(
    Options.mapEffect((given) =>
      Either.mapLeft(parse(given), (wanted) => wrong(`--${name} is "${given}", but must be ${wanted}.`))
    ),
    Options.withDefault(undefined)
  )

const single = (name: string, value: string, about: string): Options.Options<string> =>
  Options.text(name).pipe(Options.withPseudoName(value), Options.withDescription(about))

const wrong = (message: string): ValidationError.ValidationError => ValidationError.invalidValue(HelpDoc.p(message))

/** The config, where there may be none. */
export const maybeConfig: Options.Options<string | undefined> = text("config", "CONFIG", "the config file (YAML)").pipe(
  Options.withAlias("c")
)

/** What is said where the config is missing. */
export const noConfig = "Which config? Say it with -c or --config CONFIG."

/** The config, which must be named. */
export const config: Options.Options<string> = maybeConfig.pipe(
  Options.mapEffect((file) => (file === undefined ? Either.left(wrong(noConfig)) : Either.right(file)))
)

export const json: Options.Options<boolean> = on("json", "print JSON for programs to read")

export const db: Options.Options<string | undefined> = text("db", "FILE", "the journal's database")

/** Where a running daemon is asked, which has the journal. */
export const daemon = {
  host: text("host", "IP", "where the running daemon listens, if not as in the config").pipe(Options.withAlias("H")),
  port: integer("port", "PORT", "the same for its port", 1, 65_535).pipe(Options.withAlias("P"))
}
