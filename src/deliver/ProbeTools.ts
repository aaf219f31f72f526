/**
 * What a probe of a staged target works with: sessions that are given up in time, temp files that are removed again,
 * and what was found so far.
 */
import { createHash } from "node:crypto"
import { Readable } from "node:stream"
import { Clock, Effect, Option } from "effect"
import { TransientError, type DeliveryError } from "../domain/DeliveryError.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Target, TargetOptions } from "../domain/Target.ts"
import type { Finding, ProbeTask } from "./Destination.ts"
import * as Findings from "./Findings.ts"
import type { Session, Sessions } from "./Staging.ts"

/** How long one step may take at most, in milliseconds. */
export const longest = 30_000
/** How much later than the protocol's own time-out a step is given up, which knows more of what a silence means. */
const grace = 500
/** How long clearing up may hold up the end, in milliseconds. */
const cleanupTimeout = 5_000

/** What the temp files hold. */
export const content = Buffer.from("filedispatch tries what this target can do\n")
export const sha256 = createHash("sha256").update(content).digest("hex")
/** A time that no file gets by itself. */
export const past = Date.UTC(2001, 1, 3, 4, 5, 6)

export class ProbeTools {
  protected readonly found = new Map<Finding["what"], Finding>()
  /** What may be there and is ours; absolute. */
  protected readonly made = new Set<string>()
  protected readonly target: Target
  protected readonly options: TargetOptions
  private readonly limit: number
  /** Why nothing more is asked. */
  protected broken: TransientError | undefined
  /** The folder that is tried in. */
  protected base = ""

  constructor(
    private readonly sessions: Sessions,
    protected readonly task: ProbeTask
  ) {
    this.limit = Math.min(task.target.options.timeout, longest)
    this.options = { ...task.target.options, timeout: this.limit }
    this.target = { ...task.target, options: this.options }
  }

  findings(): ReadonlyArray<Finding> {
    const writable = this.found.get("writable")
    if (this.made.size > 0 && writable !== undefined) {
      const left = Array.from(this.made, RelPath.display).join(", ")
      this.say(
        "writable",
        writable.state === "no" ? "no" : "limit",
        writable.state === "no" ? writable.found : "A small file could be stored, and not removed again.",
        `Remove there what could not be removed: ${left}.`
      )
    }
    return Findings.sorted(this.found.values())
  }

  /** Removes what was made; it may take a little while, also where it is interrupted. */
  get clear(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.made.size === 0 ? Effect.void : Effect.forEach(Array.from(this.made), (path) => this.remove(path))
    ).pipe(
      Effect.interruptible,
      Effect.timeout(cleanupTimeout),
      Effect.catchAllCause((cause) => Effect.logDebug("What a probe has made could not be removed", cause))
    )
  }

  protected say(what: Finding["what"], state: Finding["state"], found: string, therefore = "") {
    this.found.set(what, { what, state, found, therefore })
  }

  protected unknown(what: Finding["what"], found: string, therefore = "") {
    this.say(what, "unknown", found, therefore)
  }

  protected at(name: string): string {
    return `${this.base}/${name}`
  }

  protected store(session: Session, name: string, bytes: Uint8Array = content, offset = 0) {
    const path = this.at(name)
    this.made.add(path)
    return session.store({
      path,
      body: Readable.from([bytes], { objectMode: false }),
      offset,
      size: offset + bytes.byteLength,
      sync: true,
      mtime: past
    })
  }

  /** By the server, or else of what it sends back. */
  protected hashOf(session: Session, path: string): Effect.Effect<string, DeliveryError> {
    return Effect.gen(function* () {
      const theirs = session.hash === undefined ? undefined : yield* session.hash(path)
      if (theirs !== undefined) return theirs
      const digest = createHash("sha256")
      yield* session.read(path, 0, (chunk) => digest.update(chunk))
      return digest.digest("hex")
    })
  }

  private remove(path: string): Effect.Effect<void> {
    const alone = <A>(use: (session: Session) => Effect.Effect<A, DeliveryError>) =>
      Effect.scoped(Effect.flatMap(this.sessions.get(this.target, this.task.secrets), use))
    return alone((session) => session.remove(path)).pipe(
      // a name that was refused before is refused again: that says nothing as long as there is nothing
      Effect.catchIf(isRefusal, (error) =>
        alone((session) => session.stat(path)).pipe(
          Effect.catchTag("PermanentError", () => nothing),
          Effect.filterOrFail(
            (there) => there === undefined,
            () => error
          )
        )
      ),
      Effect.matchEffect({
        onSuccess: () => Effect.sync(() => void this.made.delete(path)),
        onFailure: (error) => Effect.logDebug(`${RelPath.display(path)} could not be removed: ${error.reason}`)
      })
    )
  }

  /** With a session of its own, in bounded time. After a silence nothing more is asked. */
  protected step<A>(use: (session: Session) => Effect.Effect<A, DeliveryError>): Effect.Effect<A, DeliveryError> {
    return Effect.suspend((): Effect.Effect<A, DeliveryError> => {
      if (this.broken !== undefined) return Effect.fail(this.broken)
      const silent = new TransientError({
        reason: `${this.target.url} gave no answer within ${this.limit / 1000} s. Check that the server works.`,
        cause: Option.none()
      })
      return Effect.flatMap(Clock.currentTimeMillis, (started) =>
        Effect.scoped(Effect.flatMap(this.sessions.get(this.target, this.task.secrets), use)).pipe(
          Effect.timeoutFail({ duration: this.limit + grace, onTimeout: () => silent }),
          Effect.tapError(() =>
            Effect.map(Clock.currentTimeMillis, (now) => {
              if (now - started >= this.limit / 2) this.broken = silent
            })
          )
        )
      )
    })
  }

  /** A step whose failure says nothing about the rest. */
  protected trial(
    what: Finding["what"],
    otherwise: string,
    use: (session: Session) => Effect.Effect<void, DeliveryError>
  ): Effect.Effect<void> {
    return Effect.catchAll(this.step(use), (error) => Effect.sync(() => this.unknown(what, error.reason, otherwise)))
  }
}

const nothing: Effect.Effect<undefined> = Effect.sync(() => undefined)

/** The server has said no to this very thing, as far as can be told. */
export const isRefusal = (error: DeliveryError): boolean =>
  error._tag === "PermanentError" || error._tag === "TransientError"
