import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, Option, Ref, Scope } from "effect"
import { connect, createServer, type Socket } from "node:net"
import * as RelPath from "../../src/domain/RelPath.ts"
import { layer, Monitor } from "../../src/http/Monitor.ts"
import { delivery, lane, services, World } from "./testServer.ts"

const monitor = layer.pipe(Layer.provideMerge(services()))

const port = Effect.map(Monitor, ({ port }) => Option.getOrThrow(port))

/** A conversation: `ask` sends a line and answers all up to the next prompt, `end` all that came until it ended. */
const open = (at: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = connect(at, "127.0.0.1").setEncoding("utf8")
      let text = ""
      let ended = false
      let look = (): void => {}
      socket.on("data", (chunk) => {
        text += String(chunk)
        look()
      })
      socket.on("close", () => {
        ended = true
        look()
      })
      socket.on("error", () => {})
      const until = (done: () => boolean) =>
        Effect.async<string>((resume) => {
          look = () => {
            if (!done()) return
            look = () => {}
            const all = text
            text = ""
            resume(Effect.succeed(all))
          }
          look()
        })
      const prompt = until(() => text.endsWith("> "))
      return {
        socket,
        prompt,
        end: until(() => ended),
        ask: (line: string) =>
          Effect.zipRight(
            Effect.sync(() => socket.write(`${line}\n`)),
            prompt
          )
      }
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

const conversation = Effect.tap(Effect.flatMap(port, open), ({ prompt }) => prompt)

describe("Monitor", () => {
  it.scopedLive("greets, lists its commands, and says goodbye", () =>
    Effect.gen(function* () {
      const { ask, end, prompt, socket } = yield* Effect.flatMap(port, open)
      expect(yield* prompt).toBe('filedispatch. "help" lists the commands.\n> ')
      const help = yield* ask("help")
      for (const command of ["ps", "lanes", "sources", "config", "deliveries", "quit"])
        expect(help).toContain(`${command} `)
      expect(yield* ask("")).toBe("> ")
      expect(yield* ask("reboot")).toBe('reboot is no command. "help" lists them.\n> ')
      socket.write("quit\n")
      expect(yield* end).toBe("Bye.\n")
    }).pipe(Effect.provide(monitor))
  )

  it.scopedLive("shows lanes and sources", () =>
    Effect.gen(function* () {
      const { lanes } = yield* World
      yield* Ref.set(lanes, [{ ...lane, reason: "no\u001b[2J\nroute" }])
      const { ask } = yield* conversation
      const shown = (yield* ask("lanes")).split("\n")
      expect(shown[0]).toMatch(/^LANE +HEALTH +SENDING +QUEUED +DELIVERED +FAILED +REASON$/)
      // what a server said can't move the reader's cursor
      expect(shown[1]).toMatch(/^ftp:\/\/user@host:21 +down +1\/4 +3 +5 +6 +no\ufffd\[2J\ufffdroute$/)
      expect((yield* ask("  SOURCES \r")).split("\n")[1]).toMatch(
        /^inbox +events +2 +3 +7 +1 +4 +1970-01-01T00:00:05.000Z +1970-01-01T00:00:06.000Z +\/inbox$/
      )
    }).pipe(Effect.provide(monitor))
  )

  it.scopedLive("shows the config in force, and what is wrong with the file", () =>
    Effect.gen(function* () {
      const { config } = yield* World
      const { ask } = yield* conversation
      expect((yield* ask("config")).split("\n")[0]).toBe("/etc/filedispatch.yml, loaded 1970-01-01T00:00:04.000Z")
      yield* Ref.update(config, (status) => ({ ...status, error: "1:2: no\u001b[2J\n3:4: no", restart: ["db"] }))
      expect((yield* ask("config")).split("\n").slice(1)).toEqual([
        "The file as it is now is not in force:",
        "1:2: no\ufffd[2J",
        "3:4: no",
        "Changed, and in need of a restart: db",
        "> "
      ])
    }).pipe(Effect.provide(monitor))
  )

  it.scopedLive("shows deliveries, of a state or all", () =>
    Effect.gen(function* () {
      const { deliveries } = yield* World
      const { ask } = yield* conversation
      expect(yield* ask("deliveries")).toContain("(none)")
      const odd = delivery(2, { state: "DEAD", reason: "no room" })
      deliveries.set(1, delivery(1))
      deliveries.set(2, { ...odd, generation: { ...odd.generation, path: RelPath.make("a\nb") } })
      expect((yield* ask("deliveries")).split("\n")).toHaveLength(4)
      const dead = (yield* ask("deliveries dead")).split("\n")
      expect(dead).toHaveLength(3)
      expect(dead[1]).toMatch(/^2 +DEAD +0 +a\\u\{a\}b +ftp:\/\/user@host\/in\/file-2.txt +no room$/)
      expect(yield* ask("deliveries lost")).toMatch(/^lost is no state. The states are PENDING, /)
    }).pipe(Effect.provide(monitor))
  )

  it.scopedLive("shows the fibers, with what they say of themselves", () =>
    Effect.gen(function* () {
      yield* Effect.never.pipe(
        Effect.annotateLogs({ lane: "a-lane-of-this-test" }),
        Effect.withSpan("a-span-of-this-test"),
        Effect.forkDaemon,
        Effect.tap((fiber) => Effect.addFinalizer(() => fiber.interruptAsFork(fiber.id())))
      )
      yield* Effect.yieldNow()
      const { ask } = yield* conversation
      const shown = (yield* ask("ps")).split("\n")
      expect(shown[0]).toMatch(/^FIBER +STATUS +AGE +DOES$/)
      expect(shown.find((line) => line.includes("lane=a-lane-of-this-test"))).toMatch(
        /^#\d+ +suspended +\d+s +a-span-of-this-test lane=a-lane-of-this-test$/
      )
    }).pipe(Effect.provide(monitor))
  )

  it.scopedLive("answers several lines at once, in order", () =>
    Effect.gen(function* () {
      const { end, socket } = yield* conversation
      socket.write("nope\nhelp\nquit\nhelp\n")
      const text = yield* end
      expect(text).toMatch(/^nope is no command.*\n> ps .*\n> Bye\.\n$/s)
    }).pipe(Effect.provide(monitor))
  )

  it.scopedLive("ends a conversation that is too much, and one too many: that which was silent for longest", () =>
    Effect.gen(function* () {
      const long = yield* conversation
      long.socket.write("x".repeat(2_000))
      expect(yield* long.end).toBe("That is too much. Bye.\n")
      const many = yield* conversation
      many.socket.write("help\n".repeat(1_000))
      expect(yield* many.end).toContain("That is too much. Bye.\n")
      const at = yield* port
      const silent = yield* conversation
      for (let n = 0; n < 7; n += 1) yield* conversation
      const { socket } = yield* open(at)
      expect(yield* silent.end).toContain("Too many connections. Bye.\n")
      expect(socket.destroyed).toBe(false)
    }).pipe(Effect.provide(monitor))
  )

  it.scopedLive("is no HTTP server", () =>
    Effect.gen(function* () {
      const { end, socket } = yield* conversation
      socket.write("POST / HTTP/1.1\r\nHost: localhost\r\n\r\ndeliveries\n")
      expect(yield* end).toBe("This is no HTTP server. Bye.\n")
    }).pipe(Effect.provide(monitor))
  )

  it.scopedLive("ends its conversations with its scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(monitor, scope)
      const { end } = yield* conversation.pipe(Effect.provide(context))
      yield* Scope.close(scope, Exit.void)
      yield* end
    })
  )

  it.scopedLive("on a port in use is a warning, and otherwise off", () =>
    Effect.gen(function* () {
      const taken = yield* Effect.acquireRelease(
        Effect.async<readonly [number, () => void]>((resume) => {
          const server = createServer((socket: Socket) => socket.destroy()).listen(0, "127.0.0.1", () => {
            const address = server.address()
            const at = typeof address === "object" && address !== null ? address.port : 0
            resume(Effect.succeed([at, () => server.close()]))
          })
        }),
        ([, close]) => Effect.sync(close)
      )
      const warnings: Array<string> = []
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      const build = (enabled: boolean) =>
        Monitor.pipe(
          Effect.provide(
            layer.pipe(
              Layer.provide(services({ monitor: { enabled, host: "127.0.0.1", port: taken[0] } })),
              Layer.provide(Logger.replace(Logger.defaultLogger, logger))
            )
          )
        )
      expect((yield* build(true)).port).toEqual(Option.none())
      expect(warnings).toEqual([
        `The monitor is off: port ${taken[0]} on 127.0.0.1 is in use by another program: choose another with monitor.port, or turn it off.`
      ])
      expect((yield* build(false)).port).toEqual(Option.none())
      expect(warnings).toHaveLength(1)
    })
  )
})
