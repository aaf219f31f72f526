/**
 * What `verify` found, as people and programs read it.
 */
import { formatDuration } from "../config/Quantity.ts"
import * as RelPath from "../domain/RelPath.ts"
import { shown } from "../domain/Target.ts"
import type { Verdict } from "../deliver/Examine.ts"
import type { Delivered } from "../store/Receipts.ts"

/** `replaced`: a later delivery has put its file there, and the receipt of that one is the one to be checked. */
export type Status = Verdict["status"] | "replaced"

export const statuses: ReadonlyArray<Status> = ["present", "changed", "gone", "unknown", "unverifiable", "replaced"]

/** What is at the source now: the version that was delivered, another one, or nothing. */
export type SourceState = "same" | "changed" | "gone"

export interface Entry {
  readonly delivered: Delivered
  readonly status: Status
  /** How it was compared; null where it was not, or differs. */
  readonly by: "hash" | "size" | null
  readonly differs: "kind" | "size" | "hash" | null
  readonly reason: string | null
  /** The delivery that has taken its place. */
  readonly replacedBy: number | null
  /** Of what is changed or gone only. */
  readonly source: SourceState | null
}

export const entryOf = (delivered: Delivered, verdict: Verdict, source: SourceState | null = null): Entry => ({
  delivered,
  status: verdict.status,
  by: verdict.status === "present" ? verdict.by : null,
  differs: verdict.status === "changed" ? verdict.differs : null,
  reason: verdict.status === "present" ? null : verdict.reason,
  replacedBy: null,
  source
})

export const replacedEntry = (delivered: Delivered, by: number): Entry => ({
  delivered,
  status: "replaced",
  by: null,
  differs: null,
  reason: `Delivery ${by} has put a later file there: its receipt is the one that counts.`,
  replacedBy: by,
  source: null
})

export type Counts = { readonly [S in Status]: number }

/** What the journal had to offer, and what was asked. */
export interface Scope {
  readonly since: number | null
  readonly destination: string | null
  readonly sample: { readonly size: number; readonly seed: number; readonly of: number } | null
  /** When the oldest receipt was delivered; null where there is none. */
  readonly oldest: number | null
  /** `log.retain`: receipts are forgotten after that, once nothing of the source is left. */
  readonly retain: number
}

/** Counts, by target. */
export class Tally {
  readonly byHash = { count: 0 }
  private readonly all = new Map<string, Record<Status, number>>()

  add(entry: Pick<Entry, "status" | "by">, destination: string, count = 1): void {
    const counts = this.all.get(destination) ?? none()
    counts[entry.status] += count
    if (entry.by === "hash") this.byHash.count += count
    this.all.set(destination, counts)
  }

  get destinations(): ReadonlyArray<readonly [string, Counts]> {
    return Array.from(this.all)
  }

  get total(): Counts {
    const sum = none()
    for (const counts of this.all.values()) for (const status of statuses) sum[status] += counts[status]
    return sum
  }
}

const none = (): Record<Status, number> => ({
  present: 0,
  changed: 0,
  gone: 0,
  unknown: 0,
  unverifiable: 0,
  replaced: 0
})

/**
 * Whether all holds that can be asked: nothing is changed or gone, and no target has failed to answer. What nobody can
 * ever ask says nothing against it.
 */
export const holds = ({ changed, gone, unknown }: Counts): boolean => changed + gone + unknown === 0

/** What the table has a row for. */
export const isFinding = ({ status }: Pick<Entry, "status">): boolean =>
  status === "changed" || status === "gone" || status === "unknown"

export const columns = ["DELIVERY", "FOUND", "PLACE", "DELIVERED", "SOURCE", "REASON"]

export const row = ({ delivered, reason, source, status }: Entry): ReadonlyArray<string> => [
  String(delivered.id),
  status,
  placeOf(delivered),
  isoOf(delivered.updated),
  source ?? "",
  reason ?? ""
]

export const jsonOf = (entry: Entry): string => {
  const { delivered, ...rest } = entry
  const { generation, id, receipt, route, target, updated } = delivered
  return JSON.stringify({
    delivery: id,
    status: rest.status,
    file: RelPath.display(`${generation.source}/${generation.path}`),
    destination: target.url,
    place: placeOf(delivered),
    route,
    delivered: isoOf(updated),
    bytes: receipt.bytes,
    sha256: receipt.sha256,
    checked: rest.by,
    differs: rest.differs,
    reason: rest.reason,
    replacedBy: rest.replacedBy,
    source: rest.source
  })
}

export const jsonSummary = (tally: Tally, scope: Scope): string =>
  JSON.stringify({
    ok: holds(tally.total),
    ...tally.total,
    byHash: tally.byHash.count,
    since: scope.since === null ? null : isoOf(scope.since),
    oldest: scope.oldest === null ? null : isoOf(scope.oldest),
    sample: scope.sample,
    destinations: tally.destinations.map(([destination, counts]) => ({ destination, ...counts }))
  })

export const destinationColumns = ["DESTINATION", ...statuses.map((status) => status.toUpperCase())]

export const destinationRows = (tally: Tally): ReadonlyArray<ReadonlyArray<string>> =>
  tally.destinations
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([destination, counts]) => [destination, ...statuses.map((status) => String(counts[status]))])

/** For people: what it comes to, and what can be done. */
export const summary = (tally: Tally, scope: Scope): ReadonlyArray<string> => {
  const { changed, gone, present, replaced, unknown, unverifiable } = tally.total
  const asked = present + changed + gone + unknown + unverifiable
  if (asked + replaced === 0) return [`There is no receipt${scopeWords(scope)}.`]
  const byHash = tally.byHash.count
  const parts = [
    `${present} ${present === 1 ? "is" : "are"} as delivered (${byHash} by hash, ${present - byHash} by size)`,
    ...(changed === 0 ? [] : [`${changed} changed`]),
    ...(gone === 0 ? [] : [`${gone} gone`]),
    ...(unknown === 0 ? [] : [`${unknown} could not be asked`]),
    ...(unverifiable === 0 ? [] : [`${unverifiable} can't be verified at all`])
  ]
  const { oldest, sample } = scope
  const of = sample === null ? "" : ` of ${sample.of}`
  return [
    `${asked}${of} ${asked === 1 && sample === null ? "receipt" : "receipts"}${scopeWords(scope)}: ${parts.join(", ")}.`,
    ...(replaced === 0
      ? []
      : [
          replaced === 1
            ? "1 more was replaced by a later delivery to the same place."
            : `${replaced} more were replaced by later deliveries to the same place.`
        ]),
    ...(sample === null
      ? []
      : [
          `The sample's seed is ${sample.seed}: --sample ${sample.size} --seed ${sample.seed} draws it again from the same receipts.`
        ]),
    ...(oldest === null
      ? []
      : [
          `The oldest of them is from ${isoOf(oldest)}. The journal forgets those of files that are gone from the source ${formatDuration(scope.retain)} after that (\`log.retain\`).`
        ]),
    ...(changed + gone === 0 ? [] : [advice])
  ]
}

const advice =
  "What is changed or gone is not sent again by itself. Where SOURCE is same, `touch` the source file: it counts as a new version then, and is delivered again. Where the source has it no more, look in its archive or in a backup."

const scopeWords = ({ destination, since }: Scope): string =>
  `${destination === null ? "" : ` of ${destination}`}${since === null ? "" : ` since ${isoOf(since)}`}`

const placeOf = ({ receipt, target }: Delivered): string => shown(target, RelPath.display(receipt.name))

const isoOf = (time: number): string => new Date(time).toISOString()
