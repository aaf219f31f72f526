/**
 * Rules for files into which nobody can look any more: what asks for their bytes has an answer that is only supposed.
 */
import type { Rule } from "../domain/Rule.ts"
import type { Rules } from "./Ruleset.ts"

/** Rules that look into a file. */
export type Kind = "Mime" | "Content"

/** The rules, of which those of these kinds all hold, or none does, without being asked. */
export const suppose = (rules: Rules, kinds: ReadonlyArray<Kind>, answer: boolean): Rules => ({
  ...rules,
  routes: rules.routes.map((route) => ({
    ...route,
    rules: route.rules.map((rule) => supposeRule(rule, kinds, answer))
  }))
})

const supposeRule = (rule: Rule, kinds: ReadonlyArray<Kind>, answer: boolean): Rule => {
  switch (rule._tag) {
    case "All":
    case "Any":
      return { ...rule, rules: rule.rules.map((part) => supposeRule(part, kinds, answer)) }
    case "Not":
      return { ...rule, rule: supposeRule(rule.rule, kinds, answer) }
    case "Mime":
    case "Content":
      if (!kinds.includes(rule._tag)) return rule
      // beside what decides already, so that it is never asked, but its named groups are still known
      return answer ? { _tag: "Any", rules: [always, rule] } : { _tag: "All", rules: [never, rule] }
    default:
      return rule
  }
}

const always: Rule = { _tag: "All", rules: [] }
const never: Rule = { _tag: "Not", rule: always }
