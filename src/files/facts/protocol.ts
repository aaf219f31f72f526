/**
 * What goes between the main thread and those that read for it: plain data, each question with one answer.
 */

/** A file as it was found; `root` and `path` in RelPath's form. */
export interface Subject {
  readonly root: string
  readonly path: string
  readonly stamp: string
  readonly size: number
}

/** A kind of document, by what reads it. */
export type DocumentKind = "pdf" | "word" | "sheet" | "slides" | "opendocument" | "rtf" | "html"

/** What the first bytes say. */
export interface Detected {
  readonly mime: string | null
  readonly kind?: DocumentKind
  /** Why there is no text, where more is known than that it is no text. */
  readonly why?: string
}

export type TextAnswer =
  | { readonly tag: "Text"; readonly text: string; readonly cut: boolean }
  | { readonly tag: "NoText"; readonly why: string }

/** The text of a document is for others to read. */
export type LookAnswer = TextAnswer | { readonly tag: "Document"; readonly kind: DocumentKind }

/** To the thread that reads bytes. */
export interface Operations {
  readonly mime: { readonly in: { readonly subject: Subject }; readonly out: string | null }
  readonly text: {
    readonly in: { readonly subject: Subject; readonly length: number }
    readonly out: { readonly mime: string | null; readonly text: LookAnswer }
  }
  readonly sha256: { readonly in: { readonly subject: Subject }; readonly out: string }
  /** To a process that reads documents. */
  readonly document: {
    readonly in: { readonly subject: Subject; readonly kind: DocumentKind; readonly length: number }
    readonly out: TextAnswer
  }
}

export type Operation = keyof Operations

export type Question = {
  [Name in Operation]: { readonly id: number; readonly operation: Name; readonly input: Operations[Name]["in"] }
}[Operation]

/** Several at a time, in one message; or the number of one that nobody waits for any more. */
export type Message = { readonly ask: ReadonlyArray<Question> } | { readonly forget: number }

export type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly reason: string }
