/**
 * The program: finds the command, runs it, and answers the exit code.
 */
import { Cause, Effect } from "effect"
import { readFileSync } from "node:fs"
import * as Arguments from "./Arguments.ts"
import * as Daemon from "./Daemon.ts"
import { usage, type Failure } from "./Failure.ts"
import * as Output from "./Output.ts"

/** Runs a command line, without the program's own name. Never fails: what goes wrong is said, and the code tells. */
export const main = (args: ReadonlyArray<string>): Effect.Effect<number> =>
  dispatch(args).pipe(
    Effect.catchAll((failure) =>
      Effect.gen(function* () {
        const heard = yield* Daemon.failed(failure)
        if (!heard) yield* Output.note(failure.message)
        return failure.code
      })
    ),
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause).pipe(Effect.orDie)
        : Effect.as(Output.note(`This is a bug in filedispatch, please report it:\n${Cause.pretty(cause)}`), 1)
    )
  )

// the commands are loaded when they are run: each pays only for what it needs
const dispatch = (args: ReadonlyArray<string>): Effect.Effect<number, Failure> =>
  Effect.gen(function* () {
    const [first] = args
    if (first === undefined) return yield* usage("What shall be dispatched? Name a config: filedispatch -c CONFIG")
    if (first.startsWith("-")) {
      return yield* handle(Arguments.root, args, (given) =>
        Effect.flatMap(
          Effect.promise(() => import("./Run.ts")),
          ({ run }) => run(given, args)
        )
      )
    }
    const rest = args.slice(1)
    const command = yield* Arguments.find(first)
    switch (command.name) {
      case "check":
        return yield* handle(command, rest, (given) =>
          Effect.flatMap(
            Effect.promise(() => import("./Check.ts")),
            ({ check }) => check(given)
          )
        )
      case "explain":
        return yield* handle(command, rest, (given) =>
          Effect.flatMap(
            Effect.promise(() => import("./Explain.ts")),
            ({ explain }) => explain(given)
          )
        )
      case "logs":
        return yield* handle(command, rest, (given) =>
          Effect.flatMap(
            Effect.promise(() => import("./Logs.ts")),
            ({ logs }) => logs(given)
          )
        )
      case "retry":
        return yield* handle(command, rest, (given) =>
          Effect.flatMap(
            Effect.promise(() => import("./Retry.ts")),
            ({ retry }) => retry(given)
          )
        )
    }
  })

const handle = <F extends Arguments.Flags>(
  command: Arguments.Command<F>,
  args: ReadonlyArray<string>,
  body: (given: Arguments.Given<F>) => Effect.Effect<number, Failure>
): Effect.Effect<number, Failure> =>
  Effect.gen(function* () {
    const given = yield* Arguments.parse(command, args)
    const shown = given.builtIn
    if (shown === undefined) return yield* body(given)
    yield* Output.line(shown === "help" ? Arguments.help(command) : version())
    return 0
  })

/** From package.json, which lies above the program however that was built. */
const version = (): string => {
  for (const place of ["../package.json", "../../package.json"]) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(place, import.meta.url), "utf8"))
      if (typeof found === "object" && found !== null && "version" in found && "bin" in found)
        return String(found.version)
    } catch {
      // it lies elsewhere
    }
  }
  return "unknown"
}
