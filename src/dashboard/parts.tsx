/** The small parts that the views are made of. */
import { Either } from "effect"
import type { ComponentChildren } from "preact"
import { useEffect, useId, useRef, useState } from "preact/hooks"
import type { Problem } from "./api.ts"
import { cell, useCell } from "./cell.ts"
import * as Format from "./format.ts"

/** A name that somebody else has chosen: always text, never markup; what can't be seen in it is shown by its number. */
export const Name = ({ of, mono = false }: { readonly of: string; readonly mono?: boolean }) => (
  <bdi class={mono ? "name mono" : "name"} dir="ltr">
    {Format.pieces(of).map(({ hidden, text }, index) =>
      hidden ? (
        <span key={index} class="hidden-character" title="a character that can't be seen">
          {text}
        </span>
      ) : (
        text
      )
    )}
  </bdi>
)

/** Half a minute, so that relative times stay true. */
const clock = cell(Date.now())
setInterval(() => clock.set(Date.now()), 30_000)

/** A time, relative to now; the exact one in the viewer's zone is its title. */
export const Time = ({ at }: { readonly at: string | null }) => {
  const current = useCell(clock)
  if (at === null) return <>never</>
  const time = Date.parse(at)
  return (
    <time dateTime={at} title={`${Format.moment(time)} (${Format.zoneName})`}>
      {Format.ago(time, Math.max(current, time < current + 60_000 ? time : current))}
    </time>
  )
}

/** Both, where there is room. */
export const Moment = ({ at }: { readonly at: string | null }) =>
  at === null ? (
    <>not known</>
  ) : (
    <>
      {Format.moment(Date.parse(at))} (<Time at={at} />)
    </>
  )

export type Tone = "good" | "bad" | "warn" | "plain"

export const Badge = ({ children, tone }: { readonly tone: Tone; readonly children: ComponentChildren }) => (
  <span class={`badge ${tone}`}>{children}</span>
)

/** A text of others that may be huge: the beginning, and the rest when it is asked for. */
export const Folded = ({ text, length = 240 }: { readonly text: string; readonly length?: number }) => {
  const [open, setOpen] = useState(false)
  if (text.length <= length) return <Name of={text} />
  const shown = text.slice(0, 20_000)
  return (
    <span class="folded">
      <Name of={open ? shown : `${text.slice(0, length)}…`} />
      {open && text.length > shown.length && ` … (${Format.count(text.length - shown.length)} more characters)`}{" "}
      <button type="button" class="link" aria-expanded={open} onClick={() => setOpen(!open)}>
        {open ? "show less" : `show all ${Format.count(text.length)} characters`}
      </button>
    </span>
  )
}

export const Trouble = ({ problem, retry }: { readonly problem: Problem; readonly retry?: () => void }) => (
  <p class="note bad" role="alert">
    <Folded text={problem.text} />{" "}
    {retry !== undefined && (
      <button type="button" onClick={retry}>
        Try again
      </button>
    )}
  </p>
)

export const Empty = ({ children, title }: { readonly title: string; readonly children?: ComponentChildren }) => (
  <div class="empty">
    <strong>{title}</strong>
    {children}
  </div>
)

// What was done, and what came of it

interface Toast {
  readonly id: number
  readonly tone: Tone
  readonly text: string
}
const toasts = cell<ReadonlyArray<Toast>>([])
let lastToast = 0

export const say = (tone: Tone, text: string): void => {
  const id = (lastToast += 1)
  toasts.set([...toasts.get().slice(-3), { id, tone, text }])
  // a failure stays until it is put away
  if (tone !== "bad") setTimeout(() => dismiss(id), 8000)
}
const dismiss = (id: number) => toasts.set(toasts.get().filter((toast) => toast.id !== id))

export const Toasts = () => (
  <div class="toasts" role="status" aria-live="polite">
    {useCell(toasts).map(({ id, text, tone }) => (
      <p key={id} class={`note ${tone}`}>
        <Folded text={text} />{" "}
        <button type="button" class="link" onClick={() => dismiss(id)}>
          Dismiss
        </button>
      </p>
    ))}
  </div>
)

/** Asks for something to be done, and says what came of it. */
export const act = async <A,>(
  doing: Promise<Either.Either<A, Problem>>,
  done: (value: A) => string
): Promise<boolean> => {
  const result = await doing
  if (Either.isRight(result)) say("good", done(result.right))
  else say("bad", result.left.text)
  return Either.isRight(result)
}

// Questions, before what can't be undone

interface Question {
  readonly title: string
  readonly text: string
  readonly yes: string
  readonly answer: (yes: boolean) => void
}
const question = cell<Question | undefined>(undefined)

export const confirm = (title: string, text: string, yes: string): Promise<boolean> =>
  new Promise((resolve) => {
    question.set({
      title,
      text,
      yes,
      answer: (answer) => {
        question.set(undefined)
        resolve(answer)
      }
    })
  })

export const Questions = () => {
  const asked = useCell(question)
  return asked === undefined ? null : <Ask {...asked} />
}

const Ask = ({ answer, text, title, yes }: Question) => (
  <Dialog title={title} onClose={() => answer(false)}>
    <p>
      <Folded text={text} />
    </p>
    <p class="row end">
      <button type="button" onClick={() => answer(false)}>
        No, leave it
      </button>
      <button type="button" class="primary" onClick={() => answer(true)}>
        {yes}
      </button>
    </p>
  </Dialog>
)

/** The browser keeps the focus in it, and closes it by Escape. */
export const Dialog = ({
  children,
  onClose,
  title
}: {
  readonly title: string
  readonly onClose?: () => void
  readonly children: ComponentChildren
}) => {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  return (
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        onClose?.()
      }}
    >
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  )
}

// What is loaded

export type Loaded<A> =
  | { readonly state: "loading"; readonly value: A | undefined }
  | { readonly state: "there"; readonly value: A }
  | { readonly state: "failed"; readonly problem: Problem; readonly value: A | undefined }

/**
 * Asks whenever `key` changes; what was there before stays until the answer comes. An answer that comes too late is
 * nobody's. What is asked while someone types waits until nothing was typed for `settle` milliseconds.
 */
export const useLoaded = <A,>(
  key: string,
  load: (signal: AbortSignal) => Promise<Either.Either<A, Problem>>,
  settle = 0
): readonly [loaded: Loaded<A>, again: () => void] => {
  const [loaded, setLoaded] = useState<Loaded<A>>({ state: "loading", value: undefined })
  const [turn, setTurn] = useState(0)
  const asked = useRef(false)
  useEffect(() => {
    const abort = new AbortController()
    setLoaded((before) => ({ state: "loading", value: before.value }))
    const question = async () => {
      const result = await load(abort.signal)
      if (abort.signal.aborted) return
      setLoaded((before) =>
        Either.isRight(result)
          ? { state: "there", value: result.right }
          : { state: "failed", problem: result.left, value: before.value }
      )
    }
    const timer = asked.current && settle > 0 ? setTimeout(() => void question(), settle) : void question()
    asked.current = true
    return () => {
      if (timer !== undefined) clearTimeout(timer)
      abort.abort()
    }
    // load is made anew each time it is drawn; the key says what it asks for
  }, [key, turn])
  return [loaded, () => setTurn((before) => before + 1)]
}
