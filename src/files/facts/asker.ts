/**
 * Asks a worker thread, or a process, that is started by the first question, ended when it has been idle for a while,
 * and may end at any moment: the next question starts another.
 */
import type { Answer, Message, Operation, Operations, Question } from "./protocol.ts"

/** What answers. */
export interface Port {
  readonly post: (message: Message) => void
  /** Ends it at once; resolves when it has ended. */
  readonly end: () => Promise<unknown>
}

/** What it tells. */
export interface Events {
  readonly answered: (answers: ReadonlyArray<Answer>) => void
  /** It has ended by itself. */
  readonly ended: (death: Death) => void
}

/** `ours`: the file has no part in it. `memory`: it needed more than it may have. */
export interface Death {
  readonly cause: "memory" | "crash" | "ours"
  readonly why: string
}

/** `Failed`: the file is not the one that was found, or can't be read. `Died`: there was no answer. */
export type Outcome<A> =
  | { readonly _tag: "Done"; readonly value: A }
  | { readonly _tag: "Failed"; readonly reason: string }
  | ({ readonly _tag: "Died" } & Death)

export interface Asker {
  /** Answers a function that says that nobody waits any more. */
  readonly ask: <Name extends Operation>(
    operation: Name,
    input: Operations[Name]["in"],
    done: (outcome: Outcome<Operations[Name]["out"]>) => void
  ) => () => void
  /** Ends what it is doing. */
  readonly end: (why: string) => void
  /** For good. */
  readonly stop: () => Promise<void>
}

/** Milliseconds without a question until the memory is given back. */
const idleTime = 30_000

/** `start` may throw where that is not possible. */
export const make = (start: (events: Events) => Port): Asker => {
  const waiting = new Map<number, (outcome: Outcome<unknown>) => void>()
  let port: Port | undefined
  let queue: Array<Question> = []
  let last = 0
  let idle: NodeJS.Timeout | undefined
  let ending: Promise<unknown> = Promise.resolve()

  const open = (): Port => {
    // one that was given up has nothing to say any more
    const events: Events = {
      answered: (answers) => {
        if (port !== next) return
        for (const answer of answers) settle(answer)
        clearTimeout(idle)
        if (waiting.size === 0) idle = setTimeout(leave, idleTime).unref()
      },
      ended: (death) => {
        if (port === next) fail(death)
      }
    }
    const next = start(events)
    return next
  }

  const settle = (answer: Answer): void => {
    const done = waiting.get(answer.id)
    waiting.delete(answer.id)
    done?.("reason" in answer ? { _tag: "Failed", reason: answer.reason } : { _tag: "Done", value: answer.value })
  }

  const leave = (): void => {
    const old = port
    port = undefined
    queue = []
    clearTimeout(idle)
    if (old !== undefined) ending = Promise.all([ending, old.end()])
  }

  const fail = (death: Death): void => {
    leave()
    // what is asked in answer to this is for the next one
    const all = Array.from(waiting.values())
    waiting.clear()
    for (const done of all) done({ _tag: "Died", ...death })
  }

  /** Many questions are one message: each costs as much as the reading of a small file. */
  const flush = (): void => {
    if (queue.length === 0) return
    const ask = queue
    queue = []
    try {
      port ??= open()
      port.post({ ask })
    } catch (error) {
      fail({ cause: "ours", why: error instanceof Error ? error.message : String(error) })
    }
  }

  return {
    ask: <Name extends Operation>(
      operation: Name,
      input: Operations[Name]["in"],
      done: (outcome: Outcome<Operations[Name]["out"]>) => void
    ) => {
      const id = (last += 1)
      waiting.set(id, (outcome) =>
        done(outcome._tag === "Done" ? { _tag: "Done", value: answerOf<Name>(outcome.value) } : outcome)
      )
      clearTimeout(idle)
      if (queue.length === 0) setImmediate(flush)
      queue.push(questionOf(id, operation, input))
      return () => {
        if (!waiting.delete(id)) return
        const at = queue.findIndex((question) => question.id === id)
        if (at >= 0) queue.splice(at, 1)
        else port?.post({ forget: id })
      }
    },
    end: (why) => fail({ cause: "ours", why }),
    stop: async () => {
      fail({ cause: "ours", why: "filedispatch is ending" })
      await ending
    }
  }
}

/** Both ends are compiled from `Operations`: each is answered with its own type. */
const answerOf = <Name extends Operation>(value: unknown): Operations[Name]["out"] => value as Operations[Name]["out"]

const questionOf = <Name extends Operation>(id: number, operation: Name, input: Operations[Name]["in"]): Question =>
  ({ id, operation, input }) as Question
