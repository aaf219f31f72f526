/**
 * What the program itself takes, without the name of a command.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { Either } from "effect"
import * as Flags from "./Flags.ts"
import { handler } from "./Handler.ts"
import * as Help from "./Help.ts"
import { parseLevel } from "./Logging.ts"

const options = {
  config: Flags.maybeConfig,
  host: Flags.text("host", "IP", "the address of the HTTP server (127.0.0.1)").pipe(Options.withAlias("H")),
  port: Flags.integer("port", "PORT", "the port of the HTTP server (3001)", 0, 65_535).pipe(Options.withAlias("P")),
  noWebapp: Flags.on("no-webapp", "start no HTTP server; the log is kept all the same"),
  noMonitor: Flags.on("no-monitor", "start no monitor console"),
  daemon: Flags.on("daemon", "run in the background").pipe(Options.withAlias("d")),
  exit: Flags.on("exit", "stop the daemon that --pidfile names").pipe(Options.withAlias("x")),
  pidfile: Flags.text("pidfile", "PIDFILE", "where the process id is kept while it runs").pipe(Options.withAlias("p")),
  logFile: Flags.text("log-file", "FILE", "as a daemon: where messages go"),
  logLevel: Flags.parsed("log-level", "LEVEL", "TRACE, DEBUG, INFO, WARNING, ERROR, FATAL or NONE (INFO)", (given) =>
    Either.fromNullable(parseLevel(given), () => "one of TRACE, DEBUG, INFO, WARNING, ERROR, FATAL, NONE")
  ),
  move: Flags.on("move", "delete each file from its source once it is delivered").pipe(Options.withAlias("m")),
  db: Flags.db,
  once: Flags.on("once", "deliver what is there, and exit when all is concluded"),
  dryRun: Flags.on("dry-run", "touch nothing, print what would be done")
}

export type Given = Command.Command.ParseConfig<typeof options>

export const run = Command.make(
  "filedispatch",
  options,
  handler(
    () => import("./Run.ts"),
    ({ run }, given: Given) => run(given)
  )
).pipe(
  Command.withDescription(
    Help.description(
      "Watches directories and dispatches every file that arrives to where it belongs.",
      "filedispatch -c CONFIG [OPTIONS]",
      "filedispatch -x -p PIDFILE",
      "filedispatch COMMAND [OPTIONS]"
    )
  )
)
