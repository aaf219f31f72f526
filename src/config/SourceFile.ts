/**
 * What the config file says of a source.
 */
import { Schema } from "effect"
import { defaults } from "./defaults.ts"
import { globs } from "./MatchFile.ts"
import { boolean, duration, interval, key, oneOf, positiveDuration, text } from "./Values.ts"

const after = Schema.Union(
  Schema.Literal("keep", "delete"),
  Schema.Struct({
    archive: text("a path, such as ./archive/{date:yyyy-MM-dd}/{relpath}").annotations({
      description:
        "A template for the path that the file is moved to, relative to the config file. A plain directory gets /{relpath} appended."
    }),
    keepFor: key(positiveDuration, "For how long it is kept there; without it: for ever.")
  })
).annotations({ title: "keep, delete, or { archive: a path }" })

const onDead = Schema.Union(
  Schema.Literal("keep"),
  Schema.Struct({
    move: text("a path, such as ./failed/{relpath}").annotations({
      description:
        "A template for the path that the file is moved to, relative to the config file. A plain directory gets /{relpath} appended."
    })
  })
).annotations({ title: "keep, or { move: a path }" })

export const SourceEntry = Schema.Struct({
  path: text("a directory"),
  name: key(text("a name"), "What logs and folders call it; by default the last part of its path."),
  recursive: key(boolean, "Whether files in directories below it are taken, too.", defaults.source.recursive),
  include: key(globs, "Globs on the path relative to the source: only these files are taken.", defaults.source.include),
  exclude: key(
    globs,
    "Globs on the path relative to the source: these files are never taken. By default dot files and the usual names of unfinished files; [] clears the list.",
    defaults.source.exclude
  ),
  settle: key(
    duration(),
    "How long a file must have been quiet before it is taken; 0s: no waiting.",
    defaults.source.settle
  ),
  marker: key(
    Schema.NullOr(text("a template, such as {name}.done")).annotations({ title: "a template, such as {name}.done" }),
    "A template for the file that says that another is complete: it is waited for, and removed with the file.",
    defaults.source.marker
  ),
  minAge: key(duration(), "How long ago its content must have changed for a file to be taken.", defaults.source.minAge),
  watch: key(
    oneOf("auto", "events", "poll"),
    "How changes are noticed; auto falls back to polling where events can't be had, and says so.",
    defaults.source.watch
  ),
  pollInterval: key(
    interval,
    "How often the source is looked through where it is polled.",
    defaults.source.pollInterval
  ),
  rescan: key(interval, "How often the source is looked through to find what events missed.", defaults.source.rescan),
  symlinks: key(
    oneOf("skip", "follow"),
    "Whether links are followed, to files within the source.",
    defaults.source.symlinks
  ),
  after: key(after, "What happens to a file when all its targets have it.", defaults.source.after),
  onDead: key(onDead, "What happens to a file that a target could not get.", defaults.source.onDead)
}).annotations({ title: "a source: a map with path" })
export type SourceEntry = typeof SourceEntry.Type
