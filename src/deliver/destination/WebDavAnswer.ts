/**
 * What a WebDAV server's answers mean: RFC 4918 has statuses of its own, and some of HTTP's say more there.
 */
import { Effect, Option } from "effect"
import { LaneDownError, PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Target } from "../../domain/Target.ts"
import * as Exchange from "./HttpExchange.ts"
import * as Multistatus from "./multistatus.ts"

/** There is nothing. */
export const isGone = (status: number): boolean => status === 404 || status === 410

/** A 207 is a success unless it speaks of a failure (RFC 4918, 9.6.1 and 9.9.4). */
export const isDone = (answer: Exchange.Answer): boolean =>
  answer.status >= 200 &&
  answer.status < 300 &&
  (answer.status !== 207 || Multistatus.parse(answer.body)?.every(({ status }) => (status ?? 200) < 400) === true)

/** What follows from an answer that is not a success. */
export const refused = (
  target: Target,
  method: string,
  given: Exchange.Answer
): Effect.Effect<never, DeliveryError> => {
  const cause = Option.none()
  const failed = given.status === 207 ? failedPart(given) : given
  if (failed === undefined) {
    const reason = `${target.url} answered ${RelPath.display(given.said)} to ${method}, and what it says of the parts can't be understood.`
    return Effect.fail(new TransientError({ reason, cause }))
  }
  const answer = { ...failed, said: `${failed.said} to ${method}` }
  const answered = `${target.url} answered ${RelPath.display(answer.said)}`
  const { status } = answer
  const transient = (why: string) => Effect.fail(new TransientError({ reason: `${answered}: ${why}`, cause }))
  const down = (why: string) => Effect.fail(new LaneDownError({ reason: `${answered}: ${why}`, cause }))
  const permanent = (why: string) => Effect.fail(new PermanentError({ reason: `${answered}: ${why}`, cause }))

  if (status === 401 && /^digest\b/i.test(answer.header("www-authenticate") ?? "")) {
    return down("it asks for Digest authentication, which is not supported. Allow Basic there, over webdavs.")
  }
  if (status === 423) {
    return transient("somebody holds a lock on it. If that lasts, remove the lock there.")
  }
  if (method === "MOVE") {
    switch (status) {
      case 400:
        return permanent(misdirected)
      case 502:
        return transient(misdirected)
      case 403:
        return down("files can be stored there but not renamed. Let the user rename there.")
      case 404:
        return transient("what was stored a moment ago is not there any more. Something else removes files there.")
      case 405:
      case 501:
        return down(
          "it does not rename, so that no file could appear there whole. Switch MOVE on, or use an http target with `upload: raw`."
        )
      case 409:
        return transient("the folder may have been removed meanwhile.")
    }
  }
  if (status === 405 || status === 501)
    return down("it does not take that there. Check the target's URL, and that WebDAV is switched on.")
  if (status === 409) return permanent("it conflicts with what is there. Check the folders above it.")
  return Exchange.refused({ target }, answer)
}

const misdirected =
  "it may not know itself by the name in the target's URL. Use the name that it has itself, or let the proxy before it keep `Host`."

/** The answer that a multistatus has for the part that failed. */
const failedPart = (answer: Exchange.Answer): Exchange.Answer | undefined => {
  const status = Multistatus.parse(answer.body)?.find((part) => (part.status ?? 200) >= 400)?.status
  return status === undefined ? undefined : { ...answer, status, said: `${answer.said} with a ${status} in it` }
}
