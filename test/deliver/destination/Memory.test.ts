import { Effect } from "effect"
import * as Memory from "../../../src/deliver/destination/Memory.ts"
import { location } from "../../../src/domain/Target.ts"
import { destinationContract, targetOptions } from "../../contracts/destination.ts"
import { noSecrets, unlimited } from "../../../src/domain/Settings.ts"

destinationContract({
  name: "memory",
  capabilities: {
    folders: true,
    bytes: true,
    lineBreaks: true,
    streams: true,
    temps: false,
    adopts: "chosen",
    hashes: true,
    examines: "hash"
  },
  make: Effect.sync(() => {
    const memory = Memory.make()
    return {
      destination: memory.destination,
      target: (options, folder = "root") => ({
        target: {
          url: `memory://there/${folder}`,
          scheme: "memory",
          lane: "memory://there",
          host: "there",
          port: null,
          username: null,
          path: `/${folder}`,
          options: targetOptions(options)
        },
        secrets: noSecrets,
        bandwidth: unlimited,
        rename: "{relpath}"
      }),
      read: (target, name) => Effect.sync(() => memory.files.get(location(target, name))),
      put: (target, name, bytes) => Effect.sync(() => memory.put(location(target, name), bytes)),
      list: (target) =>
        Effect.sync(() =>
          Array.from(memory.files.keys())
            .filter((key) => key.startsWith(`${target.url}/`))
            .map((key) => key.slice(target.url.length + 1))
        )
    }
  })
})
