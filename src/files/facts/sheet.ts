/**
 * The cells of an Excel sheet, row by row, as they are stored: numbers and dates without their format.
 */
import type { Collector } from "./collector.ts"
import { attribute, type Handler } from "./markup.ts"

/** Characters of the strings that cells share; the table has all of them, needed or not. */
const mostShared = 16 * 1024 * 1024

/** Takes in the table of strings. What is beyond its limit is missing in the cells. */
export const readStrings = () => {
  const strings: Array<string> = []
  let length = 0
  let current = ""
  let inText = false
  // how it is read aloud, in East Asian texts
  let phonetic = false
  const handler: Handler = {
    text: (text) => {
      if (inText && !phonetic) current += text
    },
    open: (name) => {
      if (name === "si") current = ""
      else if (name === "t") inText = true
      else if (name === "rph") phonetic = true
    },
    close: (name) => {
      if (name === "t") inText = false
      else if (name === "rph") phonetic = false
      else if (name === "si") {
        strings.push(current)
        // an empty one takes its place, too
        length += current.length + 16
        current = ""
      }
    }
  }
  return {
    handler,
    at: (index: number): string => strings[index] ?? "",
    get full() {
      return length + current.length > mostShared
    }
  }
}

export const sheetHandler = (shared: (index: number) => string, into: Collector): Handler => {
  let type: string | undefined
  let value = ""
  let inValue = false
  return {
    text: (text) => {
      if (inValue && !into.full) value += text
    },
    open: (name, attributes) => {
      if (name === "c") {
        type = attribute(attributes, "t")
        value = ""
      } else if (name === "v" || name === "t") inValue = true
    },
    close: (name) => {
      if (name === "v" || name === "t") inValue = false
      else if (name === "row") into.line()
      else if (name === "c") {
        const text = type === "s" ? shared(Number(value)) : type === "b" ? (value === "1" ? "TRUE" : "FALSE") : value
        if (text !== "") {
          into.add(text)
          into.add("\t")
        }
        value = ""
      }
    }
  }
}
