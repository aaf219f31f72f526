/**
 * What decides where files go, in a few characters: files that were judged by other rules are judged again.
 */
import { createHash } from "node:crypto"
import type { Rule } from "../domain/Rule.ts"
import type { Route, RouteTarget, Settings } from "../domain/Settings.ts"

/** Changes with all that decides a place, and with nothing else. What is as it always was is not in it. */
export const digest = (settings: Pick<Settings, "routes" | "dispatch" | "sources">): string => {
  const routes = settings.routes.map(routeOf)
  const named = settings.routes.some(
    ({ rules, targets }) => rules.some(asksSource) || targets.some(({ rename }) => /\{source\b/.test(rename))
  )
  const more = {
    ...(settings.dispatch === "all" ? {} : { dispatch: settings.dispatch }),
    ...(named ? { sources: settings.sources.map(({ name, path }) => [name, path]) } : {})
  }
  return createHash("sha256")
    .update(JSON.stringify(Object.keys(more).length === 0 ? routes : [routes, more]))
    .digest("hex")
    .slice(0, 16)
}

const routeOf = ({ extensions, name, otherwise, rules, targets }: Route): ReadonlyArray<unknown> => {
  const more = { ...(rules.length === 0 ? {} : { rules }), ...(otherwise ? { otherwise } : {}) }
  const usual = [name, extensions ?? null, targets.map(targetOf)]
  return Object.keys(more).length === 0 ? usual : [...usual, more]
}

const targetOf = ({ rename, target: { options, url } }: RouteTarget): unknown => {
  const { names, transform } = options
  const more = {
    ...(rename === "{relpath}" ? {} : { rename }),
    ...(transform === null
      ? {}
      : {
          ...(transform.decompress === null ? {} : { decompress: true }),
          ...(transform.compress === "none" ? {} : { compress: transform.compress }),
          ...(transform.age.length === 0 ? {} : { age: true })
        })
  }
  if (Object.keys(more).length > 0) return [url, names, more]
  return names === "portable" ? [url, names] : url
}

const asksSource = (rule: Rule): boolean => {
  switch (rule._tag) {
    case "Sources":
      return true
    case "All":
    case "Any":
      return rule.rules.some(asksSource)
    case "Not":
      return asksSource(rule.rule)
    default:
      return false
  }
}
