/** The log: filtered, searched, page by page; a row opens to its whole story. */
import { Either } from "effect"
import { Fragment } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import type { LogEntry, LogStatus } from "../domain/LogEntry.ts"
import { ask, download, now } from "./api.ts"
import { useCell } from "./cell.ts"
import { EntryStory } from "./EntryStory.tsx"
import * as Format from "./format.ts"
import { Badge, Empty, Name, say, Time, Trouble, useLoaded } from "./parts.tsx"
import { adjust, hrefOf } from "./route.ts"

const pageSize = 50
const filterKeys = [
  "search",
  "status",
  "destination",
  "route",
  "source",
  "extension",
  "protocol",
  "created__gte",
  "created__lte",
  "byte_size__gte",
  "byte_size__lte"
] as const
type FilterKey = (typeof filterKeys)[number]

type Params = Readonly<Record<string, string>>
const orders = {
  "-created": "newest first",
  created: "oldest first",
  "-byte_size": "largest first",
  byte_size: "smallest first"
} as const
type Order = keyof typeof orders
const isOrder = (text: string | undefined): text is Order => text !== undefined && Object.hasOwn(orders, text)

const statuses: ReadonlyArray<LogStatus> = ["SUCCEEDED", "FAILED"]

/** As the API takes them. */
const filterOf = (params: Params) => {
  const text = (key: FilterKey): string | undefined => {
    const value = params[key]?.trim()
    return value === "" ? undefined : value
  }
  const number = (key: FilterKey): number | undefined => {
    const value = text(key)
    return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined
  }
  const status = statuses.find((name) => name === params["status"])
  const given = {
    search: params["search"] === "" ? undefined : params["search"],
    status,
    destination: text("destination"),
    route: text("route"),
    source: text("source"),
    extension: params["extension"] === undefined ? undefined : text("extension"),
    protocol: text("protocol"),
    created__gte: text("created__gte"),
    created__lte: text("created__lte"),
    byte_size__gte: number("byte_size__gte"),
    byte_size__lte: number("byte_size__lte")
  }
  return withoutUndefined(given)
}

type Defined<A> = { [Key in keyof A]?: Exclude<A[Key], undefined> }
const withoutUndefined = <A extends object>(record: A): Defined<A> => {
  const result: Defined<A> = {}
  for (const key of keysOf(record)) {
    const value = record[key]
    if (isDefined(value)) result[key] = value
  }
  return result
}
const isDefined = <A,>(value: A): value is Exclude<A, undefined> => value !== undefined
const keysOf = <A extends object>(record: A): ReadonlyArray<keyof A> => {
  const keys: Array<keyof A> = []
  for (const key in record) keys.push(key)
  return keys
}

interface Page {
  readonly entries: ReadonlyArray<LogEntry>
  readonly total: number
  readonly next: string | undefined
  /** How many deliveries were concluded when it was asked for. */
  readonly at: number
}

const nextOf = (link: string | undefined): string | undefined => {
  const [, target] = /<([^>]*)>; *rel="next"/.exec(link ?? "") ?? []
  return target === undefined ? undefined : (new URL(target, location.origin).searchParams.get("cursor") ?? undefined)
}

