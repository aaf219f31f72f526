/** The frame around all views: where one is, how the program is, and what it asks. */
import { useEffect, useRef, useState } from "preact/hooks"
import { connection, follow, now, useToken } from "./api.ts"
import { useCell } from "./cell.ts"
import { ChartsView } from "./ChartsView.tsx"
import { ConfigView } from "./ConfigView.tsx"
import { ExplainView } from "./ExplainView.tsx"
import { LogView } from "./LogView.tsx"
import { NowView } from "./NowView.tsx"
import { Badge, Dialog, Questions, Time, Toasts } from "./parts.tsx"
import { hrefOf, route, type View, views } from "./route.ts"

const titles: Readonly<Record<View, string>> = {
  now: "Now",
  charts: "Charts",
  log: "Log",
  explain: "Explain",
  config: "Config"
}

export const App = () => {
  const { params, view } = useCell(route)
  const main = useRef<HTMLElement>(null)
  useEffect(follow, [])
  const first = useRef(true)
  useEffect(() => {
    document.title = `${titles[view]} – filedispatch`
    // a reader of the screen is told that there is another page
    if (!first.current) main.current?.focus({ preventScroll: true })
    first.current = false
  }, [view])
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={hrefOf("now")}>
          <svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true">
            <path d="M3 4h6l2 2h8v12H3z" />
            <path class="arrow" d="M7 12h7m-3-3 3 3-3 3" />
          </svg>
          filedispatch
        </a>
        <nav aria-label="Views">
          {views.map((each) => (
            <a key={each} href={hrefOf(each)} aria-current={each === view ? "page" : undefined}>
              {titles[each]}
            </a>
          ))}
        </nav>
        <Standing />
        <Theme />
      </header>
      <Away />
      <main ref={main} id="main" tabIndex={-1} aria-labelledby="title">
        <h1 id="title" class={view === "now" ? "unseen" : ""}>
          {titles[view]}
        </h1>
        {view === "now" && <NowView />}
        {view === "charts" && <ChartsView params={params} />}
        {view === "log" && <LogView params={params} />}
        {view === "explain" && <ExplainView params={params} />}
        {view === "config" && <ConfigView />}
      </main>
      <Toasts />
      <Questions />
      <Token />
    </>
  )
}

const Standing = () => {
  const { state } = useCell(connection)
  const version = useCell(now)?.version
  return (
    <span class="standing" role="status">
      {state === "open" ? (
        <Badge tone="good">live</Badge>
      ) : state === "connecting" ? (
        <Badge tone="plain">connecting …</Badge>
      ) : (
        <Badge tone="bad">{state === "token" ? "no access" : "away"}</Badge>
      )}
      {version !== undefined && <small class="muted"> {version}</small>}
    </span>
  )
}

const Away = () => {
  const current = useCell(connection)
  const known = useCell(now)
  return current.state === "away" ? (
    <p class="note bad banner" role="alert">
      {current.text}
      {known !== undefined && (
        <>
          {" "}
          What is shown is from <Time at={known.time} />.
        </>
      )}
    </p>
  ) : null
}

const themes = ["system", "light", "dark"] as const
type Theme = (typeof themes)[number]
const themeKey = "filedispatch.theme"

const Theme = () => {
  const [theme, setTheme] = useState<Theme>(
    () => themes.find((name) => name === localStorage.getItem(themeKey)) ?? "system"
  )
  useEffect(() => {
    localStorage.setItem(themeKey, theme)
    if (theme === "system") document.documentElement.removeAttribute("data-theme")
    else document.documentElement.setAttribute("data-theme", theme)
    window.dispatchEvent(new Event("themechange"))
  }, [theme])
  return (
    <label class="theme">
      <span class="unseen">Colours</span>
      <select
        value={theme}
        onChange={(event) => setTheme(themes.find((name) => name === event.currentTarget.value) ?? "system")}
      >
        <option value="system">System</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  )
}

/** Asks for the token until one is right. */
const Token = () => {
  const current = useCell(connection)
  const [text, setText] = useState("")
  if (current.state !== "token") return null
  return (
    <Dialog title="A token is needed">
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (text.trim() === "") return
          useToken(text.trim())
          setText("")
        }}
      >
        <p>
          This filedispatch is open to those who have its token: the value of <code>http.token</code> in its config. It
          is kept in this tab until that is closed.
        </p>
        <p class="note bad" role="alert">
          {current.text}
        </p>
        <p>
          <label>
            Token
            <input
              type="password"
              autocomplete="current-password"
              autofocus
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </label>
        </p>
        <p class="row end">
          <button type="submit" class="primary">
            Go on
          </button>
        </p>
      </form>
    </Dialog>
  )
}
