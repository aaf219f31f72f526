/**
 * What `filedispatch explain` takes.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Flags from "./Flags.ts"
import { handler } from "./Handler.ts"
import * as Help from "./Help.ts"

const options = {
  config: Flags.config,
  source: Flags.text("source", "NAME", "take the files as those of this source"),
  log: Flags.text("log", "ID", "how the file of this log entry was judged when it was accepted"),
  db: Flags.text("db", "FILE", "with --log: the journal's database"),
  json: Flags.json,
  files: Args.text({ name: "FILE" }).pipe(
    Args.withDescription("a file below a source, or a path as it would be there"),
    Args.repeated
  )
}

export type Given = Command.Command.ParseConfig<typeof options>

export const explain = Command.make(
  "explain",
  options,
  handler(
    () => import("./Explain.ts"),
    ({ explain }, given: Given) => explain(given)
  )
).pipe(
  Command.withDescription(
    Help.description(
      "Says where files would go, and why: which folders match and which do not. The files need not exist.",
      "filedispatch explain -c CONFIG FILE...",
      "filedispatch explain -c CONFIG --log ID"
    )
  )
)
