/**
 * What an S3 service's refusals mean for the delivery: its error codes (Amazon S3 API Reference, "Error responses"),
 * those of the services that are like it, and the status where there is no code.
 */
import { Clock, Effect, Option } from "effect"
import { LaneDownError, PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { retryAfterMillis, type Answer } from "./HttpExchange.ts"
import { parseError } from "./S3Xml.ts"

/** What an answer is about, for its message. */
export interface About {
  /** The target and the endpoint. */
  readonly where: string
  readonly bucket: string
  readonly region: string
  /** What was asked for: "PUT of a.txt". */
  readonly what: string
}

/** The service's own code for what went wrong; undefined where there is none. */
export const errorCode = (answer: Answer): string | undefined =>
  parseError(answer.body)?.Code ?? answer.header("x-amz-error-code")

/** Whether it says that it does not know what was asked of it, instead of being against it. */
export const isUnsupported = (answer: Answer): boolean => {
  if (answer.status === 501 || answer.status === 405) return true
  const code = errorCode(answer)
  return answer.status === 400 && (code === undefined || unsupported.has(code))
}

const unsupported = new Set([
  "NotImplemented",
  "InvalidRequest",
  "InvalidArgument",
  "UnsupportedArgument",
  "UnsupportedHeader",
  "InvalidHeader",
  "BadRequest"
])

export const refused = (about: About, answer: Answer): Effect.Effect<never, DeliveryError> =>
  Effect.gen(function* () {
    const error = parseError(answer.body)
    const code = errorCode(answer)
    const now = yield* Clock.currentTimeMillis
    const retryAfter = retryAfterMillis(answer.header("retry-after"), now)
    const wait = retryAfter === undefined ? {} : { retryAfter }
    const said = `${about.where} answered ${RelPath.display(answer.said)}${code === undefined ? "" : ` (${RelPath.display(code.slice(0, 100))})`} to the ${about.what}`
    const cause = Option.none()
    const down = (advice: string) => new LaneDownError({ reason: `${said}. ${advice}`, cause, ...wait })
    const region = answer.header("x-amz-bucket-region") ?? error?.Region

    if (region !== undefined && region !== about.region && redirects(answer, code)) {
      return yield* down(
        `The bucket is in ${RelPath.display(region.slice(0, 40))}, not in ${about.region}: set \`region: ${RelPath.display(region.slice(0, 40))}\`.`
      )
    }
    const advice = code === undefined ? undefined : laneDown.get(code)
    if (advice !== undefined) return yield* down(advice.replaceAll("{bucket}", about.bucket))
    if (code === "RequestTimeTooSkewed" || code === "RequestExpired") {
      return yield* down(`Check the clock of this machine: ${skew(answer.header("date"), now)}.`)
    }
    if (code !== undefined && transient.has(code))
      return yield* new TransientError({ reason: `${said}.`, cause, ...wait })
    const final = code === undefined ? undefined : permanent.get(code)
    if (final !== undefined) return yield* new PermanentError({ reason: `${said}. ${final}`, cause })

    const { status } = answer
    if (status >= 300 && status < 400) {
      return yield* down("It redirects elsewhere, which is not followed: check `region` and `endpoint`.")
    }
    if (status === 401 || status === 403 || status === 407) return yield* down(denied)
    if (status === 507) return yield* down("It has no room left. Make room there.")
    if (status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501 && status !== 505)) {
      return yield* new TransientError({ reason: `${said}.`, cause, ...wait })
    }
    const message = error?.Message === undefined ? "" : ` It says: ${RelPath.display(error.Message.slice(0, 300))}`
    return yield* new PermanentError({ reason: `${said}.${message}`, cause })
  })

const redirects = (answer: Answer, code: string | undefined): boolean =>
  (answer.status >= 300 && answer.status < 400) ||
  code === "AuthorizationHeaderMalformed" ||
  code === "IllegalLocationConstraintException" ||
  (answer.status === 400 && code === undefined)

const denied =
  "Check the access key, and what it may do: s3:PutObject, s3:GetObject, s3:ListBucket, s3:DeleteObject and s3:AbortMultipartUpload on the bucket."
const full = "It has no room left for this. Make room there, or raise the quota."
const keys = "Check the access key and the secret key."

const laneDown = new Map([
  ["AccessDenied", denied],
  ["AllAccessDisabled", denied],
  ["AccountProblem", "The account has a problem there: ask its provider."],
  ["InvalidAccessKeyId", `It does not know this access key. ${keys}`],
  ["SignatureDoesNotMatch", `The secret key is not the one of this access key. ${keys}`],
  ["InvalidSecurity", keys],
  ["NotSignedUp", keys],
  ["ExpiredToken", "The session token has expired: get new credentials."],
  ["TokenRefreshRequired", "The session token has expired: get new credentials."],
  ["InvalidToken", "The session token is not valid: get new credentials."],
  ["NoSuchBucket", "There is no bucket {bucket}: make it there, or check the target's URL."],
  ["InvalidBucketName", "{bucket} is no name for a bucket: check the target's URL."],
  ["PermanentRedirect", "The bucket is at another endpoint: check `region` and `endpoint`."],
  ["AuthorizationHeaderMalformed", "Check `region`: it is part of the signature."],
  ["QuotaExceeded", full],
  ["XMinioStorageFull", full],
  ["XMinioAdminBucketQuotaExceeded", full],
  ["InsufficientStorage", full],
  ["StorageFull", full]
])

const transient = new Set([
  "SlowDown",
  "ServiceUnavailable",
  "InternalError",
  "Throttling",
  "ThrottlingException",
  "RequestLimitExceeded",
  "BandwidthLimitExceeded",
  "TooManyRequests",
  "RequestTimeout",
  "OperationAborted",
  "ConditionalRequestConflict",
  "TemporaryRedirect",
  "BadDigest",
  "IncompleteBody",
  "XAmzContentSHA256Mismatch",
  "XAmzContentChecksumMismatch",
  "NoSuchUpload",
  "InvalidPart",
  "InvalidPartOrder"
])

const permanent = new Map([
  ["EntityTooLarge", "The file is larger than it takes."],
  ["EntityTooSmall", "Its parts are smaller than it takes: set `partSize` to 5 MiB or more."],
  ["KeyTooLongError", "The name is too long for it: rename the file, or shorten the target's path."],
  ["InvalidObjectName", "It does not take this name: rename the file."],
  ["XMinioInvalidObjectName", "It does not take this name: rename the file."],
  ["XMinioParentIsObject", "An object has the name of a folder above it: rename one of them."],
  ["InvalidObjectState", "What is there is archived, and can't be read."],
  ["MethodNotAllowed", "It does not take that there: check `endpoint` and `pathStyle`."]
])

const skew = (date: string | undefined, now: number): string => {
  const theirs = date === undefined ? Number.NaN : Date.parse(date)
  if (Number.isNaN(theirs)) return "it is too far from the server's"
  const seconds = Math.round((now - theirs) / 1000)
  return `it is ${Math.abs(seconds)} s ${seconds < 0 ? "behind" : "ahead of"} the server's`
}
