/**
 * The entry of a process that reads one document after the other, and of the thread in it that does the work: the
 * process itself only listens, so that it notices at once when the one that asks is gone. It may be ended at any moment.
 */
import { isMainThread, parentPort } from "node:worker_threads"
import type { Death } from "./asker.ts"
import { documentText } from "./document.ts"
import * as Limits from "./limits.ts"
import type { Said } from "./process.ts"
import type { Answer, Message, Question } from "./protocol.ts"
import { startThread } from "./thread.ts"

const answer = async (question: Question): Promise<Answer> => {
  const { id } = question
  try {
    if (question.operation !== "document") throw new Error("only documents are read here")
    return { id, value: await documentText(question.input.subject, question.input.kind, question.input.length) }
  } catch (error) {
    return { id, reason: error instanceof Error ? error.message : String(error) }
  }
}

const work = (): void => {
  parentPort?.on("message", (message: Message) => {
    if (!("ask" in message)) return
    for (const question of message.ask) void answer(question).then((done) => parentPort?.postMessage([done]))
  })
}

const listen = (): void => {
  const say = (said: Said, then: () => void = () => undefined): void => {
    if (process.connected) process.send?.(said, undefined, undefined, then)
    else then()
  }
  const end = (death: Death): void => say({ death }, () => process.exit(1))
  const thread = startThread(new URL(import.meta.url), Limits.documentHeap, {
    answered: (answers) => say({ answers }),
    ended: end
  })
  process.on("message", (message: Message) => thread.post(message))
  process.on("disconnect", () => process.exit(0))
  // the one that asks gets these, too, and knows what is to be done
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined)
}

if (isMainThread) listen()
else work()
