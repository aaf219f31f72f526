/**
 * The database for readers: a client whose statements run in a worker thread, on a read-only connection of its own, so
 * that no question of the API or the dashboard, however long, delays a delivery.
 */
import { Reactivity } from "@effect/experimental"
import { SqlClient, SqlConnection, SqlError, Statement } from "@effect/sql"
import { Context, Effect, Layer } from "effect"
import { Worker } from "node:worker_threads"
import { findWorker } from "../files/workerUrl.ts"
import type { ReadReply, ReadRequest } from "./readWorker.ts"

export class ReadSql extends Context.Tag("filedispatch/store/ReadSql")<ReadSql, SqlClient.SqlClient>() {}

/** Reads on the connection that writes: for databases in memory, and where there is no build to start a worker from. */
export const layerDirect: Layer.Layer<ReadSql, never, SqlClient.SqlClient> = Layer.effect(ReadSql, SqlClient.SqlClient)

/** Reads this SQLite file in a worker thread, whose compiled entry is `worker`. */
export const layerWorker = (filename: string, worker: URL): Layer.Layer<ReadSql> =>
  Layer.scoped(ReadSql, make(filename, worker)).pipe(Layer.provide(Reactivity.layer))

/** {@link layerWorker} where a build is at hand, otherwise {@link layerDirect}. */
export const layer = (filename: string): Layer.Layer<ReadSql, never, SqlClient.SqlClient> =>
  Layer.unwrapEffect(
    Effect.sync(() => {
      const worker = findWorker("store/readWorker")
      return worker === undefined || filename === ":memory:" ? layerDirect : layerWorker(filename, worker)
    })
  )

const make = Effect.fnUntraced(function* (filename: string, entry: URL) {
  const thread = yield* makeThread(filename, entry)
  // one question at a time: whoever still waits for a turn can be interrupted without a trace
  const turn = yield* Effect.makeSemaphore(1)
  const ask = (sql: string, params: ReadonlyArray<unknown>, values: boolean) =>
    turn.withPermits(1)(thread.ask(sql, params, values))

  const connection: SqlConnection.Connection = {
    execute: (sql, params, transform) => {
      const rows = Effect.map(ask(sql, params, false), (rows) => rows.filter(isRow))
      return transform === undefined ? rows : Effect.map(rows, transform)
    },
    executeRaw: (sql, params) => ask(sql, params, false),
    executeValues: (sql, params) => Effect.map(ask(sql, params, true), (rows) => rows.filter(isValues)),
    executeUnprepared: (sql, params, transform) => connection.execute(sql, params, transform),
    executeStream: () => Effect.dieMessage("the read connection has no streams")
  }
  return yield* SqlClient.make({
    acquirer: Effect.succeed(connection),
    transactionAcquirer: Effect.fail(failure("the read connection has no transactions")),
    compiler: Statement.makeCompilerSqlite(),
    spanAttributes: [["db.system.name", "sqlite"]]
  })
})

/** A thread that is started when it is needed, and again after it died; it ends with the scope. */
const makeThread = Effect.fnUntraced(function* (filename: string, entry: URL) {
  const pending = new Map<number, (reply: ReadReply) => void>()
  let worker: Worker | undefined
  let closed = false
  let last = 0

  const died = (dead: Worker, why: string): void => {
    if (worker !== dead) return
    worker = undefined
    const asked = Array.from(pending)
    pending.clear()
    for (const [id, resume] of asked)
      resume({ id, error: { message: `the thread that reads ended: ${why}`, code: "" } })
  }

  const start = (): Worker => {
    const started = new Worker(entry, { workerData: { filename }, name: "filedispatch-read" })
    started.on("message", (reply: ReadReply) => {
      pending.get(reply.id)?.(reply)
      pending.delete(reply.id)
    })
    started.on("error", (error: Error) => died(started, error.message))
    started.on("exit", (code) => died(started, `exit code ${code}`))
    return started
  }

  yield* Effect.addFinalizer(() =>
    Effect.promise(async () => {
      closed = true
      const last = worker
      if (last !== undefined) {
        died(last, "the program is ending")
        await last.terminate()
      }
    })
  )

  const ask = (
    sql: string,
    params: ReadonlyArray<unknown>,
    values: boolean
  ): Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError> =>
    Effect.async((resume) => {
      if (closed) return resume(Effect.fail(failure("the program is ending")))
      const request: ReadRequest = { id: (last += 1), sql, params, values }
      pending.set(request.id, (reply) =>
        resume(
          "rows" in reply ? Effect.succeed(reply.rows) : Effect.fail(failure(reply.error.message, reply.error.code))
        )
      )
      try {
        worker ??= start()
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
        worker.postMessage(request)
      } catch (error) {
        pending.delete(request.id)
        return resume(Effect.fail(failure(error instanceof Error ? error.message : String(error))))
      }
      // the statement itself can't be stopped; its answer then finds nobody
      return Effect.sync(() => pending.delete(request.id))
    })

  return { ask } satisfies { readonly ask: typeof ask }
})

const isRow = (row: unknown): row is SqlConnection.Row => typeof row === "object" && row !== null

const isValues = (row: unknown): row is ReadonlyArray<unknown> => Array.isArray(row)

/** With the code of the database's own error, so that the reason reads the same as on the other connection. */
const failure = (message: string, code = ""): SqlError.SqlError =>
  new SqlError.SqlError({ cause: Object.assign(new Error(message), { code }), message })
