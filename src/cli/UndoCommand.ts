/**
 * What `filedispatch undo` takes.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import { Either } from "effect"
import * as Flags from "./Flags.ts"
import { handler } from "./Handler.ts"
import * as Help from "./Help.ts"

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

const options = {
  config: Flags.config,
  last: Flags.integer("last", "N", "the N files that were taken away from their sources last", 1, 1000),
  dryRun: Flags.on("dry-run", "say what would be done, and change nothing"),
  json: Flags.json,
  ...Flags.daemon,
  db: Flags.db,
  ids: Args.text({ name: "ID" }).pipe(
    Args.withDescription("a delivery by its number, or a log entry by its UUID"),
    Args.mapEffect((text) =>
      /^\d{1,15}$/.test(text)
        ? Either.right<number | string>(Number(text))
        : uuid.test(text)
          ? Either.right<number | string>(text.toLowerCase())
          : Either.left(
              HelpDoc.p(`"${text}" is no ID: those of deliveries are whole numbers, those of log entries UUIDs.`)
            )
    ),
    Args.repeated
  )
}

export type Given = Command.Command.ParseConfig<typeof options>

export const undo = Command.make(
  "undo",
  options,
  handler(
    () => import("./Undo.ts"),
    ({ undo }, given: Given) => undo(given)
  )
).pipe(
  Command.withDescription(
    Help.description(
      "Puts files back in their sources that were moved, archived or deleted once they had been delivered.",
      "filedispatch undo -c CONFIG ID... [--dry-run] [--json]",
      "filedispatch undo -c CONFIG --last N [--dry-run] [--json]"
    )
  )
)
