/**
 * What the bytes of a file say without a parser: the type, the text of a text file, the hash.
 */
import { createHash } from "node:crypto"
import { setImmediate } from "node:timers/promises"
import { detectBinary, detectSoon, plainText, type Sniffed } from "./detect.ts"
import { bytesFor } from "./encoding.ts"
import type { LookAnswer, Operations, Subject } from "./protocol.ts"
import { withFile, withFileAsync, type Opened } from "./subject.ts"

type Now<A> = A | Promise<A>

/** @throws SubjectError, like all of these, where the file is not the one that was found any more */
export const mime = (subject: Subject): Now<string | null> => sniff(subject, (sniffed) => sniffed.mime)

export const text = (subject: Subject, length: number): Now<Operations["text"]["out"]> =>
  sniff(subject, (sniffed, file) => ({ mime: sniffed.mime, text: textOf(sniffed, file, length) }))

const textOf = (sniffed: Sniffed, file: Opened, length: number): LookAnswer => {
  if (sniffed.kind !== undefined) return { tag: "Document", kind: sniffed.kind }
  if (sniffed.encoding !== undefined)
    return { tag: "Text", ...plainText(file, sniffed.encoding, length, bytesFor(length)) }
  return { tag: "NoText", why: sniffed.why ?? `it is not text (${sniffed.mime ?? "of a type that nobody knows"})` }
}

/** Most files say at once what they are; only the others cost a turn of the loop. */
const sniff = <A>(subject: Subject, use: (sniffed: Sniffed, file: Opened) => A): Now<A> => {
  const soon = withFile(subject, (file) => {
    const sniffed = detectSoon(file, subject)
    return sniffed === undefined ? undefined : { answer: use(sniffed, file) }
  })
  return soon === undefined ? withFileAsync(subject, async (file) => use(await detectBinary(file), file)) : soon.answer
}

/** `forgotten`: whether nobody waits for it any more. */
export const sha256 = (subject: Subject, forgotten: () => boolean): Now<string> => {
  if (subject.size <= chunkSize) {
    return withFile(subject, (file) => createHash("sha256").update(file.read(0, chunkSize)).digest("hex"))
  }
  return withFileAsync(subject, async (file) => {
    const hash = createHash("sha256")
    for (let at = 0; at < file.size; at += chunkSize) {
      hash.update(file.read(at, chunkSize))
      // others are not to wait for the end of a large file
      await setImmediate()
      if (forgotten()) break
    }
    return hash.digest("hex")
  })
}

const chunkSize = 1024 * 1024
