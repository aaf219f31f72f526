/**
 * What can be found out about an HTTP target without leaving anything there. A form can't be tried: what was posted
 * stays. A bare body can be where DELETE is allowed, and a tus upload where it can be terminated.
 */
import { createHash } from "node:crypto"
import { Effect, Option } from "effect"
import * as RelPath from "../../domain/RelPath.ts"
import { isOneObject } from "../../domain/Target.ts"
import type { Finding, ProbeTask } from "../Destination.ts"
import * as Exchange from "./HttpExchange.ts"
import { digestField } from "./HttpLook.ts"
import { pathOf } from "./HttpPlan.ts"
import { within } from "./HttpRedirect.ts"
import { extensionsIn, version } from "./Tus.ts"

export const probe = (exchange: Exchange.Exchange, task: ProbeTask): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.gen(function* () {
    const { target } = task
    const path = pathOf(target, task.secrets)(task.temp)
    const asked = isOneObject(target) ? path : pathOf(target, task.secrets)("").replace(/\/(?=\?|$)/, "") || "/"
    const outcome = yield* Effect.either(exchange.send(asking(task, "OPTIONS", asked)))
    if (outcome._tag === "Left") {
      return [finding("reachable", "no", outcome.left.reason, "Nothing can be delivered until this is mended.")]
    }
    const answer = outcome.right
    const findings = [
      finding("reachable", "yes", `OPTIONS answered ${RelPath.display(answer.said)}`, ""),
      identity(answer),
      authenticated(task, answer)
    ]
    switch (target.options.upload) {
      case "multipart":
        return [
          ...findings,
          finding("writable", "unknown", "a form can't be tried without leaving it there", ""),
          ...plain("status", "what became of a form can't be asked")
        ]
      case "raw":
        return [...findings, ...(yield* tryRaw(exchange, task, answer, path))]
      case "tus":
        return [...findings, ...(yield* tryTus(exchange, task, answer, path))]
    }
  })

const finding = (what: Finding["what"], state: Finding["state"], found: string, therefore: string): Finding => ({
  what,
  state,
  found,
  therefore
})

const asking = (task: ProbeTask, method: string, path: string): Exchange.Request => ({
  target: task.target,
  secrets: task.secrets,
  method,
  path,
  idempotent: true
})

const identity = (answer: Exchange.Answer): Finding => {
  const software = answer.header("server")
  const certificate = answer.certificate?.()
  const words = [
    ...(software === undefined ? [] : [RelPath.display(software)]),
    ...(certificate === undefined
      ? []
      : [
          `certificate of ${RelPath.display(namesIn(certificate.subject))} by ${RelPath.display(namesIn(certificate.issuer))}, valid until ${certificate.valid_to}`
        ])
  ]
  return words.length === 0
    ? finding("identity", "unknown", "the server does not tell what it is", "")
    : finding("identity", "yes", words.join("; "), "")
}

const namesIn = (name: object | undefined): string =>
  Object.values(name ?? {})
    .flat()
    .join(", ") || "nobody"

const authenticated = (task: ProbeTask, answer: Exchange.Answer): Finding => {
  const { secrets, target } = task
  const given = target.username !== null || Option.isSome(secrets.token) || secrets.headers.length > 0
  if (answer.status === 401 || answer.status === 407) {
    return finding(
      "authenticated",
      "no",
      `it answered ${RelPath.display(answer.said)}`,
      given
        ? "Check user, password, token and headers in the config."
        : "Put a user and a password, a token or headers into the config."
    )
  }
  return given
    ? finding("authenticated", "unknown", "not every server checks them before a file is sent", "")
    : finding("authenticated", "unknown", "no user, token or header is configured, and none was asked for yet", "")
}

/** What holds of every upload that is one request. */
const plain = (verification: string, why: string): ReadonlyArray<Finding> => [
  finding("rename", "limit", "HTTP has no rename", "Whether a partial upload can be seen is up to the server."),
  finding("verification", "limit", why, `A delivery is proved by ${verification}.`),
  finding("resume", "limit", "one request for each file", "An upload that was cut starts over.")
]

const content = Buffer.from("filedispatch probe\n")
const contentSha256 = createHash("sha256").update(content).digest("hex")

