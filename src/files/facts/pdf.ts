/**
 * The text of a PDF, page by page, by PDF.js.
 *
 * PDF.js unpacks a stream as a whole, into arrays outside the heap, which a thread's limits do not see. So their sizes
 * are counted as they are made, and its way through DecompressionStream, which makes them elsewhere, is closed.
 */
import type { Collector } from "./collector.ts"
import * as Limits from "./limits.ts"
import { Unreadable } from "./unreadable.ts"

export const readPdf = async (bytes: Uint8Array, into: Collector): Promise<void> => {
  const { getDocument } = await load()
  guard.size = bytes.length
  guard.allocated = 0
  guard.refused = false
  const task = getDocument({
    // its own copy: PDF.js takes the memory along
    data: new Uint8Array(bytes),
    isEvalSupported: false,
    disableFontFace: true,
    useSystemFonts: false,
    verbosity: 0
  })
  try {
    const document = await task.promise
    for (let number = 1; number <= document.numPages && !into.full; number++) {
      const page = await document.getPage(number)
      await readPage(page, into)
      page.cleanup()
      // PDF.js goes on without what it could not unpack
      if (guard.refused) break
    }
  } catch (error) {
    if (!guard.refused) throw toUnreadable(error)
  } finally {
    await task.destroy()
  }
  if (guard.refused && !into.full) throw new Unreadable(tooMuch)
  if (into.empty) throw new Unreadable("none of its pages has text (they may be pictures)")
}

const tooMuch = `a stream of it unpacks to more than ${Limits.inWords(Limits.streamSize)}, which is the most that is unpacked of one`

const readPage = async (page: Page, into: Collector): Promise<void> => {
  const reader = page.streamTextContent().getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done || value === undefined) break
    for (const item of value.items) {
      if (typeof item.str === "string") into.add(item.str)
      if (item.hasEOL === true) into.line()
    }
    if (into.full) {
      await reader.cancel(new Error("enough"))
      break
    }
  }
  into.line()
}

const toUnreadable = (error: unknown): unknown => {
  if (!(error instanceof Error)) return error
  switch (error.name) {
    case "PasswordException":
      return new Unreadable("it is an encrypted PDF")
    case "InvalidPDFException":
    case "FormatError":
    case "UnknownErrorException":
      return new Unreadable("it is a truncated or damaged PDF")
    default:
      return error
  }
}

/** What is used of PDF.js; its own declarations can't be compiled in this module system. */
interface Pdfjs {
  readonly getDocument: (options: object) => {
    readonly promise: Promise<Document>
    readonly destroy: () => Promise<void>
  }
}

interface Document {
  readonly numPages: number
  readonly getPage: (number: number) => Promise<Page>
}

interface Page {
  readonly streamTextContent: () => ReadableStream<{
    readonly items: ReadonlyArray<{ readonly str?: string; readonly hasEOL?: boolean }>
  }>
  readonly cleanup: () => boolean
}

const isPdfjs = (module: unknown): module is Pdfjs =>
  typeof module === "object" && module !== null && "getDocument" in module && typeof module.getDocument === "function"

let loaded: Promise<Pdfjs> | undefined

const load = (): Promise<Pdfjs> => (loaded ??= loadOnce())

const loadOnce = async (): Promise<Pdfjs> => {
  Reflect.deleteProperty(globalThis, "DecompressionStream")
  Reflect.set(globalThis, "Uint8Array", counted(Uint8Array))
  // by a name that the compiler and the bundler leave alone
  const name = ["unpdf", "pdfjs"].join("/")
  const module: unknown = await import(name)
  if (!isPdfjs(module)) throw new Error("the PDF reader can't be loaded: install filedispatch again")
  return module
}

/** The document's own bytes, those of the arrays that were made for it, and whether that was too much. */
const guard = { size: 0, allocated: 0, refused: false }

const counted = (type: Uint8ArrayConstructor): Uint8ArrayConstructor =>
  new Proxy(type, {
    construct: (target, args, self) => {
      const size: unknown = args[0]
      if (typeof size === "number") {
        guard.allocated += size
        if ((size > Limits.streamSize && size > guard.size) || guard.allocated > Limits.arraysSize) {
          guard.refused = true
          throw new RangeError("too large an array")
        }
      }
      return Reflect.construct(target, args, self)
    }
  })
