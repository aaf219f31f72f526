/**
 * The FTP connections of a lane, each for one attempt at a time and used again by the next.
 */
import { Clock, Effect, Option, Redacted, type Scope } from "effect"
import type { DeliveryError } from "../../domain/DeliveryError.ts"
import type { Secrets } from "../../domain/Settings.ts"
import type { Target } from "../../domain/Target.ts"
import { connect, secureOf, type FtpClient, type Options } from "./FtpClient.ts"

export interface FtpPool {
  /** A connection for this scope; it is kept for the next one unless anything went wrong on it. */
  readonly get: (target: Target, secrets: Secrets) => Effect.Effect<FtpClient, DeliveryError, Scope.Scope>
}

/** A connection that was idle for so long is asked whether it is still there; in milliseconds. */
const probeAfter = 5_000
/** And after so long it is given back to the server. */
const closeAfter = 30_000

interface Idle {
  readonly key: string
  readonly client: FtpClient
  readonly since: number
}

/** As many connections as are asked for at once, which is the lane's concurrency. */
export const make = (options: Options): Effect.Effect<FtpPool, never, Scope.Scope> =>
  Effect.gen(function* () {
    let idle: ReadonlyArray<Idle> = []
    yield* Effect.addFinalizer(() => Effect.forEach(idle, ({ client }) => client.close, { discard: true }))
    const closeOld = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const old = idle.filter(({ since }) => now - since >= closeAfter)
      idle = idle.filter((entry) => !old.includes(entry))
      return Effect.forEach(old, ({ client }) => client.close, { discard: true })
    })
    yield* Effect.forkScoped(Effect.forever(Effect.delay(closeOld, closeAfter / 2)))

    const take = (key: string): Effect.Effect<Option.Option<FtpClient>> =>
      Effect.suspend(() => {
        const found = idle.findLast((entry) => entry.key === key)
        if (found === undefined) return Effect.succeedNone
        idle = idle.filter((entry) => entry !== found)
        return Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (!found.client.usable()) return take(key)
          if (now - found.since < probeAfter) return Effect.succeedSome(found.client)
          return found.client.ask("NOOP").pipe(
            Effect.timeout(probeAfter),
            Effect.matchEffect({
              onSuccess: () => Effect.succeedSome(found.client),
              onFailure: () => Effect.zipRight(found.client.close, take(key))
            })
          )
        })
      })

    return {
      get: (target, secrets) => {
        const password = Option.match(secrets.password, { onNone: () => "", onSome: Redacted.value })
        // a changed password or time-out wants another connection
        const key = JSON.stringify([secureOf(target), target.options.timeout, target.options.ca, password])
        const keepOrClose = (client: FtpClient) =>
          Effect.addFinalizer(() =>
            client.usable()
              ? Effect.map(Clock.currentTimeMillis, (since) => {
                  idle = [...idle, { key, client, since }]
                })
              : client.close
          )
        return Effect.uninterruptibleMask((restore) =>
          restore(
            Effect.flatMap(
              take(key),
              Option.match({ onSome: Effect.succeed, onNone: () => connect(target, password, options) })
            )
          ).pipe(Effect.tap(keepOrClose))
        )
      }
    }
  })