const tryRaw = (exchange: Exchange.Exchange, task: ProbeTask, options: Exchange.Answer, path: string) =>
  Effect.gen(function* () {
    const { target } = task
    const allowed = (options.header("allow") ?? "").toUpperCase().split(/\s*,\s*/)
    const untried = (why: string) => [
      finding("writable", "unknown", why, ""),
      ...plain("what the server says", "nothing could be tried")
    ]
    if (isOneObject(target)) return untried("the URL is that of one object, which a trial would replace")
    if ((target.options.method ?? "PUT") !== "PUT")
      return untried("what is posted can't be tried without leaving it there")
    if (!allowed.includes("PUT") || !allowed.includes("DELETE")) {
      return untried("the server does not say that PUT and DELETE are allowed there, so that a trial could stay behind")
    }
    const put = yield* Effect.either(
      exchange.send({
        ...asking(task, "PUT", path),
        body: content,
        headers: { "content-type": "text/plain", "content-digest": digestField(contentSha256) }
      })
    )
    if (put._tag === "Left") return [finding("writable", "no", put.left.reason, "")]
    if (put.right.status < 200 || put.right.status > 299) {
      const error = yield* Effect.flip(Exchange.refused(asking(task, "PUT", path), put.right))
      return [finding("writable", "no", error.reason, "")]
    }
    const head = yield* Effect.either(exchange.send(asking(task, "HEAD", path)))
    const removed = yield* Effect.either(exchange.send(asking(task, "DELETE", path)))
    const gone = removed._tag === "Right" && removed.right.status < 300
    const length = head._tag === "Right" && head.right.status < 300 ? head.right.header("content-length") : undefined
    const sized = length === String(content.byteLength)
    return [
      finding(
        "writable",
        "yes",
        `PUT answered ${RelPath.display(put.right.said)}${gone ? "" : ", and DELETE did not work"}`,
        gone ? "" : `Remove ${task.temp} there by hand.`
      ),
      finding("rename", "limit", "HTTP has no rename", "Whether a partial upload can be seen is up to the server."),
      sized
        ? finding(
            "verification",
            "yes",
            "HEAD tells the size",
            "`verify: size` compares it; `auto` spares that request."
          )
        : finding(
            "verification",
            "limit",
            "HEAD does not tell the size",
            "A delivery is proved by what the server says."
          ),
      finding("resume", "limit", "one request for each file", "An upload that was cut starts over.")
    ]
  })

const tryTus = (exchange: Exchange.Exchange, task: ProbeTask, options: Exchange.Answer, path: string) =>
  Effect.gen(function* () {
    if (options.header("tus-version") === undefined) {
      return [
        finding("writable", "no", "the server does not speak tus there", "Check the path, or use another `upload`.")
      ]
    }
    const extensions = extensionsIn(options)
    const most = options.header("tus-max-size")
    const offers = [
      extensions.checksum === undefined
        ? finding(
            "verification",
            "limit",
            "no checksums",
            "A delivery is proved by the size that the server says to have."
          )
        : finding(
            "verification",
            "yes",
            `checksums by ${extensions.checksum}`,
            "Small files go with one; `verify: hash` gives one to each part of the others."
          ),
      finding(
        "resume",
        "yes",
        `tus ${RelPath.display(options.header("tus-version") ?? "")}`,
        "An upload that was cut goes on from where it was."
      ),
      ...(most === undefined
        ? []
        : [finding("space", "limit", `files of ${RelPath.display(most)} bytes at most`, "Larger ones are refused.")])
    ]
    if (!extensions.creation) {
      return [
        finding("writable", "no", "the server makes no uploads (extension `creation`)", "Use another `upload`."),
        ...offers
      ]
    }
    if (!extensions.termination) {
      return [finding("writable", "unknown", "an upload that was begun could not be removed again", ""), ...offers]
    }
    const request = asking(task, "POST", path)
    const made = yield* Effect.either(
      exchange.send({ ...request, headers: { ...version, "upload-length": "1", "content-length": "0" } })
    )
    if (made._tag === "Left") return [finding("writable", "no", made.left.reason, ""), ...offers]
    const upload = within(task.target, path, made.right.header("location"))
    if (made.right.status !== 201 || upload === undefined) {
      const why = `a new upload was answered ${RelPath.display(made.right.said)}${made.right.status === 201 ? ", to go to another origin" : ""}`
      return [finding("writable", "no", why, "Check the path and what the user may do there."), ...offers]
    }
    const removed = yield* Effect.either(exchange.send({ ...asking(task, "DELETE", upload), headers: version }))
    const gone = removed._tag === "Right" && removed.right.status < 300
    const why = `an upload was begun${gone ? " and terminated" : ", and could not be terminated"}`
    return [finding("writable", "yes", why, gone ? "" : "It has no byte in it, and expires there."), ...offers]
  })
