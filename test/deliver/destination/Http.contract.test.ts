import { Effect } from "effect"
import * as Http from "../../../src/deliver/destination/Http.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { destinationContract, targetOptions } from "../../contracts/destination.ts"
import { startHttpServer } from "../../servers/http.ts"
import { noSecrets, unlimited } from "../../../src/domain/Settings.ts"

const farSide = (upload: TargetOptions["upload"]) =>
  Effect.gen(function* () {
    const server = yield* startHttpServer()
    const target = (port: number) => (options?: Partial<TargetOptions>, folder?: string) => {
      const path = folder === undefined ? "/root" : `/root/${folder}`
      return {
        target: {
          url: `http://127.0.0.1:${port}${path}`,
          scheme: "http",
          lane: `http://127.0.0.1:${port}`,
          host: "127.0.0.1",
          port,
          username: null,
          path,
          options: targetOptions({ upload, ...options })
        },
        secrets: noSecrets,
        bandwidth: unlimited
      }
    }
    return {
      destination: yield* Http.make({ version: "0.0.0" }),
      target: target(server.port),
      down: target(1)(),
      read: (to: { readonly path: string }, name: string) => Effect.sync(() => server.files.get(`${to.path}/${name}`)),
      put: (to: { readonly path: string }, name: string, bytes: Uint8Array) =>
        Effect.sync(() => void server.files.set(`${to.path}/${name}`, bytes)),
      list: (to: { readonly path: string }) =>
        Effect.sync(() =>
          Array.from(server.files.keys())
            .filter((key) => key.startsWith(`${to.path}/`))
            .map((key) => key.slice(to.path.length + 1))
        )
    }
  })

const common = { streams: true, temps: false, adopts: "nothing", hashes: true } as const

destinationContract({
  name: "http, as a form",
  capabilities: { ...common, folders: false, bytes: false, lineBreaks: true },
  make: farSide("multipart")
})

destinationContract({
  name: "http, the bare body",
  capabilities: { ...common, folders: true, bytes: true, lineBreaks: true },
  make: farSide("raw")
})
