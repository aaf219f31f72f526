/**
 * A line that is as good as dead: what goes over its first connection is handed on a byte at a time, from some moment
 * on. Later connections are sound.
 */
import { connect, createServer, type Socket } from "node:net"
import { Effect, type Scope } from "effect"
import { portOf } from "./http.ts"

export interface Drip {
  /** Whose bytes drip. */
  readonly from: "client" | "server"
  /** Asked at every piece, until it is so: whether it begins. */
  readonly begins: () => boolean
  /** Milliseconds for each byte. */
  readonly every: number
}

/** In front of a server; answers the port of the line. */
export const startDrip = (server: number, drip: Drip): Effect.Effect<number, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<Socket>()
    let connections = 0
    const listener = createServer((client) => {
      const far = connect(server, "127.0.0.1")
      const first = connections++ === 0
      for (const [from, to] of [
        [client, far],
        [far, client]
      ] as const) {
        sockets.add(from)
        from.on("error", () => undefined).on("close", () => to.destroy())
        if (first && from === (drip.from === "client" ? client : far)) hand(from, to, drip)
        else from.pipe(to)
      }
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        listener.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          for (const socket of sockets) socket.destroy()
          listener.close(() => resume(Effect.void))
        })
    )
    return portOf(listener.address())
  })

const hand = (from: Socket, to: Socket, { begins, every }: Drip): void => {
  let dripping = false
  from.on("data", (data: Buffer) => {
    dripping ||= begins()
    if (!dripping) {
      if (!to.write(data)) {
        from.pause()
        to.once("drain", () => from.resume())
      }
      return
    }
    let rest = data
    from.pause()
    const timer = setInterval(() => {
      to.write(rest.subarray(0, 1))
      rest = rest.subarray(1)
      if (rest.byteLength > 0) return
      clearInterval(timer)
      from.resume()
    }, every)
    from.once("close", () => clearInterval(timer))
  })
}
