/**
 * SFTP servers: `sftp://user@host:22/path`.
 *
 * One SSH connection for each lane, on which many files are under way at once. Nothing but the name of the user's own
 * software is sent to a server that has not shown the right host key.
 */
import { Clock, Deferred, Effect, FiberId, Option, Redacted, type Scope } from "effect"
import type { DeliveryError } from "../../domain/DeliveryError.ts"
import type { Secrets } from "../../domain/Settings.ts"
import type { Target } from "../../domain/Target.ts"
import * as Destination from "../Destination.ts"
import * as Staging from "../Staging.ts"
import * as about from "./about.ts"
import * as SftpSession from "./SftpSession.ts"
import * as SshConnection from "./SshConnection.ts"

/** A connection that nobody uses is given back to the server after so long, in milliseconds. */
const closeAfter = 30_000

const traits: Staging.Traits = {
  sessions: () => makePool,
  // names are bytes in the protocol, and the rest is checked for all protocols alike
  refuses: () => undefined,
  // several pieces of a chunk are under way for as long as the server likes
  drains: false
}

export const make = (): Effect.Effect<Destination.Destination> =>
  Effect.succeed({
    ...about.sftp,
    open: (lane, options) => Staging.open(traits, lane, options)
  })

export const layer = () => Destination.layer(make())

/** A connection that attempts share, or that is being made for them. */
interface Shared {
  readonly key: string
  readonly made: Deferred.Deferred<SshConnection.SshConnection, DeliveryError>
  connection: SshConnection.SshConnection | undefined
  users: number
  /** When the last user left. */
  since: number
}

const makePool: Effect.Effect<Staging.Sessions, never, Scope.Scope> = Effect.gen(function* () {
  const scope = yield* Effect.scope
  let all: ReadonlyArray<Shared> = []
  const drop = (shared: Shared) =>
    Effect.suspend(() => {
      all = all.filter((other) => other !== shared)
      return shared.connection?.close ?? Effect.void
    })
  yield* Effect.addFinalizer(() => Effect.forEach(all, drop, { discard: true }))

  const closeIdle = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.forEach(
      all.filter(
        ({ connection, since, users }) => connection !== undefined && users === 0 && now - since >= closeAfter
      ),
      drop,
      { discard: true }
    )
  )
  yield* Effect.forkScoped(Effect.forever(Effect.delay(closeIdle, closeAfter / 2)))

  /** In a fiber of its own: who asked for it first may be interrupted while others wait for it, too. */
  const begin = (shared: Shared, target: Target, secrets: Secrets) =>
    SshConnection.connect(target, secrets).pipe(
      Effect.tap((connection) => Effect.sync(() => (shared.connection = connection))),
      Effect.tapErrorCause(() => drop(shared)),
      Effect.intoDeferred(shared.made),
      Effect.forkIn(scope)
    )

  const take = (target: Target, secrets: Secrets): Effect.Effect<Shared> =>
    Effect.suspend(() => {
      const key = keyOf(target, secrets)
      all = all.filter(({ connection }) => connection?.closed() !== true)
      const found = all.find((shared) => shared.key === key)
      if (found !== undefined) {
        found.users += 1
        return Effect.succeed(found)
      }
      const made = Deferred.unsafeMake<SshConnection.SshConnection, DeliveryError>(FiberId.none)
      const shared: Shared = { key, made, connection: undefined, users: 1, since: 0 }
      all = [...all, shared]
      return Effect.as(begin(shared, target, secrets), shared)
    })

  const giveBack = (shared: Shared) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      shared.users -= 1
      shared.since = now
    })

  return {
    get: (target, secrets) =>
      Effect.flatMap(Effect.acquireRelease(take(target, secrets), giveBack), ({ made }) =>
        Effect.map(Deferred.await(made), (connection) => SftpSession.make(connection, target))
      )
  }
})

/** What a connection is made with: a change of the config wants another. */
const keyOf = ({ options, username }: Target, { passphrase, password }: Secrets): string =>
  JSON.stringify([
    username,
    options.timeout,
    options.key,
    options.agent,
    options.knownHosts,
    options.hostKey,
    ...[password, passphrase].map((secret) => Option.getOrNull(Option.map(secret, Redacted.value)))
  ])
