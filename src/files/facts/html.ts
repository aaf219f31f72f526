/**
 * The text of a page, as a reader sees it: without scripts and styles, one line for each block.
 */
import type { Collector } from "./collector.ts"
import { Markup } from "./markup.ts"

export const readHtml = (html: string, into: Collector): void => {
  let at = 0
  let space = false
  const markup = new Markup({
    text: (text) => {
      const words = text.replace(/[ \t\r\n\f]+/g, " ")
      if (words === " ") space = true
      else {
        if (space || words.startsWith(" ")) into.space()
        into.add(words.trim())
        space = words.endsWith(" ")
      }
    },
    open: (name) => {
      if (lines.has(name)) into.line()
      else if (cells.has(name)) space = true
    },
    close: (name) => {
      if (lines.has(name)) into.line()
    }
  })
  // what lies in these is not markup: it ends with the end tag and nothing before it
  for (const hidden of html.matchAll(/<(script|style|template)(?=[\s>])[^>]{0,10000}>/gi)) {
    if (hidden.index < at) continue
    feed(markup, html, at, hidden.index, into)
    if (into.full) return
    const end = new RegExp(`</${hidden[1] ?? ""}\\s*>`, "gi")
    end.lastIndex = hidden.index + hidden[0].length
    at = end.exec(html) === null ? html.length : end.lastIndex
    space = true
  }
  feed(markup, html, at, html.length, into)
  markup.end()
}

const pieceSize = 64 * 1024

const feed = (markup: Markup, html: string, from: number, to: number, into: Collector): void => {
  for (let at = from; at < to && !into.full; at += pieceSize) markup.write(html.slice(at, Math.min(to, at + pieceSize)))
}

const lines = new Set(
  `address article aside blockquote body br dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 head header hr
   html li main nav ol p pre section table title tr ul`.split(/\s+/)
)

const cells = new Set(["td", "th", "input", "img", "option", "button", "select"])
