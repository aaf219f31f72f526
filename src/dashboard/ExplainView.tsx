/** Where a file would go, and why: by its name, which may be typed, or dropped here. */
import { Either } from "effect"
import { useState } from "preact/hooks"
import { ask, now } from "./api.ts"
import { useCell } from "./cell.ts"
import { ExplanationBox } from "./ExplanationBox.tsx"
import * as Format from "./format.ts"
import { Empty, Name, Trouble, useLoaded } from "./parts.tsx"
import { adjust } from "./route.ts"

export const ExplainView = ({ params }: { readonly params: Readonly<Record<string, string>> }) => {
  const known = useCell(now)
  const file = params["file"] ?? ""
  const source = params["source"] ?? ""
  const [over, setOver] = useState(false)
  const set = (changes: Readonly<Record<string, string>>) => adjust("explain", { ...params, ...changes })
  const [found, again] = useLoaded(
    JSON.stringify([file, source]),
    async (signal) => {
      if (file.trim() === "") return Either.right([])
      return await ask(
        (client) => client.routing.explain({ payload: source === "" ? { file } : { file, source } }),
        signal
      )
    },
    200
  )
  return (
    <div
      class={over ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setOver(false)
        const name = event.dataTransfer?.files[0]?.name ?? event.dataTransfer?.getData("text/plain").split("\n")[0]
        if (name !== undefined && name.trim() !== "") set({ file: name.trim() })
      }}
    >
      <form class="filters" onSubmit={(event) => (event.preventDefault(), again())}>
        <label class="wide">
          A file's name or path
          <input
            type="text"
            value={file}
            maxLength={8192}
            placeholder="report.pdf – or drop a file here: its name is read, and nothing else"
            onInput={(event) => set({ file: event.currentTarget.value })}
          />
        </label>
        <label>
          Source
          <select value={source} onChange={(event) => set({ source: event.currentTarget.value })}>
            <option value="">the one it lies in</option>
            {known?.sources.map(({ name }) => (
              <option key={name} value={name}>
                {Format.plain(name)}
              </option>
            ))}
          </select>
        </label>
      </form>
      <div aria-live="polite">
        {found.state === "failed" && <Trouble problem={found.problem} retry={again} />}
        {file.trim() === "" ? (
          <Empty title="Where would it go?">
            <p>Type a name, or drop a file here. A file that lies in a source is read where a rule asks for it.</p>
          </Empty>
        ) : (
          found.value?.map((one) => (
            <section key={one.source.path} class="card">
              <h2>
                <Name of={one.file} /> in <Name of={one.source.name} />
              </h2>
              {!one.exists && <p class="muted">There is no such file: this is what its name tells.</p>}
              <ExplanationBox of={one} />
            </section>
          ))
        )}
      </div>
    </div>
  )
}
