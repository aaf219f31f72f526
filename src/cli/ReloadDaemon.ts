/**
 * `filedispatch reload -p PIDFILE`: asks the daemon to load its config again. Needs no config.
 */
import { Effect } from "effect"
import { Failure, usage } from "./Failure.ts"
import * as Output from "./Output.ts"
import * as PidFile from "./PidFile.ts"
import type { Given } from "./ReloadCommand.ts"

/** Answers the exit code. */
export const reload = Effect.fn("Reload.reload")(function* ({ pidfile }: Given) {
  if (pidfile === undefined) {
    return yield* usage("Which daemon? Name its pid file: filedispatch reload -p PIDFILE", "reload")
  }
  const content = yield* PidFile.inspect(pidfile)
  switch (content._tag) {
    case "None":
      return yield* new Failure({ code: 1, message: `No daemon runs: there is no pid file ${pidfile}.` })
    case "Garbage":
      return yield* new Failure({ code: 1, message: `${pidfile} is no pid file, so nothing was asked.` })
    case "Stale":
      return yield* new Failure({
        code: 1,
        message: `No daemon runs: process ${content.pid}, which wrote ${pidfile}, is gone.`
      })
    case "Stranger":
      return yield* new Failure({
        code: 1,
        message: `Nothing was asked: process ${content.pid} is not the one that wrote ${pidfile}.`
      })
    case "Running":
      yield* Effect.try({
        try: () => process.kill(content.pid, "SIGHUP"),
        catch: (error) =>
          new Failure({
            code: 1,
            message: `Process ${content.pid} can't be asked (${error instanceof Error ? error.message : String(error)}). Are you the user who started it?`
          })
      })
      yield* Output.note(`Asked process ${content.pid} to load its config again; its log says what came of it.`)
      return 0
  }
})
