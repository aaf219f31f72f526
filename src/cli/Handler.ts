/**
 * What stands between a command and its work.
 */
import { Effect } from "effect"
import { Ended, type Failure } from "./Failure.ts"

/**
 * The handler of a command whose work is loaded when it is run: each command pays only for what it needs, and the help
 * for nothing. The work answers the exit code.
 */
export const handler =
  <Module, Given>(
    load: () => Promise<Module>,
    work: (module: Module, given: Given) => Effect.Effect<number, Failure>
  ): ((given: Given) => Effect.Effect<void, Failure | Ended>) =>
  (given) =>
    Effect.promise(load).pipe(
      Effect.flatMap((module) => work(module, given)),
      Effect.flatMap((code) => (code === 0 ? Effect.void : new Ended({ code })))
    )
