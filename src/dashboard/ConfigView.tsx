/** The config in force, without its secrets, and what came of the last reload. */
import { ask, now } from "./api.ts"
import { useCell } from "./cell.ts"
import * as Format from "./format.ts"
import { act, Badge, Folded, Moment, Name, Trouble, useLoaded } from "./parts.tsx"

export const ConfigView = () => {
  // another load, another view of it
  const loaded = useCell(now)?.config
  const [config, again] = useLoaded(JSON.stringify(loaded ?? null), (signal) =>
    ask((client) => client.config.config(), signal)
  )
  const known = config.value
  if (config.state === "failed" && known === undefined) return <Trouble problem={config.problem} retry={again} />
  if (known === undefined) return <p class="muted">Looking …</p>
  const marks = new Map(known.marks.map((mark) => [mark.line, mark]))
  return (
    <>
      <p>
        <Name of={known.file} mono />, loaded <Moment at={known.loaded} />{" "}
        <button
          type="button"
          onClick={async () => {
            await act(
              ask((client) => client.config.reload()),
              ({ applied, restart }) =>
                `${applied.length === 0 ? "Nothing has changed." : applied.join(" ")}${restart.length > 0 ? ` A restart is needed for ${restart.join(", ")}.` : ""}`
            )
            again()
          }}
        >
          Load it again
        </button>
      </p>
      {known.error === null ? (
        <p class="note good">What is in force is what the file says.</p>
      ) : (
        <div class="note bad">
          <p>The file as it is now is not in force; what is shown here is. What is wrong with it:</p>
          <ul>
            {known.error.split("\n").map((line, index) => (
              <li key={index}>
                <Folded text={line} />
              </li>
            ))}
          </ul>
        </div>
      )}
      {known.restart.length > 0 && <p class="note warn">A restart is needed for {known.restart.join(", ")}.</p>}
      {known.last_reload !== null && (
        <section aria-labelledby="reload-title">
          <h2 id="reload-title">The last reload</h2>
          <p>
            <Badge tone={known.last_reload.error === null ? "good" : "bad"}>
              {known.last_reload.error === null ? "done" : "refused"}
            </Badge>{" "}
            <Moment at={known.last_reload.time} />, <Name of={known.last_reload.why} />
          </p>
          {known.last_reload.error !== null && <Folded text={known.last_reload.error} />}
          {known.last_reload.applied.length > 0 && (
            <ul>
              {known.last_reload.applied.map((line, index) => (
                <li key={index}>
                  <Name of={line} />
                </li>
              ))}
            </ul>
          )}
        </section>
      )}
      <section aria-labelledby="file-title">
        <h2 id="file-title">The file</h2>
        <div class="scroll code" tabIndex={0} role="region" aria-label="The file, line by line">
          <table>
            <caption class="unseen">The config file, line by line; secrets are shown as ***</caption>
            <tbody>
              {known.lines.map((line, index) => {
                const mark = marks.get(index + 1)
                return (
                  <tr key={index} class={mark === undefined ? "" : "marked"}>
                    <th scope="row">{index + 1}</th>
                    <td>
                      <pre>
                        <Name of={line} />
                      </pre>
                    </td>
                    <td>
                      {mark !== undefined && (
                        <Badge tone="plain">
                          {mark.what} {Format.plain(mark.name)}
                        </Badge>
                      )}
                    </td>
                  </tr>
                )
              })}
            </tbody>
          </table>
        </div>
      </section>
    </>
  )
}
