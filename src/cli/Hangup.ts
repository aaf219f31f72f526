/**
 * SIGHUP, which has two meanings: load the config again, and the terminal is gone.
 */
import { Effect, type Scope } from "effect"
import { closeSync, constants, openSync } from "node:fs"

export interface Hangup {
  /** Waits for the next signal; several that came at once are one. */
  readonly next: Effect.Effect<void>
}

/**
 * From now on the signal does not end the process. With the terminal that the process was started from, the process ends
 * all the same.
 */
export const listen: Effect.Effect<Hangup, never, Scope.Scope> = Effect.gen(function* () {
  const bell = yield* Effect.makeLatch(false)
  const hadTerminal = hasTerminal()
  const heard = (): void => {
    if (!hadTerminal || hasTerminal()) return bell.unsafeOpen()
    // at its end node resets the terminal, and crashes where that is gone: the signal ends the process before that
    process.once("exit", () => {
      process.removeAllListeners("SIGHUP")
      process.kill(process.pid, "SIGHUP")
    })
    process.kill(process.pid, "SIGTERM")
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("SIGHUP", heard)),
    () => Effect.sync(() => process.off("SIGHUP", heard))
  )
  return { next: Effect.zipRight(bell.await, bell.close) }
})

/** Whether the process has a terminal that could hang up. */
const hasTerminal = (): boolean => {
  try {
    closeSync(openSync("/dev/tty", constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK))
    return true
  } catch {
    return false
  }
}
