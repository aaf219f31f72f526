/**
 * Turns what a Schema found wrong into what people can use: one issue for one value, with what would be right.
 */
import { Array, type ParseResult, SchemaAST } from "effect"
import { expectedOf } from "./Values.ts"

export { nearest } from "../domain/nearest.ts"

export type Issue = { readonly path: ReadonlyArray<PropertyKey> } & (
  | { readonly _tag: "Wrong"; readonly message: string; readonly expected: string }
  | { readonly _tag: "Missing"; readonly expected: string }
  | { readonly _tag: "Unknown"; readonly known: ReadonlyArray<string> }
)

export const fromParseIssue = (
  issue: ParseResult.ParseIssue,
  path: ReadonlyArray<PropertyKey> = [],
  outer?: string
): ReadonlyArray<Issue> => {
  switch (issue._tag) {
    case "Pointer":
      return fromParseIssue(issue.issue, [...path, ...Array.ensure(issue.path)])
    case "Missing":
      return [{ _tag: "Missing", path, expected: expectedOf(issue.ast.type) }]
    case "Unexpected":
      return [{ _tag: "Unknown", path, known: [] }]
    case "Type":
    case "Forbidden":
      return [wrong(path, issue.actual, outer ?? expectedOf(issue.ast))]
    case "Transformation":
      return fromParseIssue(issue.issue, path, titleOf(issue.ast) ?? outer)
    case "Refinement": {
      if (issue.kind === "From") return fromParseIssue(issue.issue, path, titleOf(issue.ast) ?? outer)
      const message = issue.issue._tag === "Type" ? issue.issue.message : undefined
      // a filter that says what is wrong says it as "what; expected what"
      const [what, expected] = message?.split("; expected ") ?? []
      return what !== undefined && expected !== undefined
        ? [{ _tag: "Wrong", path, message: what, expected }]
        : [wrong(path, issue.actual, titleOf(issue.ast) ?? outer ?? expectedOf(issue.ast))]
    }
    case "Composite": {
      const members = Array.ensure(issue.issues)
      if (SchemaAST.isUnion(issue.ast)) return fromUnion(issue, members, path, titleOf(issue.ast) ?? outer)
      const known = keysOf(issue.ast)
      return members
        .flatMap((member) => fromParseIssue(member, path, titleOf(issue.ast) ?? outer))
        .map((one) => (one._tag === "Unknown" && one.path.length === path.length + 1 ? { ...one, known } : one))
    }
  }
}

/** The member that was meant is the one that got furthest; if none did, the value is of no member's kind. */
const fromUnion = (
  issue: ParseResult.Composite,
  members: ReadonlyArray<ParseResult.ParseIssue>,
  path: ReadonlyArray<PropertyKey>,
  outer: string | undefined
): ReadonlyArray<Issue> => {
  const nested = members.map((member) => fromParseIssue(member, path))
  const deep = nested.filter((issues) => issues.some((one) => one.path.length > path.length))
  // a filter that says what is wrong has looked at a value of its kind
  const told = nested.filter((issues) =>
    issues.every((one) => one._tag === "Wrong" && one.message !== describe(issue.actual, one.expected))
  )
  return deep[0] ?? told[0] ?? [wrong(path, issue.actual, outer ?? expectedOf(issue.ast))]
}

const wrong = (path: ReadonlyArray<PropertyKey>, actual: unknown, expected: string): Issue => ({
  _tag: "Wrong",
  path,
  message: describe(actual, expected),
  expected
})

/** Says of what kind a value is, never the value itself: it may be a secret. */
const describe = (actual: unknown, expected: string): string => {
  if (actual === null || actual === undefined) return "nothing stands here"
  if (actual === "") return "an empty text"
  if (globalThis.Array.isArray(actual)) return actual.length === 0 ? "an empty list" : "a list can't stand here"
  if (typeof actual === "object") return "a map can't stand here"
  if (typeof actual === "boolean") return "true or false can't stand here"
  if (typeof actual === "number" && !/number|duration|size/.test(expected))
    return "a number can't stand here (quotes make it text)"
  return "not valid"
}

const titleOf = (ast: SchemaAST.AST): string | undefined => {
  const title = SchemaAST.getTitleAnnotation(ast)
  return title._tag === "Some" ? title.value : undefined
}

const keysOf = (ast: SchemaAST.AST): ReadonlyArray<string> => {
  switch (ast._tag) {
    case "TypeLiteral":
      return ast.propertySignatures.map((property) => String(property.name))
    case "Transformation":
    case "Refinement":
      return keysOf(ast.from)
    default:
      return []
  }
}
