/**
 * The destinations that the program brings: what the daemon sends to, and what `doctor` looks at.
 */
import { Effect, Layer } from "effect"
import type { Files } from "../../files/Files.ts"
import * as Destination from "../Destination.ts"
import * as about from "./about.ts"
import * as Ftp from "./Ftp.ts"
import * as Http from "./Http.ts"
import * as Local from "./Local.ts"

/** Loaded where the config has targets for it: the libraries behind them cost 25 MiB and a quarter of a second. */
const lazily = (
  says: Omit<Destination.Destination, "open">,
  load: () => Promise<{ readonly make: () => Effect.Effect<Destination.Destination> }>
) =>
  Destination.layer(
    Effect.succeed({
      ...says,
      // what is wrong with it is said by whoever opens a lane
      prepare: Effect.ignore(Effect.tryPromise(load)),
      open: (lane, options) =>
        Effect.promise(load).pipe(
          Effect.flatMap(({ make }) => make()),
          Effect.flatMap(({ open }) => open(lane, options))
        )
    })
  )

/** Registers all of them. */
export const layer: Layer.Layer<never, never, Destination.Destinations | Files> = Layer.mergeAll(
  Local.layer,
  Http.layer(),
  Ftp.layer(),
  lazily(about.sftp, () => import("./Sftp.ts")),
  lazily(about.webDav, () => import("./WebDav.ts")),
  lazily(about.s3, () => import("./S3.ts"))
)
