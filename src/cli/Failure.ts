/**
 * How a command ends that did not do what was asked: an exit code and words for a person.
 */
import { Data } from "effect"

/**
 * 1: a failure at run time. 2: wrong usage, or a wrong config. 3: another process holds the journal. The message has
 * no stack trace and ends without a line break.
 */
export class Failure extends Data.TaggedError("Failure")<{
  readonly code: 1 | 2 | 3
  readonly message: string
}> {}

/** A command has said all that it had to say, and ends with this code. */
export class Ended extends Data.TaggedError("Ended")<{ readonly code: number }> {}

/** The command line makes no sense. */
export const usage = (message: string, command?: string): Failure =>
  new Failure({ code: 2, message: `${message}\nTry: filedispatch${command ? ` ${command}` : ""} --help` })

/** What any other part of the program failed with, as a failure of this command. */
export const from = (error: { readonly _tag: string; readonly message: string }): Failure =>
  error instanceof Failure ? error : new Failure({ code: codes[error._tag] ?? 1, message: error.message })

const codes: { readonly [tag: string]: 2 | 3 } = { ConfigError: 2, JournalLockedError: 3 }
