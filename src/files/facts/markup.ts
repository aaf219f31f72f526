/**
 * A tokenizer for XML and HTML that takes a document in pieces and keeps none of it: no tree, no document type, no
 * entity but the ones for single characters. What is not well-formed is passed over, as a reader of text may.
 */
import { Unreadable } from "./unreadable.ts"

export interface Handler {
  /** Between two tags, possibly in several pieces; entities are resolved. */
  readonly text: (text: string) => void
  /** Names are lower case, without a prefix; `attributes` as they stand in the tag. */
  readonly open: (name: string, attributes: string) => void
  /** Also after the `open` of an element without content. */
  readonly close: (name: string) => void
}

export class Markup {
  private rest = ""
  private readonly handler: Handler

  constructor(handler: Handler) {
    this.handler = handler
  }

  write(chunk: string): void {
    const input = this.rest + chunk
    const at = this.consume(input)
    this.rest = input.slice(at)
    if (this.rest.length > mostRest) throw new Unreadable("it is damaged (a tag has no end)")
  }

  end(): void {
    if (this.rest !== "" && !this.rest.startsWith("<")) this.handler.text(resolve(this.rest))
    this.rest = ""
  }

  /** Answers how far it came. */
  private consume(input: string): number {
    let at = 0
    while (at < input.length) {
      const tag = input.indexOf("<", at)
      if (tag !== at) {
        const end = tag < 0 ? untorn(input, at) : tag
        if (end > at) this.handler.text(resolve(input.slice(at, end)))
        if (tag < 0) return end
      }
      const next = this.tag(input, tag)
      if (next < 0) return tag
      at = next
    }
    return at
  }

  /** Where the next thing begins; -1: the tag has not ended yet. */
  private tag(input: string, at: number): number {
    if (at + 1 === input.length) return -1
    if (!/[\p{L}_:/!?]/u.test(input.charAt(at + 1))) {
      // a lone "<" is text
      this.handler.text("<")
      return at + 1
    }
    if (input.startsWith("<!--", at)) return past(input, "-->", at + 4)
    if (input.startsWith("<![CDATA[", at)) {
      const end = past(input, "]]>", at + 9)
      if (end > 0) this.handler.text(input.slice(at + 9, end - 3))
      return end
    }
    if (input.startsWith("<?", at)) return past(input, "?>", at + 2)
    if (input.startsWith("<!", at)) return past(input, ">", at + 2)
    const end = endOfTag(input, at + 1)
    if (end < 0) return -1
    const match = /^(\/?)(?:[^\s:/>]*:)?([^\s:/>]+)/.exec(input.slice(at + 1, Math.min(end, at + 200)))
    if (match === null) return end + 1
    const name = (match[2] ?? "").toLowerCase()
    if (match[1] === "/") this.handler.close(name)
    else {
      this.handler.open(name, input.slice(at + 1 + match[0].length, end))
      if (input[end - 1] === "/") this.handler.close(name)
    }
    return end + 1
  }
}

/** Characters of a tag, a comment or a section that are kept until its end is there. */
const mostRest = 4 * 1024 * 1024

const past = (input: string, end: string, from: number): number => {
  const at = input.indexOf(end, from)
  return at < 0 ? -1 : at + end.length
}

/** The `>` that ends a tag: not one within a quoted value. */
const endOfTag = (input: string, from: number): number => {
  for (let at = from; at < input.length; at++) {
    const char = input[at]
    if (char === ">") return at
    if ((char === '"' || char === "'") && /=\s{0,9}$/.test(input.slice(Math.max(from, at - 10), at))) {
      const close = input.indexOf(char, at + 1)
      if (close < 0) return -1
      at = close
    }
  }
  return -1
}

/** The value of an attribute, by its name without a prefix. */
export const attribute = (attributes: string, name: string): string | undefined => {
  for (const match of attributes.matchAll(/(?:[^\s:=]*:)?([^\s:=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g)) {
    if (match[1] === name) return resolve(match[2] ?? match[3] ?? "")
  }
  return undefined
}

/** Up to an entity that the end of the piece may have torn apart. */
const untorn = (input: string, from: number): number => {
  const at = input.lastIndexOf("&")
  return at >= from && input.length - at < 12 && !input.includes(";", at) ? at : input.length
}

const resolve = (text: string): string =>
  text.includes("&")
    ? text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|([a-z]{2,8}));/gi, (all, hex, decimal, name) => {
        if (typeof name === "string") return entities.get(name) ?? entities.get(name.toLowerCase()) ?? all
        const code = typeof hex === "string" ? Number.parseInt(hex, 16) : Number(decimal)
        return code > 0x10ffff || code === 0 ? all : String.fromCodePoint(code)
      })
    : text

/** XML's own, and those of HTML that texts in European languages are full of. */
const entities = new Map(
  `quot " amp & lt < gt > apos ' nbsp \u00a0 shy \u00ad euro € pound £ yen ¥ cent ¢ sect § copy © reg ® deg ° middot ·
   ndash – mdash — hellip … bull • laquo « raquo » lsquo ‘ rsquo ’ ldquo “ rdquo ” bdquo „ sbquo ‚ times × trade ™
   Auml Ä auml ä Ouml Ö ouml ö Uuml Ü uuml ü szlig ß Agrave À agrave à Aacute Á aacute á Acirc Â acirc â Atilde Ã
   atilde ã Aring Å aring å AElig Æ aelig æ Ccedil Ç ccedil ç Egrave È egrave è Eacute É eacute é Ecirc Ê ecirc ê
   Euml Ë euml ë Igrave Ì igrave ì Iacute Í iacute í Icirc Î icirc î Iuml Ï iuml ï Ntilde Ñ ntilde ñ Ograve Ò ograve ò
   Oacute Ó oacute ó Ocirc Ô ocirc ô Otilde Õ otilde õ Oslash Ø oslash ø Ugrave Ù ugrave ù Uacute Ú uacute ú Ucirc Û
   ucirc û Yacute Ý yacute ý iexcl ¡ iquest ¿ oelig œ scaron š`
    .split(/[ \n]+/)
    .reduce<Array<[string, string]>>((pairs, word, index, words) => {
      if (index % 2 === 0) pairs.push([word, words[index + 1] ?? ""])
      return pairs
    }, [])
)
