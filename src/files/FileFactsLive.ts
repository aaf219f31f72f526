/**
 * What the bytes of files say. A worker thread reads types, plain texts and hashes; processes of their own read
 * documents, each one at a time, within bounds of time and memory, and are ended where they go beyond them.
 *
 * Nothing is started before the first question, and all of it ends with the scope.
 */
import { Effect, Layer, type Scope } from "effect"
import type { Found } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { FactsError, FileFacts, type Bytes, type Text } from "./FileFacts.ts"
import * as Asker from "./facts/asker.ts"
import { clip } from "./facts/encoding.ts"
import * as Limits from "./facts/limits.ts"
import type { DocumentKind, Operation, Operations, Subject } from "./facts/protocol.ts"
import { startProcess } from "./facts/process.ts"
import { startThread } from "./facts/thread.ts"
import { below } from "./names.ts"
import { workerUrl } from "./workerUrl.ts"

export interface Options {
  /** Milliseconds for one document. */
  readonly documentTime?: number
}

const make = ({ documentTime = Limits.documentTime }: Options) =>
  Effect.gen(function* () {
    const reader = yield* asker((events) => startThread(workerUrl("files/facts/readWorker"), readerHeap, events))
    const reading = yield* Effect.makeSemaphore(readsAtOnce)
    const hashing = yield* Effect.makeSemaphore(hashesAtOnce)
    const document = yield* makeDocuments(documentTime)

    const ask = <Name extends "mime" | "text" | "sha256">(operation: Name, input: Operations[Name]["in"]) =>
      (operation === "sha256" && input.subject.size > smallFile ? hashing : reading).withPermits(1)(
        Effect.flatMap(asked(reader, operation, input), (outcome) => answer(input.subject, outcome))
      )

    const of = (source: string, file: Found): Bytes => {
      const subject: Subject = { root: source, path: file.path, stamp: file.stamp, size: file.size }
      let type: { readonly mime: string | null } | undefined
      let kind: DocumentKind | undefined
      let known: { readonly length: number; readonly text: Text } | undefined

      const mime = once(
        () => type?.mime,
        Effect.tap(ask("mime", { subject }), (found) => {
          type = { mime: found }
        })
      )

      const readText = (length: number): Effect.Effect<Text, FactsError> =>
        kind !== undefined
          ? document(subject, kind, length)
          : Effect.flatMap(ask("text", { subject, length }), (found) => {
              type = { mime: found.mime }
              if (found.text.tag !== "Document") return Effect.succeed(toText(found.text))
              kind = found.text.kind
              return document(subject, kind, length)
            })

      const oneText = Effect.unsafeMakeSemaphore(1)
      const text = (wanted: number): Effect.Effect<Text, FactsError> => {
        const length = Math.max(0, Math.min(Math.floor(wanted), Limits.textLength))
        return oneText.withPermits(1)(
          Effect.suspend(() => {
            const enough =
              known !== undefined && (known.text._tag === "NoText" || !known.text.cut || length <= known.length)
            if (known !== undefined && enough) return Effect.succeed(first(known.text, length))
            return Effect.tap(readText(length), (found) => {
              known = { length, text: found }
            })
          })
        )
      }

      let hash: string | undefined
      const sha256 = once(
        () => hash,
        Effect.tap(ask("sha256", { subject }), (found) => {
          hash = found
        })
      )
      return { mime, text, sha256 }
    }

    return FileFacts.of({ of })
  })

export const layer: Layer.Layer<FileFacts> = Layer.scoped(
  FileFacts,
  Effect.suspend(() => make({}))
)

/** With other bounds, for tests. */
export const layerWith = (options: Options): Layer.Layer<FileFacts> =>
  Layer.scoped(
    FileFacts,
    Effect.suspend(() => make(options))
  )

/** Small reads that are under way at a time: enough to share the hops between threads. */
const readsAtOnce = 64

/** Bytes of a file that is hashed at once. */
const smallFile = 1024 * 1024

/** Large files are read in turns, and more of them would only make the disk seek. */
const hashesAtOnce = 2

const documentsAtOnce = 2

/** MiB. */
const readerHeap = 128

const asker = (start: (events: Asker.Events) => Asker.Port): Effect.Effect<Asker.Asker, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => Asker.make(start)),
    (one) => Effect.promise(() => one.stop())
  )

