/**
 * What an S3 bucket can do, found out by trying it with a small object that is removed again.
 */
import { Effect, Either } from "effect"
import type { DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Finding, ProbeTask } from "../Destination.ts"
import * as Findings from "../Findings.ts"
import type { Answer } from "./HttpExchange.ts"
import * as Client from "./S3Client.ts"
import { isUnsupported } from "./S3Error.ts"
import { proofOf } from "./S3Verify.ts"
import * as Xml from "./S3Xml.ts"

export const probe = (
  connect: Effect.Effect<Client.Bucket, DeliveryError>,
  key: string,
  task: ProbeTask
): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.gen(function* (): Effect.fn.Return<ReadonlyArray<Finding>> {
    const connected = yield* Effect.either(connect)
    if (Either.isLeft(connected)) {
      return [
        { what: "reachable", state: "unknown", found: "not asked", therefore: "" },
        { what: "authenticated", state: "no", found: connected.left.reason, therefore: "Nothing is delivered." }
      ]
    }
    const at = connected.right
    const findings: Array<Finding> = []
    const bytes = Buffer.from("filedispatch\n")
    const sha256 = Client.hashOf("sha256", [bytes]).toString("hex")
    const md5 = Client.hashOf("md5", [bytes]).toString("hex")
    const body = Client.document(bytes.toString())
    const put = (headers: Readonly<Record<string, string>>) => at.send({ method: "PUT", key, body, headers })

    const first = yield* Effect.either(look(at))
    if (Either.isLeft(first)) {
      return Findings.unconnected(first.left)
    }
    const server = first.right.header("server")
    findings.push({ what: "reachable", state: "yes", found: at.where, therefore: "" })
    findings.push({
      what: "identity",
      state: server === undefined ? "unknown" : "yes",
      found: server === undefined ? "it does not say what it is" : RelPath.display(server.slice(0, 100)),
      therefore: ""
    })

    return yield* Effect.gen(function* () {
      const plain = { "content-md5": Client.toBase64(md5), "x-amz-meta-mtime": "1.5" }
      const checked = yield* put({ ...plain, "x-amz-checksum-sha256": Client.toBase64(sha256) })
      const stored = isUnsupported(checked) ? yield* put(plain) : checked
      const denied = Client.isOk(stored) ? undefined : yield* Effect.flip(at.refused({ method: "PUT", key }, stored))
      const signed = first.right.status < 400 || denied === undefined
      findings.push({
        what: "authenticated",
        state: signed ? "yes" : "no",
        found: signed ? "the signature was accepted" : (denied?.reason ?? ""),
        therefore: ""
      })
      findings.push({
        what: "folder",
        state: first.right.status < 300 || denied === undefined ? "yes" : first.right.status === 404 ? "no" : "unknown",
        found:
          first.right.status < 300 || denied === undefined
            ? `the bucket ${at.name} is there`
            : first.right.status === 404
              ? `there is no bucket ${at.name}`
              : `the bucket ${at.name} can't be asked for`,
        therefore: "Prefixes need not be made."
      })
      if (denied !== undefined) {
        findings.push({ what: "writable", state: "no", found: denied.reason, therefore: "Nothing is delivered." })
        return findings
      }
      const removal = "an object was put and is removed again"
      findings.push({ what: "writable", state: "yes", found: removal, therefore: "" })

      const second = yield* put({ ...plain, "if-none-match": "*" })
      const exclusive = second.status === 412
      findings.push({
        what: "rename",
        state: exclusive ? "yes" : "limit",
        found: exclusive ? "puts are atomic, and If-None-Match is kept" : "puts are atomic; If-None-Match is not kept",
        therefore: exclusive
          ? "Nobody sees a part of a file, and no name is taken twice."
          : "Nobody sees a part of a file; under fail, skip and rename a name that somebody takes during the upload is overwritten."
      })
      const { proof } = proofOf(Client.noHabits(), stored, sha256, () => md5)
      const byChecksum = stored.header("x-amz-checksum-sha256") !== undefined
      findings.push({
        what: "verification",
        state: proof === "yes" ? "yes" : "limit",
        found:
          proof === "yes"
            ? byChecksum
              ? "sha256 of each upload"
              : "md5 of each upload (ETag)"
            : "no hash of an upload",
        therefore: proof === "yes" ? "" : "The size is compared; with `verify: hash` the object is read back."
      })
      findings.push(yield* resume(at, key))
      const object = yield* Client.head(at, key)
      const kept = object?.meta("mtime") === "1.5"
      findings.push({
        what: "mtime",
        state: kept ? "yes" : "limit",
        found: kept ? "kept as x-amz-meta-mtime" : "metadata is not kept",
        therefore: kept
          ? ""
          : "`conflict: newer` compares with the time of the upload, and a lost answer means another upload."
      })
      const slash = key.lastIndexOf("/") + 1
      const twin = yield* Client.head(at, `${key.slice(0, slash)}${key.slice(slash).toUpperCase()}`)
      findings.push({
        what: "case",
        state: twin === undefined ? "yes" : "limit",
        found: twin === undefined ? "told apart" : "not told apart",
        therefore: twin === undefined ? "" : "Names that differ by case only overwrite each other."
      })
      findings.push({ what: "names", state: "yes", found: "UTF-8, 1024 bytes with the prefix", therefore: "" })
      findings.push({ what: "space", state: "unknown", found: "S3 does not tell", therefore: "" })
      return findings
    }).pipe(
      Effect.catchAll((error) =>
        Effect.sync(() =>
          Findings.sorted([...findings, { what: "writable", state: "no", found: error.reason, therefore: "" }])
        )
      ),
      Effect.ensuring(Effect.ignore(Client.remove(at, key)))
    )
  }).pipe(Effect.withSpan("S3.probe", { attributes: { target: task.target.url } }))

/** The bucket itself: its answer says where it is and who serves it, whatever the account may do. */
const look = (at: Client.Bucket): Effect.Effect<Answer, DeliveryError> => at.send({ method: "HEAD" })

const resume = (at: Client.Bucket, key: string): Effect.Effect<Finding, DeliveryError> =>
  Effect.gen(function* () {
    const what = "resume"
    const created = yield* at.send({ method: "POST", key, query: { uploads: "" }, body: Client.document("") })
    const upload = Client.isOk(created) ? Xml.parseUploadId(created.body) : undefined
    if (upload === undefined) {
      const therefore = "Files of more than 8 MiB can't be sent, unless `partSize` is larger."
      return { what, state: "limit", found: "no multipart uploads", therefore }
    }
    const listed = yield* at.send({ method: "GET", key, query: { uploadId: upload, "max-parts": "1" } })
    yield* at.send({ method: "DELETE", key, query: { uploadId: upload } })
    return Client.isOk(listed)
      ? { what, state: "yes", found: "multipart uploads, and lists of their parts", therefore: "" }
      : {
          what,
          state: "limit",
          found: "multipart uploads, without lists of their parts",
          therefore: "A large upload that breaks begins again."
        }
  })
