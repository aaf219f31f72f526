/**
 * The help of a command, from what the command declares. Denser than the one that @effect/cli makes by itself, which
 * does not fit on a screen.
 */
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Span from "@effect/cli/HelpDoc/Span"
import { stripVTControlCharacters } from "node:util"
import { builtIns } from "./Arguments.ts"

/** What a command does, and how it is called: what {@link page} expects as its description. */
export const description = (about: string, ...usage: ReadonlyArray<string>): HelpDoc.HelpDoc =>
  HelpDoc.blocks([about, ...usage].map((text) => HelpDoc.p(text)))

export interface Topic {
  readonly name: string
  /** As @effect/cli makes it of the command. */
  readonly doc: HelpDoc.HelpDoc
}

/** The help of a command; with `commands`, that of the program that has them. */
export const page = (topic: Topic, commands: ReadonlyArray<Topic> = []): HelpDoc.HelpDoc => {
  const { about, rows, usage } = read(topic)
  const options = [
    ...rows.filter(([label]) => label.includes("--")),
    ...Object.entries(builtIns).map(([name, { about, short }]): Row => [`-${short}, --${name}`, about])
  ]
  const operands = rows.filter(([label]) => !label.includes("--"))
  return HelpDoc.blocks([
    HelpDoc.p(about),
    section("Usage:", usage.map((line) => `  ${line}`).join("\n")),
    ...(operands.length === 0 ? [] : [section("Arguments:", columns(operands))]),
    section("Options:", columns(options)),
    ...(commands.length === 0
      ? []
      : [
          section("Commands:", columns(commands.map((each) => [each.name, read(each).about]))),
          HelpDoc.p(
            "Exit codes: 0 done; 1 a failure at run time; 2 wrong usage or config; 3 another process holds the journal."
          )
        ])
  ])
}

/** The text of a document, without a line break at its end. Only a terminal can show what is not plain. */
export const render = (doc: HelpDoc.HelpDoc, terminal: boolean): string => {
  const text = HelpDoc.toAnsiText(doc).trimEnd()
  return terminal ? text : stripVTControlCharacters(text)
}

type Row = readonly [label: string, about: string]

/** @effect/cli's document: headings, the paragraphs of the description, and one list entry for each option. */
const read = ({ doc }: Topic) => {
  const parts = flatten(doc)
  const [about = "", ...usage] = parts.filter(HelpDoc.isParagraph).map((part) => render(part, false))
  const rows = parts.filter(HelpDoc.isDescriptionList).flatMap(({ definitions }) =>
    definitions.map(([label, body]): Row => {
      // what type it is; our words; whether it is optional
      const words = flatten(body)[1] ?? HelpDoc.empty
      const text = render(HelpDoc.p(label), false).replace(/^\((.*)\)$|[<>]/g, "$1")
      return [text.startsWith("--") ? `    ${text}` : text, render(words, false)]
    })
  )
  return { about, usage, rows }
}

const flatten = (doc: HelpDoc.HelpDoc): ReadonlyArray<HelpDoc.HelpDoc> => {
  if (HelpDoc.isSequence(doc)) return [...flatten(doc.left), ...flatten(doc.right)]
  return HelpDoc.isEmpty(doc) ? [] : [doc]
}

/** In one paragraph, because documents have an empty line between two. */
const section = (title: string, body: string): HelpDoc.HelpDoc =>
  HelpDoc.p(Span.spans([Span.strong(title), Span.text(`\n${body}`)]))

const columns = (rows: ReadonlyArray<Row>): string => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n")
}
