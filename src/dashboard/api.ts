/**
 * How the page talks to the program: the client that is derived from the API's definition, and the stream of what
 * happens now. A change of the API that breaks the page breaks its types.
 */
import { FetchHttpClient } from "@effect/platform"
import { Effect, Either, Option, Redacted, Schema } from "effect"
import { Now } from "../http/ApiSchema.ts"
import * as Client from "../http/Client.ts"
import { cell } from "./cell.ts"
import { frames } from "./frames.ts"

/** What kept an answer from coming. `away`: nobody answers; `token`: it wants another one; `refused`: it says why not. */
export interface Problem {
  readonly kind: "away" | "token" | "refused"
  readonly text: string
}

/** How the page stands with the program. */
export type Connection =
  | { readonly state: "connecting" }
  | { readonly state: "open" }
  | { readonly state: "away"; readonly since: number; readonly text: string }
  | { readonly state: "token"; readonly text: string }

export const connection = cell<Connection>({ state: "connecting" })

/** What is known of the present, as last told; it stays while the program is away. */
export const now = cell<Now | undefined>(undefined)

// for this tab alone, and gone with it
const tokenKey = "filedispatch.token"
const token = (): Option.Option<Redacted.Redacted> =>
  Option.map(Option.fromNullable(sessionStorage.getItem(tokenKey)), (text) => Redacted.make(text))

/** Calls the API. Never rejects. */
export const ask = <A, E>(
  run: (client: Client.Client) => Effect.Effect<A, E>,
  signal?: AbortSignal
): Promise<Either.Either<A, Problem>> =>
  Client.make({ baseUrl: location.origin, token: token() })
    .pipe(
      Effect.flatMap(run),
      Effect.provide(FetchHttpClient.layer),
      Effect.catchAllDefect((defect) => Effect.fail(defect)),
      Effect.mapError(problemOf),
      Effect.tapError((problem) =>
        Effect.sync(() => {
          if (problem.kind === "token") connection.set({ state: "token", text: problem.text })
        })
      ),
      Effect.either,
      (effect) => Effect.runPromise(effect, signal === undefined ? {} : { signal })
    )
    .catch(() => Either.left({ kind: "away", text: "The question was given up." }))

/** A file that the API makes, such as an export. */
export const download = async (path: string): Promise<Either.Either<Blob, Problem>> => {
  try {
    const response = await request(path)
    return response.ok ? Either.right(await response.blob()) : Either.left(await problemIn(response))
  } catch {
    return Either.left(away)
  }
}

const request = (path: string, signal?: AbortSignal): Promise<Response> =>
  fetch(path, {
    headers: Option.match(token(), {
      onNone: () => ({}),
      onSome: (secret) => ({ authorization: `Bearer ${Redacted.value(secret)}` })
    }),
    cache: "no-store",
    signal: signal ?? null
  })

const away: Problem = {
  kind: "away",
  text: "filedispatch does not answer: see whether it runs. The page goes on by itself."
}

const Detail = Schema.Struct({ detail: Schema.String })
const isDetail = Schema.is(Detail)
const isReason = Schema.is(Schema.TaggedStruct("RequestError", {}))

const problemOf = (error: unknown): Problem => {
  if (isDetail(error))
    return { kind: "_tag" in error && error._tag === "Unauthorized" ? "token" : "refused", text: error.detail }
  if (isReason(error)) return away
  return {
    kind: "refused",
    text: `The answer was not understood: reload the page, since the program may have been updated. (${String(error).slice(0, 300)})`
  }
}

const problemIn = async (response: Response): Promise<Problem> => {
  const body: unknown = await response.json().catch(() => undefined)
  const text = isDetail(body) ? body.detail : `It answered with status ${response.status}.`
  return { kind: response.status === 401 ? "token" : "refused", text }
}

const decodeNow = Schema.decodeUnknownEither(Schema.parseJson(Now))

/** Keeps `now` and `connection` true until it is told to stop; waits longer the longer nobody answers. */
export const follow = (): (() => void) => {
  const ending = new AbortController()
  let failures = 0
  let abort = new AbortController()
  let wake: () => void = () => undefined

  const once = async (): Promise<Problem> => {
    abort = new AbortController()
    // a connection that says nothing any more is none
    let quiet: ReturnType<typeof setTimeout> | undefined
    const heard = () => {
      clearTimeout(quiet)
      quiet = setTimeout(() => abort.abort(), 40_000)
    }
    heard()
    try {
      const response = await request("/api/v1/live", abort.signal)
      if (!response.ok || response.body === null) return await problemIn(response)
      for await (const frame of frames(response.body)) {
        heard()
        if (frame.event !== "now") continue
        const decoded = decodeNow(frame.data)
        if (Either.isLeft(decoded)) return problemOf(decoded.left.message)
        failures = 0
        now.set(decoded.right)
        if (connection.get().state !== "open") connection.set({ state: "open" })
      }
      return away
    } catch {
      return away
    } finally {
      clearTimeout(quiet)
    }
  }

  const run = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const problem = await once()
      if (ending.signal.aborted) return
      failures += 1
      const known = connection.get()
      connection.set(
        problem.kind === "token"
          ? { state: "token", text: problem.text }
          : { state: "away", since: known.state === "away" ? known.since : Date.now(), text: problem.text }
      )
      const wait = problem.kind === "token" ? 3_600_000 : Math.min(10_000, 500 * 2 ** Math.min(failures, 6))
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, wait)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
  void run()

  const again = () => {
    abort.abort()
    wake()
  }
  followers.add(again)
  window.addEventListener("online", again)
  return () => {
    ending.abort()
    followers.delete(again)
    window.removeEventListener("online", again)
    again()
  }
}

/** How to make those ask again that follow. */
const followers = new Set<() => void>()

/** From here on it is sent with every question of this tab. */
export const useToken = (text: string): void => {
  sessionStorage.setItem(tokenKey, text)
  connection.set({ state: "connecting" })
  for (const again of followers) again()
}
