/** All that is known of one entry of the log: what was sent, how it was proved, each attempt, and which rules matched. */
import { Either } from "effect"
import type { ComponentChildren } from "preact"
import type { LogEntry } from "../domain/LogEntry.ts"
import { Actions, isGivenUp } from "./Actions.tsx"
import { ask } from "./api.ts"
import { ExplanationBox } from "./ExplanationBox.tsx"
import * as Format from "./format.ts"
import { act, Badge, confirm, Folded, Moment, Name, say, Trouble, useLoaded } from "./parts.tsx"

const proofs: Readonly<Record<string, string>> = {
  hash: "by its hash",
  inode: "it is the file itself, moved",
  size: "by its size",
  status: "by the answer alone"
}

const Line = ({ children, name }: { readonly name: string; readonly children: ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
)

export const EntryStory = ({ changed, entry }: { readonly entry: LogEntry; readonly changed: () => void }) => {
  const { delivery: id } = entry
  const [delivery, again] = useLoaded(entry.id, async (signal) =>
    id === null ? Either.right(undefined) : await ask((client) => client.deliveries.get({ path: { id } }), signal)
  )
  const [explanation] = useLoaded(`${entry.id} why`, async (signal) =>
    id === null
      ? Either.right(undefined)
      : await ask((client) => client.routing.explainLog({ path: { id: entry.id } }), signal)
  )
  const known = delivery.value
  const name = Format.plain(entry.filename)
  const refresh = () => {
    again()
    changed()
  }
  return (
    <article aria-label={`the story of ${name}`}>
      {entry.reason !== null && (
        <p class="note bad">
          <Folded text={entry.reason} />
        </p>
      )}
      <div class="row">
        {known !== undefined && <Actions of={known} name={name} changed={refresh} />}
        {entry.status === "SUCCEEDED" && entry.undone === undefined && entry.protocol === "file" && (
          <button
            type="button"
            onClick={async () => {
              const plan = await ask((client) =>
                client.undo.log({ path: { id: entry.id }, urlParams: { dry_run: true } })
              )
              if (Either.isLeft(plan)) return say("bad", plan.left.text)
              const { file, from, notes, reason, undone } = plan.right
              if (!undone) return say("bad", reason ?? "It can't be put back.")
              const yes = await confirm(
                `Put ${name} back?`,
                `It goes from ${Format.plain(from ?? "where it is")} back to ${Format.plain(file ?? "its source")}, and is not sent again until it changes. ${notes.map(Format.plain).join(" ")}`,
                "Put it back"
              )
              if (!yes) return
              const done = await act(
                ask((client) => client.undo.log({ path: { id: entry.id }, urlParams: {} })),
                (result) =>
                  result.undone
                    ? `${name} is back at ${Format.plain(result.file ?? "its source")}.`
                    : `${name} was left where it is: ${result.reason ?? ""}`
              )
              if (done) refresh()
            }}
          >
            Undo
          </button>
        )}
        {known !== undefined && (
          <Badge tone={known.state === "DELIVERED" ? "good" : isGivenUp(known.state) ? "bad" : "plain"}>
            now: {Format.stateName(known.state)}
          </Badge>
        )}
      </div>
      <dl class="story-facts">
        <Line name="from">
          <Name of={entry.source} mono />
        </Line>
        <Line name="to">
          <Name of={entry.destination} mono />
        </Line>
        <Line name="concluded">
          <Moment at={entry.created} />
        </Line>
        <Line name="file changed">
          <Moment at={entry.file_modified} />
        </Line>
        <Line name="file made">
          <Moment at={entry.file_created} />
        </Line>
        {entry.undone !== undefined && (
          <Line name="put back">
            <Moment at={entry.undone} />
          </Line>
        )}
        <Line name="size">
          {Format.bytes(entry.byte_size)} ({Format.count(entry.byte_size)} bytes)
          {entry.sent_size !== null && `; ${Format.bytes(entry.sent_size)} as sent`}
        </Line>
        <Line name="took">{entry.duration_ms === null ? "not known" : Format.duration(entry.duration_ms)}</Line>
        <Line name="proved">{entry.verified === null ? "no" : (proofs[entry.verified] ?? entry.verified)}</Line>
        <Line name="sha256">{entry.sha256 === null ? "not read" : <code>{entry.sha256}</code>}</Line>
        {entry.sent_sha256 !== null && (
          <Line name="sha256 as sent">
            <code>{entry.sent_sha256}</code>
          </Line>
        )}
        {known?.receipt != null && (
          <Line name="receipt">
            <Folded text={known.receipt.said} />, as <Name of={known.receipt.name} mono />
          </Line>
        )}
      </dl>
      <h2>Attempts</h2>
      {delivery.state === "failed" && <Trouble problem={delivery.problem} />}
      {delivery.state === "loading" && known === undefined && <p class="muted">Looking …</p>}
      {id === null && <p class="muted">Another program stored this entry: nothing is known of its attempts.</p>}
      {known !== undefined &&
        (known.history.length === 0 ? (
          <p class="muted">{entry.status === "SUCCEEDED" ? "It succeeded at once." : "None is remembered."}</p>
        ) : (
          <ol class="attempts">
            {known.history.map((attempt) => (
              <li key={`${attempt.number} ${attempt.started}`}>
                <Badge tone="warn">{Format.stateName(attempt.outcome)}</Badge> <Moment at={attempt.started} />, after{" "}
                {Format.duration(Date.parse(attempt.ended) - Date.parse(attempt.started))}:{" "}
                <Folded text={attempt.reason} />
              </li>
            ))}
          </ol>
        ))}
      <h2>Why it went there</h2>
      {explanation.state === "failed" && <Trouble problem={explanation.problem} />}
      {explanation.value === undefined ? (
        <p class="muted">{explanation.state === "loading" ? "Looking …" : "It was not routed here."}</p>
      ) : (
        <ExplanationBox of={explanation.value} />
      )}
    </article>
  )
}