const asked = <Name extends Operation>(
  to: Asker.Asker,
  operation: Name,
  input: Operations[Name]["in"]
): Effect.Effect<Asker.Outcome<Operations[Name]["out"]>> =>
  Effect.async((resume) => {
    const forget = to.ask(operation, input, (outcome) => resume(Effect.succeed(outcome)))
    return Effect.sync(forget)
  })

const answer = <A>(subject: Subject, outcome: Asker.Outcome<A>): Effect.Effect<A, FactsError> => {
  const file = RelPath.display(below(subject.root, subject.path))
  switch (outcome._tag) {
    case "Done":
      return Effect.succeed(outcome.value)
    case "Failed":
      return new FactsError({ file, reason: outcome.reason })
    case "Died":
      return new FactsError({ file, reason: `${file} could not be read (${outcome.why}); it will be tried again.` })
  }
}

/** Reads the texts of documents, so many at a time. */
const makeDocuments = (time: number) =>
  Effect.gen(function* () {
    const idle = yield* Effect.replicateEffect(
      asker((events) => startProcess(workerUrl("files/facts/documentWorker"), events)),
      documentsAtOnce
    )
    const reading = yield* Effect.makeSemaphore(documentsAtOnce)

    return (subject: Subject, kind: DocumentKind, length: number): Effect.Effect<Text, FactsError> => {
      const read = (to: Asker.Asker) =>
        withinTime(to, { subject, kind, length }, time).pipe(
          // a process may be killed without any fault of the document
          Effect.repeat({ while: crashed, times: 1 }),
          Effect.flatMap((outcome) =>
            outcome._tag === "Died" && outcome.cause !== "ours"
              ? Effect.succeed(
                  noText(outcome.cause === "memory" ? tooMuchMemory : `its reader failed (${outcome.why})`)
                )
              : Effect.map(answer(subject, outcome), toText)
          )
        )
      return reading.withPermits(1)(
        Effect.acquireUseRelease(
          Effect.sync(() => idle.pop()),
          (free) => (free === undefined ? Effect.dieMessage("no reader of documents is free") : read(free)),
          (free) =>
            Effect.sync(() => {
              if (free !== undefined) idle.push(free)
            })
        )
      )
    }
  })

type DocumentOutcome = Asker.Outcome<Operations["document"]["out"]>

const crashed = (outcome: DocumentOutcome): boolean => outcome._tag === "Died" && outcome.cause === "crash"

/** Ends the reader where it takes too long, or nobody waits for it any more. */
const withinTime = (to: Asker.Asker, input: Operations["document"]["in"], time: number) =>
  Effect.async<DocumentOutcome>((resume) => {
    let late = false
    // real time: what it bounds is real work
    const timer = setTimeout(() => {
      late = true
      to.end("it took too long")
    }, time)
    to.ask("document", input, (outcome) => {
      clearTimeout(timer)
      const why = `reading it took longer than ${time / 1000} s`
      resume(Effect.succeed(late ? { _tag: "Done", value: { tag: "NoText", why } } : outcome))
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      to.end("nobody waits for it any more")
    })
  })

const tooMuchMemory = `reading it took more than ${Limits.inWords(Limits.documentHeap * 1024 * 1024)} of memory`

const noText = (why: string): Text => ({ _tag: "NoText", why })

const toText = (found: Operations["document"]["out"]): Text =>
  found.tag === "Text" ? { _tag: "Text", text: found.text, cut: found.cut } : noText(found.why)

const first = (text: Text, length: number): Text =>
  text._tag === "NoText" ? text : { _tag: "Text", ...clip(text.text, length, text.cut) }

/** Reads what is not known yet, for all who ask at the same time; one that failed or was interrupted is read again. */
const once = <A>(known: () => A | undefined, read: Effect.Effect<A, FactsError>): Effect.Effect<A, FactsError> => {
  const one = Effect.unsafeMakeSemaphore(1)
  return Effect.suspend(() => {
    const now = known()
    if (now !== undefined) return Effect.succeed(now)
    return one.withPermits(1)(
      Effect.suspend(() => {
        const meanwhile = known()
        return meanwhile === undefined ? read : Effect.succeed(meanwhile)
      })
    )
  })
}
