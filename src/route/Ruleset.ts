/**
 * The rules by which files are judged, as text that the journal keeps: so that it can be said later why a file went
 * where it went, whatever the config has become. Without secrets.
 */
import { Option, Schema } from "effect"
import { Rule } from "../domain/Rule.ts"
import { noSecrets, unlimited, type Settings } from "../domain/Settings.ts"
import { Target } from "../domain/Target.ts"

/** What decides where a file goes. */
export type Rules = Pick<Settings, "sources" | "routes" | "dispatch">

/** Whatever is not here has no part in it: the times of a source, say. */
const Kept = Schema.Struct({
  dispatch: Schema.Literal("all", "first"),
  sources: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      path: Schema.String,
      recursive: Schema.Boolean,
      include: Schema.Array(Schema.String),
      exclude: Schema.Array(Schema.String),
      marker: Schema.NullOr(Schema.String),
      minAge: Schema.Number,
      symlinks: Schema.Literal("skip", "follow")
    })
  ),
  routes: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      extensions: Schema.NullOr(Schema.Array(Schema.String)),
      rules: Schema.Array(Rule),
      otherwise: Schema.Boolean,
      priority: Schema.Number,
      order: Schema.Literal("arrival", "oldest", "smallest", "largest"),
      targets: Schema.Array(Schema.Struct({ target: Target, rename: Schema.String }))
    })
  )
})

const json = Schema.parseJson(Kept)

/** The rules of a config. */
export const encode = ({ dispatch, routes, sources }: Rules): string =>
  Schema.encodeSync(json)({
    dispatch,
    sources,
    routes: routes.map(({ extensions, targets, ...route }) => ({
      ...route,
      extensions: extensions ?? null,
      targets: targets.map(({ rename, target }) => ({ target, rename }))
    }))
  })

/** The rules in such a text; none where it is of a version that this one can't read. */
export const decode = (text: string): Option.Option<Rules> =>
  Option.map(Schema.decodeOption(json)(text), ({ dispatch, routes, sources }): Rules => ({
    dispatch,
    sources: sources.map((source) => ({ ...untold, ...source })),
    routes: routes.map(({ extensions, targets, ...route }) => ({
      ...route,
      extensions: extensions ?? undefined,
      targets: targets.map((target) => ({ ...target, secrets: noSecrets, bandwidth: unlimited }))
    }))
  }))

const untold = {
  settle: 0,
  watch: "auto",
  pollInterval: 0,
  rescan: 0,
  after: { _tag: "Keep" },
  onDead: { _tag: "Keep" }
} as const
