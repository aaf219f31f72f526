/** Servers that are programs of their own: a port for them, whether they listen, and their end. */
import type { ChildProcess } from "node:child_process"
import { connect, createServer } from "node:net"
import { Effect, Schedule } from "effect"
import { portOf } from "./http.ts"

export const freePort: Effect.Effect<number> = Effect.async((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const port = portOf(server.address())
    server.close(() => resume(Effect.succeed(port)))
  })
})

const reach = (port: number, sign: "connect" | "data") =>
  Effect.async<void, string>((resume) => {
    const socket = connect(port, "127.0.0.1")
    socket.once(sign, () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (error) => resume(Effect.fail(error.message)))
    socket.once("close", () => resume(Effect.fail("closed")))
  })

/** Waits until a server takes connections, or, with `data`, greets whoever connects. */
export const listening = (port: number, sign: "connect" | "data" = "connect"): Effect.Effect<void> =>
  Effect.retry(reach(port, sign), Schedule.spaced(20).pipe(Schedule.upTo("10 seconds"))).pipe(Effect.orDie)

/** Ends a program and waits for it. `group`: with its children, where it was started as the leader of its group. */
export const stop = (child: ChildProcess, { group = false } = {}): Effect.Effect<void> =>
  Effect.async((resume) => {
    const { exitCode, pid, signalCode } = child
    if (pid === undefined || exitCode !== null || signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    process.kill(group ? -pid : pid, "SIGTERM")
  })
