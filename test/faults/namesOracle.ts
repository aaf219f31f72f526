/** What is wrong with what became of hostile names: a pure function, which is shown what it is to find. */
import * as Names from "../../src/domain/Names.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { latin1 } from "./filesFar.ts"
import { isTemp } from "./filesTools.ts"

export interface Outcome {
  /** The files that were there, each with its own path as content; all paths are latin1 of their bytes. */
  readonly paths: ReadonlyArray<string>
  readonly names: Names.Rules
  /** What the target has. */
  readonly target: ReadonlyMap<string, Uint8Array>
  /** What the log has as failed. */
  readonly failed: ReadonlyArray<{ readonly filename: string; readonly reason: string | null }>
  /** Whether such a target can't have a file of that path; any other is to arrive. */
  readonly mayRefuse: (path: string) => boolean
}

export const nothingWrong = { missing: [], wrong: [], unduly: [], extra: [], temps: [] }

/** `missing`: neither there nor refused, for a reason that tells of itself. `unduly`: refused, and could be there. */
export const judgeNames = ({ failed, mayRefuse, names, paths, target }: Outcome) => {
  const missing: Array<string> = []
  const wrong: Array<string> = []
  const unduly: Array<string> = []
  const expected = new Set<string>()
  for (const path of paths) {
    const is = RelPath.fromBytes(Buffer.from(path, "latin1"))
    const shown = RelPath.display(is)
    const name = names === "portable" ? latin1(Names.encode(is)) : path
    // it can be got back
    if (names === "portable" && latin1(Names.decode(Names.encode(is))) !== path)
      wrong.push(`${shown}: lost by its code`)
    const filename = RelPath.display(RelPath.basename(is))
    const refused = failed.filter(
      (one) => one.filename === filename && one.reason?.includes(`${shown} can't be sent to `) === true
    )
    const content = target.get(name)
    if (content !== undefined) {
      expected.add(name)
      // a file of another name under this one
      if (Buffer.from(content).toString("latin1") !== path) wrong.push(shown)
      if (refused.length > 0) wrong.push(`${shown}: there, and refused`)
    } else if (refused.length !== 1) missing.push(shown)
    else if (!mayRefuse(path)) unduly.push(shown)
  }
  const all = Array.from(target.keys())
  return { missing, wrong, unduly, extra: all.filter((name) => !expected.has(name)), temps: all.filter(isTemp) }
}
