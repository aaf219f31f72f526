/**
 * The templates of a target: the path below it, and its header fields.
 */
import { Either, Redacted } from "effect"
import { isOneObject, type Target } from "../domain/Target.ts"
import * as Template from "../route/Template.ts"
import * as PathTemplate from "./PathTemplate.ts"
import type { Fault, Options } from "./targetFaults.ts"

export interface Resolved {
  /** The template for the path below the target. */
  readonly rename: string
  readonly faults: ReadonlyArray<Fault>
}

/**
 * `rest` is what the target's path says of the path below it. `groups` are the named groups that may be used; undefined:
 * they are not known, and nothing is checked that depends on them.
 */
export const resolve = (
  target: Target,
  rest: string,
  all: Options,
  groups: ReadonlySet<string> | undefined
): Resolved => {
  const joined = PathTemplate.below(rest, all.rename)
  const rename = Either.getOrElse(joined, () => "{relpath}")
  const faults: Array<Fault> = []
  if (Either.isLeft(joined))
    faults.push({ key: "rename", message: joined.left.message, expected: joined.left.expected })
  if (groups === undefined) return { rename, faults }
  const ofRename = all.rename === undefined ? [] : renameFaults(target, all.rename, groups)
  faults.push(...ofRename, ...headerFaults(all, groups))
  if (rest === "") return { rename, faults }
  const { options, scheme } = target
  if ((scheme === "http" || scheme === "https") && options.upload !== "raw") {
    faults.push({
      key: undefined,
      message: `with upload: ${options.upload} all files go to one URL, so that its path has no variables`,
      expected: "upload: raw, which puts each file at a URL of its own"
    })
  }
  if (ofRename.length === 0) faults.push(...templateFaults(rename, undefined, groups))
  return { rename, faults }
}

const renameFaults = (target: Target, rename: string, groups: ReadonlySet<string>): ReadonlyArray<Fault> => {
  const found = templateFaults(rename, "rename", groups)
  if (found.length > 0) return found
  if (!/(?<!\{)(?:\{\{)*\{[^{]/.test(rename) && !rename.endsWith("/")) {
    return [
      {
        key: "rename",
        message: "every file would get the same path",
        expected: "{name} or {stem} in it, or a / at its end for a directory"
      }
    ]
  }
  return isOneObject(target)
    ? [
        {
          key: "rename",
          message: "the URL is that of one object, whatever the file is called",
          expected: "no rename, or a slash at the end of the URL's path"
        }
      ]
    : []
}

const templateFaults = (text: string, key: "rename" | undefined, groups: ReadonlySet<string>): ReadonlyArray<Fault> =>
  Either.match(Template.compile(text, { groups, below: true }), {
    onLeft: ({ expected, message, text: part }) => [{ key, part, message, expected }],
    onRight: () => []
  })

/** What stands in a header field is a secret: nothing of it is said. */
const headerFaults = (all: Options, groups: ReadonlySet<string>): ReadonlyArray<Fault> =>
  Object.entries(all.headers ?? {}).flatMap(([header, value]): ReadonlyArray<Fault> => {
    const compiled = Template.compileText(Redacted.value(value), { groups })
    if (Either.isRight(compiled)) return []
    const message = "a variable in its value that there is not, or not in this way"
    return [{ key: "headers", header, message, expected: compiled.left.expected }]
  })
