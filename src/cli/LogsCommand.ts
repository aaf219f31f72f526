/**
 * What `filedispatch logs` takes.
 */
import * as Command from "@effect/cli/Command"
import { Either } from "effect"
import type { LogStatus } from "../domain/LogEntry.ts"
import * as Flags from "./Flags.ts"
import { handler } from "./Handler.ts"
import * as Help from "./Help.ts"

const options = {
  config: Flags.config,
  status: Flags.parsed("status", "STATUS", "SUCCEEDED or FAILED", (given) => {
    const status = given.toUpperCase()
    return isStatus(status) ? Either.right(status) : Either.left("SUCCEEDED or FAILED")
  }),
  filename: Flags.text("filename", "TEXT", "this file"),
  source: Flags.text("source", "DIRECTORY", "from this source"),
  destination: Flags.text("destination", "URL", "to this target"),
  extension: Flags.text("extension", "EXT", "with this extension"),
  protocol: Flags.text("protocol", "NAME", "over this protocol: file, http, ftp"),
  limit: Flags.integer("limit", "N", "at most so many (100)", 1, 1_000_000_000),
  db: Flags.db,
  json: Flags.json
}

export type Given = Command.Command.ParseConfig<typeof options>

export const logs = Command.make(
  "logs",
  options,
  handler(
    () => import("./Logs.ts"),
    ({ logs }, given: Given) => logs(given)
  )
).pipe(
  Command.withDescription(
    Help.description(
      "Shows the log, newest first: one line for each concluded delivery.",
      "filedispatch logs -c CONFIG [FILTERS]"
    )
  )
)

const isStatus = (text: string): text is LogStatus => text === "SUCCEEDED" || text === "FAILED"
