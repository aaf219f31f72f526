/**
 * The monitor: a small text console over TCP, for a look from outside with `nc 127.0.0.1 50101`. It only shows.
 */
import { Context, Effect, Fiber, FiberRef, FiberSet, Layer, Option, SubscriptionRef, Tracer } from "effect"
import { createServer, type Server, type Socket } from "node:net"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import { Reload } from "../config/Reload.ts"
import { Dispatcher } from "../deliver/Dispatcher.ts"
import { DeliveryState } from "../domain/Delivery.ts"
import * as RelPath from "../domain/RelPath.ts"
import { shown } from "../domain/Target.ts"
import { Deliveries } from "../store/Deliveries.ts"
import { Intake } from "../watch/Intake.ts"
import { type ListenError, listenError } from "./Listen.ts"
import { isLoopback } from "./Security.ts"

export class Monitor extends Context.Tag("filedispatch/http/Monitor")<
  Monitor,
  {
    /** The port that it listens on; none where it is off or could not listen. */
    readonly port: Option.Option<number>
  }
>() {}

/** Runs the console if the config wants it. A port in use is a warning: files are more important. */
export const layer: Layer.Layer<Monitor, never, CurrentSettings | Reload | Dispatcher | Intake | Deliveries> =
  Layer.scoped(
    Monitor,
    Effect.gen(function* () {
      const { monitor } = yield* Effect.flatMap(CurrentSettings, SubscriptionRef.get)
      if (!monitor.enabled) return Monitor.of({ port: Option.none() })
      if (!isLoopback(monitor.host)) {
        yield* Effect.logWarning(
          `The monitor listens on ${monitor.host}: whoever can reach it can read names of files and destinations.`
        )
      }
      const run = yield* makeCommands
      const runFork = yield* FiberSet.makeRuntime()
      const server = yield* Effect.acquireRelease(
        Effect.sync(() => createServer()),
        (server) => Effect.sync(() => server.close())
      )
      // whoever said something last stands at the end
      const sockets = new Set<Socket>()
      yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
      server.on("connection", (socket) => {
        sockets.add(socket)
        socket.on("close", () => sockets.delete(socket))
        socket.on("error", () => socket.destroy())
        socket.on("data", () => {
          if (sockets.delete(socket)) sockets.add(socket)
        })
        if (sockets.size > maxConnections) {
          for (const silent of sockets) {
            sockets.delete(silent)
            end(silent, "\nToo many connections. Bye.\n")
            break
          }
        }
        converse(socket, (line, done) => runFork(Effect.map(run(line), done)))
      })
      return yield* listen(server, monitor).pipe(
        Effect.map((port) => Monitor.of({ port: Option.some(port) })),
        Effect.catchTag("ListenError", (error) =>
          Effect.as(
            Effect.logWarning(`The monitor is off: ${error.message}, or turn it off.`),
            Monitor.of({ port: Option.none() })
          )
        )
      )
    })
  )

const maxConnections = 8
const maxLine = 1_000
const maxQueued = 16
const idle = 10 * 60 * 1000
const maxRows = 200
const prompt = "> "

const listen = (
  server: Server,
  address: { readonly host: string; readonly port: number }
): Effect.Effect<number, ListenError> =>
  Effect.async((resume) => {
    const onError = (error: Error) =>
      resume(Effect.fail(listenError({ ...address, portSetting: "monitor.port", hostSetting: "monitor.host" }, error)))
    server.once("error", onError)
    server.listen(address.port, address.host, () => {
      server.off("error", onError)
      // later errors concern single connections; the console is not worth a process
      server.on("error", () => {})
      const bound = server.address()
      resume(Effect.succeed(typeof bound === "object" && bound !== null ? bound.port : address.port))
    })
  })

/** The last words. A client that does not hang up, or never reads, is not waited for. */
const end = (socket: Socket, words: string): void => {
  if (socket.writableEnded) return
  socket.end(words, () => socket.destroy())
  setTimeout(() => socket.destroy(), 1_000).unref()
}

/** Reads lines, one command after the other; what is too long or too much ends the conversation. */
const converse = (socket: Socket, run: (line: string, done: (answer: Option.Option<string>) => void) => void): void => {
  let rest = ""
  let busy = false
  const lines: Array<string> = []

  const next = (): void => {
    if (busy || socket.writableEnded) return
    const line = lines.shift()
    if (line === undefined) return
    busy = true
    run(line, (answer) => {
      busy = false
      if (socket.writableEnded) return
      if (Option.isNone(answer)) {
        end(socket, "Bye.\n")
        return
      }
      // who does not read is not answered either, so that no answers pile up
      if (socket.write(answer.value + prompt)) next()
      else {
        busy = true
        socket.once("drain", () => {
          busy = false
          next()
        })
      }
    })
  }

  socket.setEncoding("utf8")
  socket.setTimeout(idle, () => end(socket, "\nNothing was asked for ten minutes. Bye.\n"))
  socket.write(`filedispatch. "help" lists the commands.\n${prompt}`)
  socket.on("data", (chunk) => {
    if (socket.writableEnded) return
    const parts = (rest + String(chunk)).split("\n")
    rest = parts.pop() ?? ""
    lines.push(...parts)
    if (rest.length > maxLine || lines.length > maxQueued || lines.some((line) => line.length > maxLine)) {
      lines.length = 0
      rest = ""
      end(socket, "That is too much. Bye.\n")
      return
    }
    // a page in a browser can make it send these, and some browsers show whatever comes back
    if (lines.some((line) => /^[A-Z]+ \S+ HTTP\/\d/.test(line))) {
      lines.length = 0
      end(socket, "This is no HTTP server. Bye.\n")
      return
    }
    next()
  })
}

