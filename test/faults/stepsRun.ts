/**
 * Kills a scenario at its steps: in the long run at all of them, and otherwise at some, spread over the whole, which the
 * seed chooses. In the process, where it is cheap, all are taken: see stepsInProcess.
 */
import { expect } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { random } from "../e2e/project.ts"
import { long, seed, tried } from "./report.ts"
import { kill, record, type Recording, type Scenario, type Step } from "./steps.ts"
import { orderOf, type Order } from "./stepsOrder.ts"

/** A step that was not met is tried again: how the journal groups its commits is not the same in each run. */
const rounds = 3

export const killEverywhere = (
  scenario: Scenario,
  template: string
): Effect.Effect<{ readonly recording: Recording; readonly order: Order }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const recording = yield* record(scenario, template)
    const steps = [...chosen(scenario, recording.steps), undefined]
    const results = yield* Effect.forEach(
      steps,
      (step) =>
        Effect.gen(function* () {
          for (let round = 1; ; round++) {
            const seen = yield* Effect.scoped(kill(recording, step, template))
            if (seen.hit || round === rounds) return { ...seen, step, kills: round }
          }
        }),
      { concurrency: 2 }
    )
    const missed = results.filter(({ hit }) => !hit)
    // a commit more or less
    const must = missed
      .filter(({ step }) => step?.journal !== true && step?.alike !== true)
      .map(({ step }) => step?.label ?? "the end")
    expect(must).toEqual([])
    expect(missed.length).toBeLessThanOrEqual(Math.max(2, results.length / 4))
    const hits = steps.length - missed.length
    const kills = results.reduce((sum, one) => sum + one.kills, 0)
    const there = results.filter(({ published }) => published.size > 0).length
    const order = orderOf(recording)
    tried({
      section: "step",
      what: `${scenario.what}: killed before each of ${hits - 1} system calls, and after the last`,
      happened:
        `each time one whole result, one log entry, no temp file; ` +
        (scenario.adopts
          ? `in ${there} of ${steps.length} the result was there already, and was adopted, not written again`
          : `in ${there} of ${steps.length} the result was there already`),
      counts: { kills, files: (kills + 1) * scenario.files.size, lost: 0, partial: 0, duplicates: 0, temps: 0 }
    })
    return { recording, order }
  })

/** Each costs two runs of the program. */
const mostSteps = 5

/** Steps that an earlier scenario of that kind was killed at. */
const met = new Set<string>()

/** What is gone or has another name after it, or is synced: that is never left out. The others only make something new. */
const lasting: ReadonlySet<string> = new Set("rename,link,unlink,rmdir,fsync,fdatasync,ftruncate".split(","))

const chosen = ({ journal = "some", kind = "" }: Scenario, steps: ReadonlyArray<Step>): ReadonlyArray<Step> => {
  if (long) return steps.filter(({ alike }, index) => alike !== true || index % 5 === 0)
  const next = random(seed)
  const sent = steps.filter(({ alike }) => alike)
  const some = Math.min(5, sent.length)
  // spread over what is sent, the log-in and the rename included
  const spread = new Set(
    Array.from({ length: some }, (_, part) => sent[Math.floor(((part + next()) * sent.length) / some)])
  )
  const taken = (step: Step): boolean => {
    const { alike, call, label } = step
    if (alike === true) return spread.has(step)
    if (step.journal) {
      const all = journal !== "some"
      return next() < (lasting.has(call.name) ? (all ? 1 : 0.3) : all ? 0.04 : 0)
    }
    if (journal === "only" || met.has(`${kind} ${label}`)) return false
    return lasting.has(call.name) || next() < 0.5
  }
  const wanted = steps.filter(taken)
  // spread over the whole; the others have their turn with another seed
  const share = Math.min(1, mostSteps / wanted.length)
  const offset = next()
  const taking = wanted.filter(
    (_, index) => Math.floor((index + 1) * share + offset) > Math.floor(index * share + offset)
  )
  for (const { label } of taking) met.add(`${kind} ${label}`)
  return taking
}
