/**
 * `filedispatch -x -p PIDFILE`: stops the daemon. Needs no config.
 */
import { Effect } from "effect"
import { Failure } from "./Failure.ts"
import * as Output from "./Output.ts"
import * as PidFile from "./PidFile.ts"

/** Asks the daemon of this pid file to end, and waits until it is gone. */
export const stop = (file: string): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const content = yield* PidFile.inspect(file)
    switch (content._tag) {
      case "None":
        return yield* new Failure({ code: 1, message: `No daemon runs: there is no pid file ${file}.` })
      case "Garbage":
        return yield* new Failure({ code: 1, message: `${file} is no pid file, so nothing was stopped.` })
      case "Stale":
        yield* PidFile.remove(file)
        return yield* new Failure({
          code: 1,
          message: `No daemon runs: process ${content.pid}, which wrote ${file}, is gone. The pid file was removed.`
        })
      case "Stranger":
        return yield* new Failure({
          code: 1,
          message: `Nothing was stopped: process ${content.pid} is not the one that wrote ${file}. If it is no daemon of filedispatch, remove the file.`
        })
      case "Running":
        return yield* terminate(file, content.pid)
    }
  })

/** Milliseconds: longer than a daemon takes to end, which is 15 s at most. */
const patience = 20_000

const terminate = (file: string, pid: number): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const start = PidFile.startOf(pid)
    yield* Effect.try({
      try: () => process.kill(pid, "SIGTERM"),
      catch: (error) =>
        new Failure({
          code: 1,
          message: `Process ${pid} can't be stopped (${error instanceof Error ? error.message : String(error)}). Are you the user who started it?`
        })
    })
    yield* Effect.sleep(30).pipe(
      Effect.repeat({ until: () => PidFile.startOf(pid) !== start }),
      Effect.timeoutFail({
        duration: patience,
        onTimeout: () =>
          new Failure({
            code: 1,
            message: `Process ${pid} still ends what it is doing, ${patience / 1000} seconds after it was asked to. Ask again to end it at once: filedispatch -x -p ${file}`
          })
      })
    )
    yield* Output.note(`Stopped process ${pid}.`)
  })
