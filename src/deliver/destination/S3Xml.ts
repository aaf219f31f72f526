/**
 * The few documents of the S3 API (Amazon S3 API Reference, 2006-03-01) that are read and written.
 *
 * No entity but XML's own is expanded, and what is not as expected is as good as not there.
 */
import { XMLParser } from "fast-xml-parser"
import { Option, Schema } from "effect"

const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  removeNSPrefix: true,
  parseTagValue: false,
  processEntities: false,
  isArray: (name) => name === "Part"
})

/** Text, with XML's own entities and those for single characters resolved. */
const Text = Schema.transform(Schema.String, Schema.String, {
  strict: true,
  decode: (text) =>
    text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(quot|amp|lt|gt|apos));/gi, (all, hex, decimal, name) => {
      if (typeof name === "string") return entities.get(name.toLowerCase()) ?? all
      const code = typeof hex === "string" ? Number.parseInt(hex, 16) : Number(decimal)
      return code > 0x10ffff ? all : String.fromCodePoint(code)
    }),
  encode: (text) => text
})

const entities = new Map([
  ["quot", '"'],
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["apos", "'"]
])

const ErrorBody = Schema.Struct({
  Code: Text,
  Message: Schema.optional(Text),
  /** Of AuthorizationHeaderMalformed: the right one. */
  Region: Schema.optional(Text),
  /** Of PermanentRedirect. */
  Endpoint: Schema.optional(Text)
})
export type ErrorBody = typeof ErrorBody.Type

const Part = Schema.Struct({
  PartNumber: Schema.NumberFromString,
  ETag: Schema.optional(Text),
  Size: Schema.optional(Schema.NumberFromString),
  ChecksumSHA256: Schema.optional(Text)
})
export type Part = typeof Part.Type

const document = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeUnknownOption(schema)
  return (body: Uint8Array): A | undefined => {
    const parsed = Option.liftThrowable((text: string): unknown => parser.parse(text))(new TextDecoder().decode(body))
    return Option.getOrUndefined(Option.flatMap(parsed, (value) => decode(value)))
  }
}

/** Undefined: it is none, as the body of a proxy's error, or of a success. */
export const parseError = (body: Uint8Array): ErrorBody | undefined => errorDocument(body)?.Error ?? undefined
const errorDocument = document(Schema.Struct({ Error: ErrorBody }))

/** CreateMultipartUpload: the upload's id. */
export const parseUploadId = (body: Uint8Array): string | undefined =>
  createDocument(body)?.InitiateMultipartUploadResult.UploadId
const createDocument = document(Schema.Struct({ InitiateMultipartUploadResult: Schema.Struct({ UploadId: Text }) }))

/** CompleteMultipartUpload, or CopyObject: what the object is known by now. */
export const parseDone = (
  body: Uint8Array
): { readonly ETag?: string | undefined; readonly ChecksumSHA256?: string | undefined } | undefined => {
  const done = doneDocument(body)
  return done?.CompleteMultipartUploadResult ?? done?.CopyObjectResult
}
const Done = Schema.Struct({ ETag: Schema.optional(Text), ChecksumSHA256: Schema.optional(Text) })
const doneDocument = document(
  Schema.Struct({
    CompleteMultipartUploadResult: Schema.optional(Done),
    CopyObjectResult: Schema.optional(Done)
  })
)

/** One page of ListParts. `next`: the marker of the next page. */
export const parseParts = (
  body: Uint8Array
): { readonly parts: ReadonlyArray<Part>; readonly next: string | undefined } | undefined => {
  const list = partsDocument(body)?.ListPartsResult
  if (list === undefined) return undefined
  if (list === "") return { parts: [], next: undefined }
  return {
    parts: list.Part ?? [],
    next: list.IsTruncated?.trim() === "true" ? list.NextPartNumberMarker : undefined
  }
}
const partsDocument = document(
  Schema.Struct({
    ListPartsResult: Schema.Union(
      Schema.Literal(""),
      Schema.Struct({
        Part: Schema.optional(Schema.Array(Part)),
        IsTruncated: Schema.optional(Schema.String),
        NextPartNumberMarker: Schema.optional(Schema.String)
      })
    )
  })
)

/** The body of CompleteMultipartUpload. */
export const completeUpload = (
  parts: ReadonlyArray<{ readonly number: number; readonly etag: string; readonly checksum: string | undefined }>
): string =>
  `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts
    .map(
      ({ checksum, etag, number }) =>
        `<Part><PartNumber>${number}</PartNumber><ETag>${escape(etag)}</ETag>${
          checksum === undefined ? "" : `<ChecksumSHA256>${escape(checksum)}</ChecksumSHA256>`
        }</Part>`
    )
    .join("")}</CompleteMultipartUpload>`

const escape = (text: string): string =>
  text.replace(/[<>&"]/g, (char) => (char === "<" ? "&lt;" : char === ">" ? "&gt;" : char === "&" ? "&amp;" : "&quot;"))
