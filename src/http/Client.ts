/**
 * The client that is derived from the API's definition: for embedding apps, and for the commands that talk to a
 * running daemon. It needs an `HttpClient`, such as `NodeHttpClient.layerUndici` or `FetchHttpClient.layer`.
 */
import { HttpApiClient, HttpClient, HttpClientRequest } from "@effect/platform"
import { Effect, Option, type Redacted } from "effect"
import { Api } from "./Api.ts"

export interface ClientOptions {
  /** Where the daemon listens, such as `http://127.0.0.1:3001`. */
  readonly baseUrl: string | URL
  readonly token?: Option.Option<Redacted.Redacted> | undefined
}

export const make = Effect.fnUntraced(function* ({ baseUrl, token = Option.none() }: ClientOptions) {
  return yield* HttpApiClient.make(Api, {
    baseUrl,
    transformClient: Option.match(token, {
      onNone: () => (client: HttpClient.HttpClient) => client,
      onSome: (secret) => HttpClient.mapRequest(HttpClientRequest.bearerToken(secret))
    })
  })
})

export type Client = Effect.Effect.Success<ReturnType<typeof make>>

/** The base URL of a daemon with these settings, for programs on the same machine. */
export const localUrl = ({ host, port }: { readonly host: string; readonly port: number }): string => {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host
  return `http://${reachable.includes(":") && !reachable.startsWith("[") ? `[${reachable}]` : reachable}:${port}`
}
