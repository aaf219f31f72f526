/** Which view is shown, and of what: in the address, so that it can be kept, sent and gone back to. */
import { cell } from "./cell.ts"

export const views = ["now", "charts", "log", "explain", "config"] as const
export type View = (typeof views)[number]

export interface Route {
  readonly view: View
  readonly params: Readonly<Record<string, string>>
}

const read = (): Route => {
  const [, name = "", query = ""] = /^#\/?([a-z]*)\??(.*)$/s.exec(location.hash) ?? []
  return { view: views.find((view) => view === name) ?? "now", params: Object.fromEntries(new URLSearchParams(query)) }
}

export const route = cell<Route>(read())
window.addEventListener("hashchange", () => route.set(read()))

export const hrefOf = (view: View, params: Readonly<Record<string, string | undefined>> = {}): string => {
  const query = new URLSearchParams()
  for (const [key, value] of Object.entries(params)) if (value !== undefined && value !== "") query.set(key, value)
  const text = query.toString()
  return `#/${view}${text === "" ? "" : `?${text}`}`
}

export const go = (view: View, params: Readonly<Record<string, string | undefined>> = {}): void => {
  location.hash = hrefOf(view, params)
}

/** The same without a step back to what was before: for what changes while somebody types. */
export const adjust = (view: View, params: Readonly<Record<string, string | undefined>>): void => {
  history.replaceState(null, "", hrefOf(view, params))
  route.set(read())
}
