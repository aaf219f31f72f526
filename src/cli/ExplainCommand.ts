/**
 * What `filedispatch explain` takes.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import { Either } from "effect"
import * as Flags from "./Flags.ts"
import { handler } from "./Handler.ts"
import * as Help from "./Help.ts"

const options = {
  config: Flags.config,
  source: Flags.text("source", "NAME", "take the files as those of this source"),
  json: Flags.json,
  files: Args.text({ name: "FILE" }).pipe(
    Args.withDescription("a file below a source, or a path as it would be there"),
    Args.repeated,
    Args.mapEffect((files) =>
      files.length === 0
        ? Either.left(HelpDoc.p("Which files? Name them: explain -c CONFIG FILE..."))
        : Either.right(files)
    )
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
      "filedispatch explain -c CONFIG FILE..."
    )
  )
)
