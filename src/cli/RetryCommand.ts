/**
 * What `filedispatch retry` takes.
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
  all: Flags.on("all", "all that are dead, ambiguous or cancelled"),
  reroute: Flags.on("reroute", "send them where today's config says, and not where they were to go"),
  ...Flags.daemon,
  db: Flags.db,
  ids: Args.text({ name: "ID" }).pipe(
    Args.withDescription("a delivery, as the log and the API number them"),
    Args.mapEffect((text) =>
      /^\d{1,15}$/.test(text)
        ? Either.right(Number(text))
        : Either.left(HelpDoc.p(`"${text}" is no ID of a delivery: those are whole numbers.`))
    ),
    Args.repeated
  )
}

export type Given = Command.Command.ParseConfig<typeof options>

export const retry = Command.make(
  "retry",
  options,
  handler(
    () => import("./Retry.ts"),
    ({ retry }, given: Given) => retry(given)
  )
).pipe(
  Command.withDescription(
    Help.description(
      "Brings dead deliveries back, in the running daemon or, where none runs, for its next start.",
      "filedispatch retry -c CONFIG ID... [--reroute]",
      "filedispatch retry -c CONFIG --all [--reroute]"
    )
  )
)