export const LogView = ({ params }: { readonly params: Params }) => {
  const order: Order = isOrder(params["ordering"]) ? params["ordering"] : "-created"
  const filter = filterOf(params)
  const filterText = JSON.stringify([filter, order])
  /** Of the pages before this one, so that one can go back. */
  const [cursors, setCursors] = useState<ReadonlyArray<string>>([])
  const [shown, setShown] = useState(filterText)
  if (shown !== filterText) {
    setShown(filterText)
    setCursors([])
  }
  // one or two letters are asked of every entry
  const isShort = [1, 2].includes(filter.search?.length ?? 0)
  const cursor = shown === filterText ? cursors.at(-1) : undefined
  const [page, again] = useLoaded<Page>(
    JSON.stringify([filterText, cursor]),
    async (signal) => {
      const at = now.get()?.concluded ?? 0
      const answer = await ask(
        (client) =>
          client.logs.list({
            urlParams: {
              ...filter,
              ordering: order,
              limit: pageSize,
              total: "bounded",
              ...(cursor === undefined ? {} : { cursor })
            },
            withResponse: true
          }),
        signal
      )
      return Either.map(answer, ([entries, response]) => ({
        entries,
        total: Number(response.headers["x-total-count"] ?? entries.length),
        next: nextOf(response.headers["link"]),
        at
      }))
    },
    isShort ? 500 : 120
  )
  const [open, setOpen] = useState<string | undefined>(undefined)
  const found = page.value
  const set = (key: string, value: string) => adjust("log", { ...params, [key]: value })
  const isFiltered = Object.keys(filter).length > 0
  return (
    <>
      <Filters params={params} set={set} />
      <div class="row between">
        <p class="muted" role="status">
          {found === undefined
            ? "Looking …"
            : `${found.total >= 10_000 ? "10,000 or more" : Format.count(found.total)} ${found.total === 1 ? "entry" : "entries"}${isFiltered ? " match" : ""}`}
          {page.state === "loading" && found !== undefined && " · looking …"}
          {found !== undefined && order === "-created" && cursors.length === 0 && (
            <Newer since={found.at} show={again} />
          )}
        </p>
        <div class="row">
          <Export filter={filter} order={order} format="csv" />
          <Export filter={filter} order={order} format="json" />
          {isFiltered && <a href={hrefOf("log")}>Clear the filters</a>}
        </div>
      </div>
      {page.state === "failed" && <Trouble problem={page.problem} retry={again} />}
      {found !== undefined && found.entries.length === 0 ? (
        <Empty title={isFiltered ? "Nothing matches." : "The log is empty."}>
          <p>
            {isFiltered ? (
              <a href={hrefOf("log")}>Clear the filters</a>
            ) : (
              "Each delivery that is over has its entry here: put a file into a source."
            )}
          </p>
        </Empty>
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label="The entries of the log">
          <table class="log" aria-busy={page.state === "loading"}>
            <thead>
              <tr>
                <th scope="col">file</th>
                <th scope="col">status</th>
                <th scope="col">destination</th>
                <th scope="col">folder</th>
                <th scope="col" class="number">
                  size
                </th>
                <th scope="col" class="number">
                  took
                </th>
                <th scope="col">when</th>
              </tr>
            </thead>
            <tbody>
              {found?.entries.map((entry) => (
                <Fragment key={entry.id}>
                  <tr class={open === entry.id ? "open" : ""}>
                    <th scope="row">
                      <button
                        type="button"
                        class="link"
                        aria-expanded={open === entry.id}
                        onClick={() => setOpen(open === entry.id ? undefined : entry.id)}
                      >
                        <Name of={entry.filename} />
                      </button>
                    </th>
                    <td>
                      <Badge tone={entry.status === "SUCCEEDED" ? "good" : "bad"}>
                        {Format.stateName(entry.status)}
                      </Badge>
                    </td>
                    <td>
                      <Name of={entry.destination} />
                    </td>
                    <td>{entry.route !== null && <Name of={entry.route} />}</td>
                    <td class="number">{Format.bytes(entry.byte_size)}</td>
                    <td class="number">{entry.duration_ms === null ? "" : Format.duration(entry.duration_ms)}</td>
                    <td class="when">
                      <Time at={entry.created} />
                    </td>
                  </tr>
                  {open === entry.id && (
                    <tr class="story">
                      <td colSpan={7}>
                        <EntryStory entry={entry} changed={again} />
                      </td>
                    </tr>
                  )}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <nav class="row end" aria-label="Pages of the log">
        <button type="button" disabled={cursors.length === 0} onClick={() => setCursors(cursors.slice(0, -1))}>
          ← Page before
        </button>
        <span class="muted">page {Format.count(cursors.length + 1)}</span>
        <button
          type="button"
          disabled={found?.next === undefined || page.state === "loading"}
          onClick={() => found?.next !== undefined && setCursors([...cursors, found.next])}
        >
          Next page →
        </button>
      </nav>
    </>
  )
}

/** New entries move nothing under who reads: they are shown when that is asked for. */
const Newer = ({ show, since }: { readonly since: number; readonly show: () => void }) => {
  const newer = (useCell(now)?.concluded ?? 0) - since
  return newer > 0 ? (
    <>
      {" "}
      <button type="button" class="link" onClick={show}>
        Show {Format.counted(newer, "newer entry", "newer entries")}
      </button>
    </>
  ) : null
}

const Export = ({
  filter,
  format,
  order
}: {
  readonly filter: ReturnType<typeof filterOf>
  readonly order: Order
  readonly format: "csv" | "json"
}) => {
  const [busy, setBusy] = useState(false)
  return (
    <button
      type="button"
      disabled={busy}
      onClick={async () => {
        setBusy(true)
        const query = new URLSearchParams({ format, ordering: order })
        for (const [key, value] of Object.entries(filter)) query.set(key, String(value))
        const file = await download(`/api/v1/logs/export?${query.toString()}`)
        setBusy(false)
        if (Either.isLeft(file)) return say("bad", `The log could not be exported: ${file.left.text}`)
        const url = URL.createObjectURL(file.right)
        const link = document.createElement("a")
        link.href = url
        link.download = `filedispatch-log-${Format.isoDay(Date.now())}.${format}`
        link.click()
        URL.revokeObjectURL(url)
      }}
    >
      {busy ? "Exporting …" : `Export ${format.toUpperCase()}`}
    </button>
  )
}

const Filters = ({ params, set }: { readonly params: Params; readonly set: (key: string, value: string) => void }) => {
  const known = useCell(now)
  const search = useRef<HTMLInputElement>(null)
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return
      event.preventDefault()
      search.current?.focus()
    }
    window.addEventListener("keydown", focus)
    return () => window.removeEventListener("keydown", focus)
  }, [])
  const text = (key: FilterKey, label: string, type: "text" | "date" | "number" = "text", placeholder = "") => {
    const value = params[key] ?? ""
    const onInput = (event: preact.TargetedInputEvent<HTMLInputElement>) => set(key, event.currentTarget.value)
    return (
      <label>
        {label}
        {type === "date" ? (
          <input type="date" value={value} onInput={onInput} />
        ) : type === "number" ? (
          <input type="number" min="0" value={value} onInput={onInput} />
        ) : (
          <input type="text" maxLength={255} value={value} placeholder={placeholder} onInput={onInput} />
        )}
      </label>
    )
  }
  const sources = known?.sources.map(({ path }) => path) ?? []
  const folders = Array.from(new Set(known?.flows.map(({ folder }) => folder) ?? []))
  const choice = (key: string, label: string, options: ReadonlyArray<readonly [value: string, name: string]>) => (
    <label>
      {label}
      <select value={params[key] ?? ""} onChange={(event) => set(key, event.currentTarget.value)}>
        <option value="">any</option>
        {options.map(([value, name]) => (
          <option key={value} value={value}>
            {name}
          </option>
        ))}
        {params[key] !== undefined && params[key] !== "" && !options.some(([value]) => value === params[key]) && (
          <option value={params[key]}>{Format.plain(params[key])}</option>
        )}
      </select>
    </label>
  )
  return (
    <form class="filters" role="search" aria-label="The log" onSubmit={(event) => event.preventDefault()}>
      <label class="wide">
        File name
        <input
          ref={search}
          type="search"
          placeholder="a part of the name ( / )"
          maxLength={255}
          value={params["search"] ?? ""}
          onInput={(event) => set("search", event.currentTarget.value)}
        />
      </label>
      {choice("status", "Status", [
        ["SUCCEEDED", "delivered"],
        ["FAILED", "failed"]
      ])}
      {choice(
        "route",
        "Folder",
        folders.map((name) => [name, Format.plain(name)])
      )}
      {choice(
        "source",
        "Source",
        sources.map((path) => [path, Format.plain(path)])
      )}
      <details
        class="more"
        open={[
          "destination",
          "extension",
          "protocol",
          "created__gte",
          "created__lte",
          "byte_size__gte",
          "byte_size__lte"
        ].some((key) => (params[key] ?? "") !== "")}
      >
        <summary>More filters</summary>
        <div class="filters">
          {text("destination", "Destination, as the log shows it")}
          {text("extension", "Extension", "text", "pdf")}
          {text("protocol", "Protocol", "text", "sftp")}
          {text("created__gte", "From (day in UTC)", "date")}
          {text("created__lte", "To (day in UTC)", "date")}
          {text("byte_size__gte", "At least bytes", "number")}
          {text("byte_size__lte", "At most bytes", "number")}
        </div>
      </details>
      <label>
        Order
        <select
          value={params["ordering"] ?? "-created"}
          onChange={(event) => set("ordering", event.currentTarget.value)}
        >
          {Object.entries(orders).map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </form>
  )
}
