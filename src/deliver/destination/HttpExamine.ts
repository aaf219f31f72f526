/**
 * What has become of a file that was sent over HTTP.
 *
 * Only a PUT names the place where a file is from then on (RFC 9110, 9.3.4), and that is asked by HEAD and, to read it
 * back, by GET. A form is handed to a program of the server's; a URL with a query, as a pre-signed one, is good for the
 * upload alone; and the URL that a tus server gave an upload is not kept.
 */
import { Effect } from "effect"
import type { DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { isOneObject, location, type Target } from "../../domain/Target.ts"
import type { Examination, ExamineTask } from "../Destination.ts"
import { wantsHash } from "../Examine.ts"
import * as Exchange from "./HttpExchange.ts"
import * as Look from "./HttpLook.ts"
import { pathOf } from "./HttpPlan.ts"

export const examine = (exchange: Exchange.Exchange, task: ExamineTask): Effect.Effect<Examination, DeliveryError> =>
  Effect.gen(function* (): Effect.fn.Return<Examination, DeliveryError> {
    const { name } = task.receipt
    const why = unaskable(task.target)
    if (why !== undefined) return { _tag: "Unverifiable", reason: why }
    const path = pathOf(task.target, task.secrets)(name)
    const asked: Look.Asked = { ...task, file: RelPath.display(location(task.target, name)) }
    const { answer, request } = yield* Look.head(exchange, asked, path)
    if (Look.isMissing(answer)) return { _tag: "Nothing" }
    if (unreadable.has(answer.status)) {
      return {
        _tag: "Unverifiable",
        reason: `The server answers ${RelPath.display(answer.said)} to HEAD: what it has can't be asked.`
      }
    }
    if (answer.status < 200 || answer.status > 299) return yield* Exchange.refused(request, answer)
    const { sha256, size } = Look.foundIn(answer)
    if (!wantsHash(task, size)) return { _tag: "File", size, sha256: undefined }
    if (sha256 !== undefined || task.verify !== "hash") return { _tag: "File", size, sha256 }
    const read = yield* Look.readBack(exchange, asked, path)
    return typeof read === "string"
      ? { _tag: "File", size, sha256: read }
      : {
          _tag: "Unverifiable",
          reason: `The server answers ${RelPath.display(read.said)} to GET: what it has can't be read back.`
        }
  })

/** The method is not allowed or not known there: it is a place to send to. */
const unreadable: ReadonlySet<number> = new Set([405, 501])

const unaskable = (target: Target): string | undefined => {
  const { method, upload } = target.options
  if (upload === "multipart") return "It was sent as a form: what became of it can't be asked."
  if (upload === "tus") return "It was sent by tus, and the URL of the upload is not kept."
  if ((method ?? "PUT") !== "PUT") return `It was sent by ${method}: where it is then is not known.`
  return isOneObject(target) ? "Its URL is signed for the upload of one object, and not to read it." : undefined
}
