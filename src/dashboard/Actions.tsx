/** What can be done with one delivery. Each asks first where it can't be undone, and says what came of it. */
import type { Either } from "effect"
import { type DeliveryState, replayable, waiting } from "../domain/Delivery.ts"
import { ask, type Problem } from "./api.ts"
import * as Format from "./format.ts"
import { act, confirm } from "./parts.tsx"

interface Of {
  readonly id: number
  readonly state: DeliveryState
}

/** Nothing more is tried by itself. */
export const isGivenUp = (state: DeliveryState): boolean => replayable.includes(state)

export interface ActionProps {
  readonly of: Of
  /** The file's, as plain text. */
  readonly name: string
  readonly changed: () => void
}

const again = async ({ id, state }: Of, name: string): Promise<boolean> => {
  const yes =
    state !== "AMBIGUOUS" ||
    (await confirm(
      `Send ${name} again?`,
      "It was sent, and no answer came: it may have arrived. Sent again it may be there twice.",
      "Send it again"
    ))
  if (!yes) return false
  return act(
    ask((client) => client.deliveries.retry({ path: { id }, urlParams: {} })),
    () => `${name} is tried again.`
  )
}

const cancel = async ({ id }: Of, name: string): Promise<boolean> => {
  const text = "It is not sent there any more, unless it is tried again by hand."
  if (!(await confirm(`Give ${name} up?`, text, "Give it up"))) return false
  return act(
    ask((client) => client.deliveries.cancel({ path: { id } })),
    () => `${name} is given up.`
  )
}

/** The buttons that make sense in its state. */
export const Actions = ({ changed, name, of }: ActionProps) => {
  const button = (label: string, run: (of: Of, name: string) => Promise<boolean>) => (
    <button
      type="button"
      onClick={async () => {
        if (await run(of, name)) changed()
      }}
    >
      {label}
      <span class="unseen"> {name}</span>
    </button>
  )
  return (
    <>
      {replayable.includes(of.state) && button("Try again", again)}
      {waiting.includes(of.state) && button("Cancel", cancel)}
    </>
  )
}

/** Pauses what goes on, and resumes what is paused. */
export const PauseButton = ({
  name,
  paused,
  run,
  then
}: {
  readonly name: string
  readonly paused: boolean
  readonly run: () => Promise<Either.Either<unknown, Problem>>
  /** What becomes of what is there, and of what comes, while it is paused. */
  readonly then: string
}) => (
  <button
    type="button"
    onClick={() => act(run(), () => (paused ? `${name} goes on.` : `${name} is paused: ${then}, what comes waits.`))}
  >
    {paused ? "Resume" : "Pause"}
    <span class="unseen"> {Format.plain(name)}</span>
  </button>
)