/** Answers a line; none ends the conversation. */
const makeCommands = Effect.gen(function* () {
  const intake = yield* Intake
  const dispatcher = yield* Dispatcher
  const deliveries = yield* Deliveries
  const reload = yield* Reload

  const config = Effect.map(reload.status, ({ error, file, loadedAt, restart }) =>
    [
      `${plain(file)}, loaded ${new Date(loadedAt).toISOString()}`,
      ...(error === null ? [] : ["The file as it is now is not in force:", ...error.split("\n").map(plain)]),
      ...(restart.length === 0 ? [] : [`Changed, and in need of a restart: ${restart.join(", ")}`]),
      ""
    ].join("\n")
  )

  const lanes = Effect.map(dispatcher.status, (all) =>
    table(
      ["LANE", "HEALTH", "SENDING", "QUEUED", "DELIVERED", "FAILED", "REASON"],
      all.map((lane) => [
        lane.lane,
        health(lane),
        `${lane.sending.length}/${lane.concurrency}`,
        lane.queued,
        lane.delivered,
        lane.failed,
        lane.reason ?? ""
      ])
    )
  )

  const sources = Effect.map(intake.status, (all) =>
    table(
      [
        "SOURCE",
        "HEALTH",
        "SETTLING",
        "WAITING",
        "ACCEPTED",
        "UNMATCHED",
        "MISSED",
        "LAST SCAN",
        "LAST EVENT",
        "PATH",
        "REASON"
      ],
      all.map((source) => [
        source.name,
        health(source),
        source.settling,
        source.waiting,
        source.accepted,
        source.unmatched,
        source.missed,
        source.lastScan === null ? "never" : new Date(source.lastScan).toISOString(),
        source.lastEvent === null ? "never" : new Date(source.lastEvent).toISOString(),
        source.path,
        source.reason ?? ""
      ])
    )
  )

  const list = (word: string | undefined) => {
    const state = DeliveryState.literals.find((literal) => literal === word?.toUpperCase())
    if (word !== undefined && state === undefined) {
      return Effect.succeed(`${word} is no state. The states are ${DeliveryState.literals.join(", ")}.\n`)
    }
    return deliveries.list({ states: state === undefined ? undefined : [state], limit: maxRows }).pipe(
      Effect.map((found) =>
        table(
          ["ID", "STATE", "ATTEMPTS", "FILE", "DESTINATION", "REASON"],
          found.map((delivery) => [
            delivery.id,
            delivery.state,
            delivery.attempts,
            RelPath.display(delivery.generation.path),
            shown(delivery.target, RelPath.display(delivery.name)),
            delivery.reason ?? ""
          ])
        )
      ),
      Effect.catchAll((error) => Effect.succeed(`${error.message}\n`))
    )
  }

  return (line: string): Effect.Effect<Option.Option<string>> => {
    const [command = "", ...words] = line.trim().split(/\s+/)
    switch (command.toLowerCase()) {
      case "":
        return Effect.succeedSome("")
      case "help":
        return Effect.succeedSome(help)
      case "ps":
        return Effect.asSome(fibers)
      case "lanes":
        return Effect.asSome(lanes)
      case "sources":
        return Effect.asSome(sources)
      case "config":
        return Effect.asSome(config)
      case "deliveries":
        return Effect.asSome(list(words[0]))
      case "quit":
      case "exit":
        return Effect.succeedNone
      default:
        return Effect.succeedSome(`${plain(command)} is no command. "help" lists them.\n`)
    }
  }
})

const help = `ps                  the fibers: what runs, and what waits
lanes               the destinations and how they are
sources             the watched directories and how they are
config              the config in force, and what is wrong with the file since
deliveries [state]  the newest deliveries, or those of a state
quit                ends this conversation
`

/** All fibers, children below their parents, with what they say of themselves in the log. */
const fibers: Effect.Effect<string> = Effect.gen(function* () {
  const rows: Array<ReadonlyArray<string>> = []
  const add = (fiber: Fiber.RuntimeFiber<unknown, unknown>, depth: number): Effect.Effect<void> =>
    Effect.gen(function* () {
      if (rows.length >= maxRows) return
      const status = yield* fiber.status
      const id = fiber.id()
      rows.push([`${"  ".repeat(depth)}#${id.id}`, status._tag.toLowerCase(), age(id.startTimeMillis), nameOf(fiber)])
      for (const child of yield* Fiber.children(fiber)) yield* add(child, depth + 1)
    })
  for (const root of yield* Fiber.roots) yield* add(root, 0)
  return table(["FIBER", "STATUS", "AGE", "DOES"], rows)
})

const nameOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): string => {
  const notes = Array.from(
    fiber.getFiberRef(FiberRef.currentLogAnnotations),
    ([key, value]) => `${key}=${String(value)}`
  )
  const span = Context.getOption(fiber.getFiberRef(FiberRef.currentContext), Tracer.ParentSpan)
  return [...(Option.isSome(span) && span.value._tag === "Span" ? [span.value.name] : []), ...notes].join(" ")
}

const health = (one: { readonly health: string; readonly paused: number | null }): string =>
  one.paused === null ? one.health : `${one.health}, paused`

const age = (started: number): string => `${Math.max(0, Math.round((Date.now() - started) / 1000))}s`

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string | number>>): string => {
  const lines = [head, ...rows.map((row) => row.map((cell) => plain(String(cell))))]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  const text = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()
  )
  return `${text.join("\n")}\n${rows.length === 0 ? "(none)\n" : rows.length >= maxRows ? `(the first ${maxRows})\n` : ""}`
}

/** Nothing that a server said or a file is called can move the reader's cursor. */
const plain = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\ufffd")
