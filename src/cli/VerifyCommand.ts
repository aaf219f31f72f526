/**
 * What `filedispatch verify` takes.
 */
import * as Command from "@effect/cli/Command"
import { Either, Option } from "effect"
import { parseDuration } from "../config/Quantity.ts"
import * as Flags from "./Flags.ts"
import { handler } from "./Handler.ts"
import * as Help from "./Help.ts"

/** Of 32 bits. */
export const maxSeed = 0xffff_ffff

const options = {
  config: Flags.config,
  since: Flags.parsed("since", "TIME", "what was delivered since: 7d, 2026-01-31, 2026-01-31T08:00Z", (given) =>
    Option.match(sinceOf(given, Date.now()), {
      onNone: () => Either.left("a time such as 12h or 7d, or a date such as 2026-01-31 or 2026-01-31T08:00Z"),
      onSome: Either.right
    })
  ),
  destination: Flags.text("destination", "URL", "to this target, as the log shows it"),
  sample: Flags.integer("sample", "N", "so many of them, by chance, from each target about as many", 1, 1_000_000),
  seed: Flags.integer("seed", "NUMBER", "with --sample: the seed of an earlier sample, to draw it again", 0, maxSeed),
  size: Flags.on("size", "compare sizes only; else also hashes of local files, and where a server tells them"),
  hash: Flags.on("hash", "read everything back whose hash can't be had otherwise"),
  db: Flags.db,
  json: Flags.json
}

export type Given = Command.Command.ParseConfig<typeof options>

export const verify = Command.make(
  "verify",
  options,
  handler(
    () => import("./Verify.ts"),
    ({ verify }, given: Given) => verify(given)
  )
).pipe(
  Command.withDescription(
    Help.description(
      "Asks the targets for what was delivered; ends with 1 where something is not there, or unknown.",
      "filedispatch verify -c CONFIG [--since TIME] [--destination URL] [--sample N] [--size | --hash]"
    )
  )
)

/** A time before now, or a date; milliseconds since the epoch. */
export const sinceOf = (given: string, now: number): Option.Option<number> => {
  if (/^\d{4}-\d\d-\d\d(?:[T ]|$)/.test(given)) {
    const date = Date.parse(given.replace(" ", "T"))
    return Number.isNaN(date) ? Option.none() : Option.some(date)
  }
  return /[a-z]/i.test(given) ? Option.map(parseDuration(given), (time) => now - time) : Option.none()
}
