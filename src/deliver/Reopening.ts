/**
 * A connection that can be opened anew, with other options, while attempts are under way on the old one: those go on,
 * and it is closed when the last of them has ended.
 */
import { Effect, ExecutionStrategy, Exit, Scope } from "effect"
import type { Connection } from "./Destination.ts"

export interface Reopening {
  /** Whatever is asked of it goes to the one that was opened last. */
  readonly connection: Connection
  readonly reopen: (open: Effect.Effect<Connection, never, Scope.Scope>) => Effect.Effect<void>
}

interface Opened {
  readonly connection: Connection
  readonly scope: Scope.CloseableScope
  users: number
  retired: boolean
}

/** The connections are closed with the scope at the latest. */
export const make = (
  open: Effect.Effect<Connection, never, Scope.Scope>
): Effect.Effect<Reopening, never, Scope.Scope> =>
  Effect.gen(function* () {
    const parent = yield* Effect.scope
    const start = (how: Effect.Effect<Connection, never, Scope.Scope>): Effect.Effect<Opened> =>
      Effect.gen(function* () {
        const scope = yield* Scope.fork(parent, ExecutionStrategy.sequential)
        return { connection: yield* Scope.extend(how, scope), scope, users: 0, retired: false }
      })
    let current = yield* start(open)

    const close = (opened: Opened): Effect.Effect<void> =>
      opened.retired && opened.users === 0 ? Scope.close(opened.scope, Exit.void) : Effect.void

    const using = <A, E>(use: (connection: Connection) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          current.users += 1
          return current
        }),
        ({ connection }) => use(connection),
        (opened) =>
          Effect.suspend(() => {
            opened.users -= 1
            return close(opened)
          })
      )

    // what a destination can do does not depend on the options
    const { batch, discard, probe } = current.connection
    return {
      connection: {
        deliver: (task) => using((connection) => connection.deliver(task)),
        recover: (task) => using((connection) => connection.recover(task)),
        ...(discard === undefined
          ? {}
          : { discard: (task) => using((connection) => (connection.discard ?? discard)(task)) }),
        ...(probe === undefined ? {} : { probe: (task) => using((connection) => (connection.probe ?? probe)(task)) }),
        ...(batch === undefined
          ? {}
          : {
              batch: {
                size: batch.size,
                counted: batch.counted,
                get workers() {
                  return (current.connection.batch ?? batch).workers
                },
                accepts: (delivery) => (current.connection.batch ?? batch).accepts(delivery),
                deliver: (tasks) => using((connection) => (connection.batch ?? batch).deliver(tasks))
              }
            })
      },
      reopen: (how) =>
        Effect.uninterruptible(
          Effect.gen(function* () {
            const next = yield* start(how)
            const old = current
            current = next
            old.retired = true
            yield* close(old)
          })
        )
    }
  })
