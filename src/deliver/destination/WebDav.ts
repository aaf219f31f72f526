/**
 * `webdav` and `webdavs` (RFC 4918): over HTTP and HTTPS, with the agents, log-ins and certificates of those.
 *
 * A file is PUT under a temp name in the folder of its final name, its size there is asked for, and a MOVE brings it
 * under its final name. So nobody sees a part of it under its final name. Whether there is a moment without any file
 * when an older one is replaced is up to the server: the RFC lets it delete that first (9.9.3).
 *
 * An upload that was cut begins again: no standard says how a file is continued. There is no standard for a hash
 * either: `verify: hash` reads the file back. User and password go out as Basic, a token as Bearer; Digest is not
 * spoken. The time of a file is kept where the server accepts `X-OC-Mtime` (Nextcloud, ownCloud).
 */
import { Effect, type Layer } from "effect"
import * as Destination from "../Destination.ts"
import * as Staging from "../Staging.ts"
import * as about from "./about.ts"
import * as Exchange from "./HttpExchange.ts"
import { makeSession, nothingLearned } from "./WebDavClient.ts"

export type Options = Exchange.Options

export const make = (options: Options = {}): Effect.Effect<Destination.Destination> =>
  Effect.succeed({
    ...about.webDav,
    open: (lane, open) => Staging.open(traits(options), lane, open)
  })

export const layer = (options: Options = {}): Layer.Layer<never, never, Destination.Destinations> =>
  Destination.layer(make(options))

const traits = (options: Options): Staging.Traits => ({
  // a path of a URL carries any bytes
  refuses: () => undefined,
  drains: true,
  sessions: () =>
    Effect.map(Exchange.make(options), (exchange) => {
      const learned = nothingLearned()
      return { get: (target, secrets) => Effect.succeed(makeSession(exchange, learned, target, secrets)) }
    })
})
