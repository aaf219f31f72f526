/**
 * The entry of the worker thread that reads the database for the API, so that no query delays a delivery.
 *
 * It knows nothing of the program: SQL comes in, rows or an error go out, one answer to each question, in order.
 */
import Sqlite from "better-sqlite3"
import { parentPort, workerData } from "node:worker_threads"

export interface ReadRequest {
  readonly id: number
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  /** Rows as arrays of values instead of as objects. */
  readonly values: boolean
}

export type ReadReply =
  | { readonly id: number; readonly rows: ReadonlyArray<unknown> }
  | { readonly id: number; readonly error: { readonly message: string; readonly code: string } }

const filename: unknown = workerData?.filename
let database: Sqlite.Database | undefined
const statements = new Map<string, Sqlite.Statement>()

const open = (): Sqlite.Database => {
  if (typeof filename !== "string") throw new TypeError("no database was named")
  // opened at the first question, when whoever writes it has made it
  return (database ??= new Sqlite(filename, { readonly: true, fileMustExist: true, timeout: 5_000 }))
}

const prepare = (sql: string): Sqlite.Statement => {
  const known = statements.get(sql)
  if (known !== undefined) return known
  const statement = open().prepare(sql)
  if (statements.size >= 200) statements.clear()
  statements.set(sql, statement)
  return statement
}

const answer = (request: ReadRequest): ReadReply => {
  try {
    const statement = prepare(request.sql)
    if (statement.reader) statement.raw(request.values)
    return { id: request.id, rows: statement.all(...request.params) }
  } catch (error) {
    return {
      id: request.id,
      error: {
        message: error instanceof Error ? error.message : String(error),
        code: error instanceof Sqlite.SqliteError ? error.code : ""
      }
    }
  }
}

parentPort?.on("message", (request: ReadRequest) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(answer(request))
})
