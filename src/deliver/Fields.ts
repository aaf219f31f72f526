/**
 * Header fields of the config that are templates: rendered for each file when it is sent. Their values stay secrets.
 */
import { Clock, Effect, Either, Redacted, type Context } from "effect"
import type { Delivery } from "../domain/Delivery.ts"
import { noFacts, type Facts } from "../domain/Facts.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Route, Secrets, Settings } from "../domain/Settings.ts"
import type { FileFacts } from "../files/FileFacts.ts"
import * as Places from "../route/RouterPlaces.ts"
import * as Rules from "../route/Rules.ts"
import * as Template from "../route/Template.ts"

type Headers = Secrets["headers"]

interface Fields {
  readonly needs: Template.Needs
  readonly render: (context: Template.Context) => Headers
}

/** The secrets of a target, as one file is sent with them. */
export const rendered = (
  settings: Pick<Settings, "routes" | "sources">,
  delivery: Delivery,
  secrets: Secrets,
  bytes: Context.Tag.Service<typeof FileFacts>
): Effect.Effect<Secrets> => {
  if (secrets.headers.length === 0) return Effect.succeed(secrets)
  const fields = fieldsOf(
    secrets.headers,
    settings.routes.find(({ name }) => name === delivery.route)
  )
  if (fields === null) return Effect.succeed(secrets)
  return Effect.gen(function* () {
    const { mtime, path, size, source } = delivery.generation
    return {
      ...secrets,
      headers: fields.render({
        path,
        source: settings.sources.find((one) => one.path === source)?.name ?? RelPath.basename(source),
        time: yield* Clock.currentTimeMillis,
        size,
        mtime,
        facts: yield* factsFor(delivery, fields.needs, bytes)
      })
    }
  })
}

/** What was not asked of a file that was routed before the template was written is asked now. */
const factsFor = (
  { facts, generation }: Delivery,
  needs: Template.Needs,
  bytes: Context.Tag.Service<typeof FileFacts>
): Effect.Effect<Facts> => {
  const known = facts ?? noFacts
  const lacks = { mime: needs.mime && known.mime === null, sha256: needs.sha256 && known.sha256 === null }
  if (!(lacks.mime || lacks.sha256)) return Effect.succeed(known)
  const read = bytes.of(generation.source, generation)
  return Effect.gen(function* () {
    return {
      ...known,
      mime: lacks.mime ? yield* read.mime : known.mime,
      sha256: lacks.sha256 ? yield* read.sha256 : known.sha256
    }
    // a file that can't be read is not sent either, and that says why
  }).pipe(Effect.orElseSucceed(() => known))
}

/** Settings are few and files many: the fields of each are compiled once, for each route. */
const compiled = new WeakMap<Headers, Map<Route | undefined, Fields | null>>()

const fieldsOf = (headers: Headers, route: Route | undefined): Fields | null => {
  const routes = compiled.get(headers) ?? new Map<Route | undefined, Fields | null>()
  compiled.set(headers, routes)
  const known = routes.get(route)
  if (known !== undefined) return known
  const fields = compile(headers, route)
  routes.set(route, fields)
  return fields
}

/** Null: they are the same for all files. */
const compile = (headers: Headers, route: Route | undefined): Fields | null => {
  const groups = new Set(route === undefined ? [] : Rules.compile(Places.rulesOf(route)).groups)
  const all = headers.map(([name, value]) => ({
    name,
    value,
    // a mistake was found when the config was loaded
    text: Either.getOrUndefined(Template.compileText(Redacted.value(value), { groups }))
  }))
  if (all.every(({ text }) => text?.isPlain ?? true)) return null
  return {
    needs: all.reduce(
      (needs, { text }) => (text === undefined ? needs : Places.both(needs, text.needs)),
      Places.nothing
    ),
    render: (context) =>
      all.map(({ name, text, value }) => [name, text === undefined ? value : Redacted.make(text.render(context))])
  }
}
