/**
 * What `filedispatch check` takes.
 */
import * as Command from "@effect/cli/Command"
import * as Flags from "./Flags.ts"
import { handler } from "./Handler.ts"
import * as Help from "./Help.ts"

const options = {
  config: Flags.config,
  probe: Flags.on("probe", "connect to every target as well, as doctor does; 1 where nothing can be delivered")
}

export type Given = Command.Command.ParseConfig<typeof options>

export const check = Command.make(
  "check",
  options,
  handler(
    () => import("./Check.ts"),
    ({ check }, given: Given) => check(given)
  )
).pipe(
  Command.withDescription(
    Help.description(
      "Reads a config and says what is wrong with it, or what it means.",
      "filedispatch check -c CONFIG [--probe]"
    )
  )
)
