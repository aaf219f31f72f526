/**
 * Every failure as JSON with `detail` and the right status, whatever went wrong and wherever.
 */
import { HttpApi, HttpApiError, type HttpApp, HttpServerError, HttpServerResponse } from "@effect/platform"
import { Cause, Effect } from "effect"
import { Api } from "./Api.ts"
import { BadRequest, Conflict, Failed, NotFound, NotReady, Unauthorized } from "./ApiSchema.ts"

/** An answer that says what was wrong. */
export const failure = (
  status: number,
  detail: string,
  headers: Record<string, string> = {}
): HttpServerResponse.HttpServerResponse => HttpServerResponse.unsafeJson({ detail }, { status, headers })

/** Answers instead of failing: for the handlers' own errors, unreadable requests, unknown routes, and bugs. */
export const answerFailures = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
  Effect.catchAllCause(app, (cause) => {
    if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause)
    const known = describe(Cause.squash(cause))
    return known === undefined
      ? Effect.as(Effect.logError("a request failed", cause), failure(500, "an error in the program: its log has more"))
      : Effect.succeed(known)
  })

const describe = (error: unknown): HttpServerResponse.HttpServerResponse | undefined => {
  if (HttpServerResponse.isServerResponse(error)) return error
  if (error instanceof HttpApiError.HttpApiDecodeError) return failure(400, describeIssues(error.issues))
  if (errors.some((kind) => error instanceof kind) && hasDetail(error)) return failure(error.status, error.detail)
  if (!HttpServerError.isServerError(error)) return undefined
  switch (error._tag) {
    case "RouteNotFound":
      return describeRoute(error.request.method, error.request.originalUrl)
    case "RequestError":
      return describeBody(error.cause)
    default:
      return undefined
  }
}

const errors = [BadRequest, Unauthorized, NotFound, Conflict, Failed, NotReady]

const hasDetail = (error: unknown): error is { readonly status: number; readonly detail: string } =>
  typeof error === "object" && error !== null && "status" in error && "detail" in error

const describeIssues = (issues: HttpApiError.HttpApiDecodeError["issues"]): string => {
  const texts = issues.slice(0, maxIssues).map(({ message, path }) => {
    const where = short(path.map(String).join("."))
    const allowed = /^is unexpected, expected: (.*)$/s.exec(message)?.[1]
    const what =
      allowed === undefined
        ? short(message)
        : `is not known here; known are ${allowed.replaceAll('"', "").replaceAll(" | ", ", ")}`
    return where === "" ? `the request: ${what}` : `${where} ${what}`
  })
  const more = issues.length - texts.length
  return [...texts, ...(more === 0 ? [] : [`and ${more} more`])].join("; ")
}

/** What was sent comes back in the answer: a beginning of it. */
const short = (text: string): string => (text.length > maxText ? `${text.slice(0, maxText)}…` : text)
const maxIssues = 20
const maxText = 500

const describeBody = (cause: unknown): HttpServerResponse.HttpServerResponse => {
  if (cause instanceof SyntaxError) return failure(400, `the body is not valid JSON: ${cause.message}`)
  return cause instanceof Error && cause.message === "maxBytes exceeded"
    ? failure(413, tooLarge)
    : failure(400, "the body could not be read")
}

/** The largest body that is read, in bytes. */
export const maxBody = 1024 * 1024

export const tooLarge = `the body is too large: ${maxBody} bytes at most`

interface Route {
  readonly method: string
  readonly pattern: RegExp
}

const routes: ReadonlyArray<Route> = (() => {
  const all: Array<Route> = []
  HttpApi.reflect(Api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint }) => {
      all.push({
        method: endpoint.method,
        pattern: new RegExp(`^${endpoint.path.replaceAll(".", "\\.").replace(/:\w+/g, "[^/]+")}$`)
      })
    }
  })
  return all
})()

const describeRoute = (method: string, url: string): HttpServerResponse.HttpServerResponse => {
  const path = url.replace(/[?#].*$/s, "")
  const allowed = new Set(routes.filter(({ pattern }) => pattern.test(path)).map((route) => route.method))
  if (allowed.size === 0) {
    return failure(404, `there is nothing at ${path.slice(0, 200)}; /api/v1/schema lists what there is`)
  }
  if (allowed.has("GET")) allowed.add("HEAD")
  if (allowed.has(method)) return failure(400, `the path ${path.slice(0, 200)} can't be read`)
  const list = Array.from(allowed).join(", ")
  return failure(405, `${method} is not possible here; possible are ${list}`, { allow: list })
}
