/**
 * What `filedispatch diff` takes.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Flags from "./Flags.ts"
import { handler } from "./Handler.ts"
import * as Help from "./Help.ts"

const options = {
  from: Flags.text("from", "OLD", "the config as it was"),
  to: Flags.text("to", "NEW", "the config as it would be"),
  log: Flags.on("log", "the files that the journal remembers, and not those that are there"),
  exitCode: Flags.on("exit-code", "end with 1 where anything would change"),
  db: Flags.text("db", "FILE", "with --log: the journal's database, if not that of OLD"),
  json: Flags.json,
  directories: Args.text({ name: "DIR" }).pipe(
    Args.withDescription("the files below these directories, and not those of the sources"),
    Args.repeated
  )
}

export type Given = Command.Command.ParseConfig<typeof options>

export const diff = Command.make(
  "diff",
  options,
  handler(
    () => import("./Diff.ts"),
    ({ diff }, given: Given) => diff(given)
  )
).pipe(
  Command.withDescription(
    Help.description(
      "Says which files another config would send elsewhere, no longer, or for the first time.",
      "filedispatch diff --from OLD --to NEW [DIR...]",
      "filedispatch diff --from OLD --to NEW --log"
    )
  )
)
