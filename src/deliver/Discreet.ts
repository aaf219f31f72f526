/**
 * A decorator of destinations: what a server says is repeated to people, but for the secrets in it. Some servers say
 * back what they were sent, in their status line, in the place that they redirect to, in the text of an error; and from
 * there it would go into the journal, the log and the API.
 */
import { Effect, Exit, Option, Redacted } from "effect"
import type { Receipt } from "../domain/Delivery.ts"
import {
  AmbiguousError,
  CrowdedError,
  type DeliveryError,
  LaneDownError,
  PermanentError,
  SkippedError,
  SourceChangedError,
  SourceGoneError,
  TransientError
} from "../domain/DeliveryError.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Secrets } from "../domain/Settings.ts"
import type { Target } from "../domain/Target.ts"
import type { Connection, Destination, ProbeTask, Task } from "./Destination.ts"

/** The same destination, that keeps the secrets of its targets to itself. */
export const discreet = (destination: Destination): Destination => ({
  ...destination,
  open: (lane, options) => Effect.map(destination.open(lane, options), quiet)
})

const quiet = (connection: Connection): Connection => {
  const { batch, discard, examine, probe } = connection
  return {
    ...connection,
    deliver: (task) =>
      connection.deliver(told(task)).pipe(
        Effect.map((receipt) => ofReceipt(task, receipt)),
        Effect.mapError((error) => ofError(task, error))
      ),
    recover: (task) =>
      connection.recover(told(task)).pipe(
        Effect.map(Option.map((receipt) => ofReceipt(task, receipt))),
        Effect.mapError((error) => ofError(task, error))
      ),
    ...(discard === undefined
      ? {}
      : { discard: (task) => Effect.mapError(discard(task), (error) => ofError(task, error)) }),
    ...(probe === undefined
      ? {}
      : {
          probe: (task) =>
            Effect.map(probe(task), (findings) => {
              const hide = hiding(task)
              return findings.map((one) => ({ ...one, found: hide(one.found), therefore: hide(one.therefore) }))
            })
        }),
    ...(examine === undefined
      ? {}
      : {
          examine: (task) =>
            examine(task).pipe(
              Effect.map((found) =>
                found._tag === "Unverifiable" ? { ...found, reason: hiding(task)(found.reason) } : found
              ),
              Effect.mapError((error) => ofError(task, error))
            )
        }),
    ...(batch === undefined
      ? {}
      : {
          batch: {
            ...batch,
            deliver: (tasks) =>
              Effect.map(batch.deliver(tasks.map(told)), (exits) =>
                exits.map((exit, index) => {
                  const task = tasks[index]
                  return exit === undefined || task === undefined
                    ? exit
                    : Exit.mapBoth(exit, {
                        onFailure: (error) => ofError(task, error),
                        onSuccess: (receipt) => ofReceipt(task, receipt)
                      })
                })
              )
          }
        })
  }
}

/** It can settle before it ends. */
const told = (task: Task): Task => {
  const { settle } = task
  return settle === undefined ? task : { ...task, settle: (receipt) => settle(ofReceipt(task, receipt)) }
}

type About = Task | Pick<ProbeTask, "secrets" | "target">

const ofReceipt = (task: Task, receipt: Receipt): Receipt => {
  const said = hiding(task)(receipt.said)
  return said === receipt.said ? receipt : { ...receipt, said }
}

const ofError = (about: About, error: DeliveryError): DeliveryError => {
  const hide = hiding(about)
  const reason = hide(error.reason)
  const inside = Option.match(error.cause, { onNone: () => "", onSome: textOf })
  if (reason === error.reason && hide(inside) === inside) return error
  // the cause says the same in the server's own words
  const fields = { ...error, reason, cause: Option.none() }
  switch (error._tag) {
    case "TransientError":
      return new TransientError(fields)
    case "LaneDownError":
      return new LaneDownError({ ...fields, phase: error.phase })
    case "CrowdedError":
      return new CrowdedError(fields)
    case "PermanentError":
      return new PermanentError(fields)
    case "AmbiguousError":
      return new AmbiguousError(fields)
    case "SkippedError":
      return new SkippedError(fields)
    case "SourceChangedError":
      return new SourceChangedError(fields)
    case "SourceGoneError":
      return new SourceGoneError({ ...fields, unreadable: error.unreadable })
  }
}

const textOf = (cause: unknown): string =>
  cause instanceof Error ? `${cause.message} ${cause.stack ?? ""}` : String(cause)

/** Puts dots in place of the secrets. Those of a target are found in every form in which they are sent, and some more. */
const hiding = (about: About): ((text: string) => string) => {
  const target = "delivery" in about ? about.delivery.target : about.target
  const known = cache.get(about.secrets)
  if (known !== undefined) return known
  const forms = formsOf(target, about.secrets)
  const hide = (text: string) => forms.reduce(withoutForm, text)
  cache.set(about.secrets, hide)
  return hide
}

const cache = new WeakMap<Secrets, (text: string) => string>()

/** The beginning of one gives it away too, where a text was cut. */
const telling = 8

const withoutForm = (text: string, form: string): string => {
  const head = form.slice(0, telling)
  let from = 0
  let at = text.indexOf(head)
  if (at < 0) return text
  let rest = ""
  while (at >= 0) {
    let end = at + head.length
    while (end < text.length && end - at < form.length && text[end] === form[end - at]) end += 1
    rest += `${text.slice(from, at)}…`
    from = end
    at = text.indexOf(head, from)
  }
  return rest + text.slice(from)
}

const formsOf = ({ username }: Target, secrets: Secrets): ReadonlyArray<string> => {
  const value = Option.match({ onNone: () => "", onSome: (secret: Redacted.Redacted) => Redacted.value(secret) })
  const password = value(secrets.password)
  const query = value(secrets.query)
  const texts = [
    password,
    value(secrets.token),
    value(secrets.passphrase),
    query,
    ...query.split(/[?&=]/),
    ...secrets.headers.map(([, header]) => Redacted.value(header))
  ]
  const login = password === "" ? [] : [`${username ?? ""}:${password}`]
  const forms = new Set<string>()
  for (const text of texts) {
    // a secret that is a word can't be told from our own
    if (text.length < 4 || /^[a-z]{1,12}$/i.test(text)) continue
    const bytes = Buffer.from(text)
    const percent = encodeURIComponent(text)
    const shown = RelPath.display(text)
    const spelled = [text, percent, percent.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()), encodeURI(text)]
    for (const form of [
      ...spelled,
      shown,
      JSON.stringify(text).slice(1, -1),
      bytes.toString("latin1"),
      bytes.toString("hex")
    ]) {
      forms.add(form)
    }
  }
  for (const text of [...login, ...texts]) {
    if (text.length < 4) continue
    for (const before of [0, 1, 2]) {
      const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(text)])
      const from = Math.ceil((before * 8) / 6)
      for (const encoding of ["base64", "base64url"] as const) {
        forms.add(bytes.toString(encoding).replace(/=+$/, "").slice(from))
      }
    }
  }
  // the longest first, so that none is cut into by a part of itself
  return Array.from(forms)
    .filter((form) => form.length >= 4)
    .toSorted((left, right) => right.length - left.length)
}
