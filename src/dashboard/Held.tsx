/** What waits at a destination, or was given up there, one by one: why, until when, and what can be done. */
import { useState } from "preact/hooks"
import type { DeliveryView } from "../http/ApiSchema.ts"
import { Actions, isGivenUp } from "./Actions.tsx"
import { ask } from "./api.ts"
import * as Format from "./format.ts"
import { Badge, Folded, Name, Time, Trouble, useLoaded } from "./parts.tsx"

const states = ["PENDING", "RETRY_WAIT", "BLOCKED", "DEAD", "AMBIGUOUS"] as const
const shown = 20

export const Held = ({ count, lane }: { readonly lane: string; readonly count: number }) => {
  const [open, setOpen] = useState(false)
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        What waits or was given up<span class="unseen"> at {Format.plain(Format.laneName(lane))}</span>
      </summary>
      {open && <List lane={lane} count={count} />}
    </details>
  )
}

const List = ({ count, lane }: { readonly lane: string; readonly count: number }) => {
  // asked again when their number has changed
  const [held, again] = useLoaded(JSON.stringify([lane, count]), (signal) =>
    ask((client) => client.deliveries.list({ urlParams: { lane, state: states, limit: shown } }), signal)
  )
  const found = held.value
  if (held.state === "failed") return <Trouble problem={held.problem} retry={again} />
  if (found === undefined) return <p class="muted">Looking …</p>
  if (found.length === 0) return <p class="muted">Nothing.</p>
  return (
    <>
      <ul class="held">
        {found.map((one) => (
          <li key={one.id}>
            <One of={one} changed={again} />
          </li>
        ))}
      </ul>
      {count > found.length && <p class="muted">The newest {Format.count(found.length)} are shown.</p>}
    </>
  )
}

const One = ({ changed, of }: { readonly of: DeliveryView; readonly changed: () => void }) => (
  <>
    <Name of={of.path} /> <Badge tone={isGivenUp(of.state) ? "bad" : "plain"}>{Format.stateName(of.state)}</Badge>{" "}
    {of.due !== null && (
      <small class="muted">
        next try <Time at={of.due} />
      </small>
    )}
    {of.reason !== null && (
      <>
        <br />
        <small>
          <Folded text={of.reason} length={160} />
        </small>
      </>
    )}
    <span class="row">
      <Actions of={of} name={Format.plain(of.path)} changed={changed} />
    </span>
  </>
)
