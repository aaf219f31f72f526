/**
 * The entry of the thread that reads bytes: types, plain texts and hashes. It runs no parser that somebody else's file
 * could keep busy; small files are read at once, large ones in turns.
 */
import { parentPort } from "node:worker_threads"
import * as Look from "./look.ts"
import type { Answer, Message, Question } from "./protocol.ts"

/** Those that take their time, for as long as somebody waits for them. */
const running = new Set<number>()

const answer = (question: Question): unknown => {
  switch (question.operation) {
    case "mime":
      return Look.mime(question.input.subject)
    case "text":
      return Look.text(question.input.subject, question.input.length)
    case "sha256":
      return Look.sha256(question.input.subject, () => !running.has(question.id))
    case "document":
      throw new Error("documents are read elsewhere")
  }
}

const failed = (id: number, error: unknown): Answer => ({
  id,
  reason: error instanceof Error ? error.message : String(error)
})

const later = async (id: number, value: Promise<unknown>): Promise<void> => {
  running.add(id)
  let late: Answer
  try {
    late = { id, value: await value }
  } catch (error) {
    late = failed(id, error)
  }
  if (running.delete(id)) parentPort?.postMessage([late])
}

parentPort?.on("message", (message: Message) => {
  if ("forget" in message) {
    running.delete(message.forget)
    return
  }
  const answers: Array<Answer> = []
  for (const question of message.ask) {
    try {
      const value = answer(question)
      if (value instanceof Promise) void later(question.id, value)
      else answers.push({ id: question.id, value })
    } catch (error) {
      answers.push(failed(question.id, error))
    }
  }
  if (answers.length > 0) parentPort?.postMessage(answers)
})
