/** A value that the page shows, and that changes by itself. */
import { useEffect, useState } from "preact/hooks"

export interface Cell<A> {
  readonly get: () => A
  readonly set: (value: A) => void
  /** Answers how to end it. */
  readonly subscribe: (listener: (value: A) => void) => () => void
}

export const cell = <A>(first: A): Cell<A> => {
  let value = first
  const listeners = new Set<(value: A) => void>()
  return {
    get: () => value,
    set: (next) => {
      if (Object.is(next, value)) return
      value = next
      for (const listener of Array.from(listeners)) listener(next)
    },
    subscribe: (listener) => {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    }
  }
}

/** Its value now; draws again when that changes. */
export const useCell = <A>(from: Cell<A>): A => {
  const [value, setValue] = useState<{ readonly of: A }>({ of: from.get() })
  useEffect(() => {
    setValue({ of: from.get() })
    return from.subscribe((next) => setValue({ of: next }))
  }, [from])
  return value.of
}
