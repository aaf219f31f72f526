/**
 * `filedispatch reload`: a running daemon loads its config again.
 */
import * as Command from "@effect/cli/Command"
import * as Flags from "./Flags.ts"
import { handler } from "./Handler.ts"
import * as Help from "./Help.ts"
import * as Options from "@effect/cli/Options"

const options = {
  pidfile: Flags.text("pidfile", "PIDFILE", "the pid file of the daemon").pipe(Options.withAlias("p"))
}

export type Given = Command.Command.ParseConfig<typeof options>

export const reload = Command.make(
  "reload",
  options,
  handler(
    () => import("./ReloadDaemon.ts"),
    ({ reload }, given: Given) => reload(given)
  )
).pipe(
  Command.withDescription(
    Help.description(
      "Asks a running daemon to load its config again; its log says what came of it.",
      "filedispatch reload -p PIDFILE"
    )
  )
)
