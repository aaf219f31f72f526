/**
 * Gathers the text of a document, up to as many characters as were asked for.
 */
import { clip } from "./encoding.ts"

export class Collector {
  private text = ""
  private readonly length: number

  constructor(length: number) {
    this.length = length
  }

  /** Whether there is more than enough. */
  get full(): boolean {
    return this.text.length > this.length
  }

  get empty(): boolean {
    return this.text.trim() === ""
  }

  add(text: string): void {
    // a little more than asked for is enough to know that there is more
    if (!this.full) this.text += text.length > this.length ? text.slice(0, this.length + 1) : text
  }

  /** Ends the line, if there is anything on it. */
  line(): void {
    if (this.text !== "" && !this.text.endsWith("\n")) this.add("\n")
  }

  /** A space between words, one at most. */
  space(): void {
    if (this.text !== "" && !/\s$/.test(this.text)) this.add(" ")
  }

  result(more = false): { readonly tag: "Text"; readonly text: string; readonly cut: boolean } {
    return { tag: "Text", ...clip(this.text, this.length, more) }
  }
}
