/**
 * The program: its commands together, and how a command line becomes an exit code.
 */
import type * as CliApp from "@effect/cli/CliApp"
import * as Command from "@effect/cli/Command"
import * as CommandDescriptor from "@effect/cli/CommandDescriptor"
import { Cause, Effect } from "effect"
import { packageVersion } from "../files/packageVersion.ts"
import * as Arguments from "./Arguments.ts"
import { check } from "./CheckCommand.ts"
import * as Daemon from "./Daemon.ts"
import { diff } from "./DiffCommand.ts"
import { doctor } from "./DoctorCommand.ts"
import { explain } from "./ExplainCommand.ts"
import { usage, type Ended, type Failure } from "./Failure.ts"
import * as Help from "./Help.ts"
import { logs } from "./LogsCommand.ts"
import * as Output from "./Output.ts"
import { reload } from "./ReloadCommand.ts"
import { retry } from "./RetryCommand.ts"
import { run } from "./RunCommand.ts"
import { undo } from "./UndoCommand.ts"
import { verify } from "./VerifyCommand.ts"

const program = run.pipe(Command.withSubcommands([check, diff, doctor, explain, logs, reload, retry, undo, verify]))

/** Runs a command line, without the program's own name. Never fails: what goes wrong is said, and the code tells. */
export const main = (args: ReadonlyArray<string>): Effect.Effect<number, never, CliApp.CliApp.Environment> =>
  request(args).pipe(
    Effect.flatMap((asked): Effect.Effect<void, Failure | Ended, CliApp.CliApp.Environment> => {
      switch (asked._tag) {
        case "Help":
          return Output.line(help(asked.command, Output.onTerminal("stdout") && process.env["NO_COLOR"] === undefined))
        case "Version":
          return Output.line(packageVersion())
        case "Words":
          return Effect.flatMap(parse(asked), program.handler)
      }
    }),
    Effect.as(0),
    Effect.catchTags({
      Ended: ({ code }) => Effect.succeed(code),
      Failure: (failure) =>
        Effect.gen(function* () {
          const heard = yield* Daemon.failed(failure)
          if (!heard) yield* Output.note(failure.message)
          return failure.code
        })
    }),
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause).pipe(Effect.orDie)
        : Effect.as(Output.note(`This is a bug in filedispatch, please report it:\n${Cause.pretty(cause)}`), 1)
    )
  )

/** What a command line asks for. */
export const request = (args: ReadonlyArray<string>) => Arguments.normalise(known[0], known.slice(1), args)

/** What a command is given, as its options and arguments say; or what is wrong with it, in one line and a hint. */
export const parse = ({ command, words }: Extract<Arguments.Request, { readonly _tag: "Words" }>) =>
  // `Command.run` would do this and print what is wrong by itself, in colours, also where nobody sees them
  CommandDescriptor.parse(program.descriptor, ["filedispatch", ...words], Arguments.config).pipe(
    Effect.mapError(({ error }) => {
      const [line = "This makes no sense."] = Help.render(error, false).split("\n")
      return usage(line, command)
    }),
    Effect.flatMap((directive) =>
      directive._tag === "UserDefined" && directive.leftover.length === 0
        ? Effect.succeed(directive.value)
        : Effect.dieMessage(`not understood: ${words.join(" ")}`)
    )
  )

/** The help of a command, by its name; empty for the program's own. */
export const help = (name: string, terminal: boolean): string => {
  const [own, ...topics] = known
  const topic = topics.find((each) => each.name === name)
  return Help.render(topic === undefined ? Help.page(own, topics) : Help.page(topic), terminal)
}

const topic = <Name extends string, R, E, A>(
  command: Command.Command<Name, R, E, A>,
  name: string = nameOf(command)
) => ({
  name,
  usage: Command.getUsage(command),
  doc: Command.getHelp(command, Arguments.config)
})

const nameOf = <Name extends string, R, E, A>(command: Command.Command<Name, R, E, A>): string =>
  [...Command.getNames(command)].join()

/** For the normalisation and the help: the program itself, and its commands. */
const known = [
  topic(run, ""),
  topic(check),
  topic(diff),
  topic(doctor),
  topic(explain),
  topic(logs),
  topic(reload),
  topic(retry),
  topic(undo),
  topic(verify)
] as const
