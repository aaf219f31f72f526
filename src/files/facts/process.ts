/**
 * A process of its own. A thread that is short of memory ends by itself in most cases, but where a single large piece
 * is missing, it takes its process along (V8's "last resort"): that must not be the one that delivers.
 */
import { fork } from "node:child_process"
import type { Death, Events, Port } from "./asker.ts"
import type { Answer } from "./protocol.ts"

/** The process tells its parent about its last moment, or an answer. */
export type Said = { readonly answers: ReadonlyArray<Answer> } | { readonly death: Death }

export const startProcess = (entry: URL, events: Events): Port => {
  const child = fork(entry, {
    cwd: "/",
    env: environment(),
    execArgv: [],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "ignore", "ipc"]
  })
  let told: Death | undefined
  const ended = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      events.ended(told ?? deathBy(code, signal))
      resolve()
    })
    // none could be started, or it is gone while it is asked
    child.on("error", (error) => {
      if (child.pid !== undefined) return
      events.ended({ cause: "ours", why: error.message })
      resolve()
    })
  })
  child.on("message", (said: Said) => {
    if ("death" in said) told ??= said.death
    else events.answered(said.answers)
  })
  // whether this process lives is for others to say; that one ends with it
  child.unref()
  child.channel?.unref()
  return {
    post: (message) => {
      if (child.connected) child.send(message, () => undefined)
    },
    end: () => {
      child.kill("SIGKILL")
      return ended
    }
  }
}

/** V8 aborts where there is no memory; the kernel kills where there is none. */
const deathBy = (code: number | null, signal: NodeJS.Signals | null): Death => ({
  cause: signal === "SIGABRT" || signal === "SIGKILL" || code === 134 ? "memory" : "crash",
  why: `its process ended with ${signal ?? `code ${code ?? ""}`}`
})

/** What the program itself may need to start, and no secrets. */
const environment = (): NodeJS.ProcessEnv => {
  const { LD_LIBRARY_PATH, PATH } = process.env
  return { ...(PATH !== undefined && { PATH }), ...(LD_LIBRARY_PATH !== undefined && { LD_LIBRARY_PATH }) }
}
