/**
 * Redirects that keep method and body (307 and 308; RFC 9110, 15.4), within the origin of the target: anywhere else
 * they would carry the file and the password to a place that nobody configured.
 */
import { Effect, Option } from "effect"
import { PermanentError, type DeliveryError } from "../../domain/DeliveryError.ts"
import type { Target } from "../../domain/Target.ts"
import { originOf, type Answer, type Request } from "./HttpExchange.ts"

export interface Hop {
  readonly request: Request
  readonly answer: Answer
}

const maxHops = 5

/** Sends to a path and wherever that leads; each hop makes its request, and opens its source, anew. */
export const follow = <A extends Hop>(
  target: Target,
  path: string,
  hop: (path: string) => Effect.Effect<A, DeliveryError>
): Effect.Effect<A, DeliveryError> => {
  const next = (path: string, hops: number): Effect.Effect<A, DeliveryError> =>
    Effect.flatMap(hop(path), (made) => {
      const { answer } = made
      if (answer.status !== 307 && answer.status !== 308) return Effect.succeed(made)
      const to = within(target, path, answer.header("location"))
      if (to === undefined) return Effect.succeed(made)
      if (hops >= maxHops) {
        return new PermanentError({
          reason: `${target.url} redirects again and again, ${maxHops + 1} times so far. Check the URL, and the server's own configuration.`,
          cause: Option.none()
        })
      }
      return next(to, hops + 1)
    })
  return next(path, 0)
}

/** The path and query that a `Location` names, where it is in the origin of the target. */
export const within = (target: Target, path: string, location: string | undefined): string | undefined => {
  const base = `${originOf(target)}${path}`
  if (location === undefined || !URL.canParse(location, base)) return undefined
  const url = new URL(location, base)
  return url.origin === new URL(base).origin && url.username === "" ? `${url.pathname}${url.search}` : undefined
}
