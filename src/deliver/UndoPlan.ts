/**
 * How a file is put back in its source, from what the journal knows of it; or why that can't be.
 *
 * What was archived, or moved because it was dead, is moved back from there. What was deleted once it had been delivered
 * is moved back from a local target that got it as it was. Results at other local targets are removed then, if they are
 * unchanged; what went to a server stays there.
 */
import { Either } from "effect"
import { open, type Delivery, type DeliveryId, type Receipt } from "../domain/Delivery.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Settings } from "../domain/Settings.ts"
import { shown } from "../domain/Target.ts"
import type { Moved, UndoJob, UndoPlace } from "../files/Files.ts"
import { below } from "../files/names.ts"
import * as Marker from "../route/Marker.ts"
import type { Fate } from "../store/UndoRepo.ts"

/** A way to put it back. */
export interface Plan {
  readonly job: Omit<UndoJob, "sync" | "resumed">
  /** The delivery whose result goes back to the source; null: what does is none. */
  readonly from: DeliveryId | null
  /** Those whose results are `others` of the job. */
  readonly others: ReadonlyArray<DeliveryId>
  /** What stays as it is, for people: sentences without their points. */
  readonly stays: ReadonlyArray<string>
}

/** Where the marker of a file belongs by today's config; null where the source has none. */
export type MarkerOf = (source: string, path: RelPath.RelPath) => RelPath.RelPath | null

/** {@link MarkerOf} of these settings. */
export const markersOf = ({ sources }: Pick<Settings, "sources">): MarkerOf => {
  return (directory, path) => {
    const source = sources.find((one) => one.path === directory)
    return source === undefined ? null : (Marker.compile(source)?.of(path) ?? null)
  }
}

/** The ways to put it back, the best first; or why there is none, as the end of a sentence. */
export const plansOf = (fate: Fate, markerOf: MarkerOf): Either.Either<ReadonlyArray<Plan>, string> => {
  const refusal = refusalOf(fate)
  if (refusal !== null) return Either.left(refusal)
  if (fate.state === "MOVED") return Either.right([deadPlan(fate, markerOf)])
  const { archived, generation } = fate
  if (generation.after._tag === "Archive") {
    return archived === null
      ? Either.left("the journal does not know where it was archived: it was gone before, or an earlier version did it")
      : Either.right([archivePlan(fate, archived, markerOf)])
  }
  return deletedPlans(fate)
}

/** Why it can't be undone as things stand in the journal; null: it may be. */
const refusalOf = ({ deliveries, generation, note, since, state }: Fate): string | null => {
  const owed = deliveries.find((delivery) => open.includes(delivery.state))
  if (owed !== undefined)
    return `its file is still to be delivered (delivery ${owed.id} is ${owed.state}): cancel that first`
  switch (state) {
    case "DISPOSED":
      if (generation.after._tag === "Keep") return "its file was not moved, and somebody has removed it since"
      return deliveries.some((one) => isDelivered(one) && one.undone === undefined)
        ? null
        : "it was undone already, and somebody has removed the file since"
    case "MOVED":
      return null
    case "UNDONE":
      return `it was undone already, on ${new Date(since).toISOString()}`
    case "UNDOING":
      return "it is just being undone"
    case "DISPOSING":
    case "MOVING":
      return "its file is just being moved or removed: try again in a moment"
    case "REPLACED":
      return "a newer file has taken its place since"
    case "OPEN":
    case "DONE":
      if (note !== null) return `there is nothing to put back. ${note}`
      return generation.after._tag === "Keep"
        ? "its file was not moved: `after: keep` leaves it in its source"
        : "its file was not moved: not everything of it was delivered"
  }
}

/** A file that was moved because it was dead: what was delivered of it stays, and the rest can be tried again. */
const deadPlan = ({ deliveries, generation, origin }: Fate, markerOf: MarkerOf): Plan => {
  const { marker, path, source, stamp } = generation
  const home = marker === null ? null : markerOf(origin.source, origin.path)
  return {
    job: {
      root: origin.source,
      path: origin.path,
      stamp,
      from: moved(below(source, path), stamp, null),
      // nobody has kept what it was like
      marker: marker === null || home === null ? null : { from: anyAt(below(source, marker)), path: home },
      others: []
    },
    from: null,
    others: [],
    stays: [
      ...deliveries.filter(isDelivered).map(stays),
      ...(marker === null || home !== null ? [] : [markerStays(below(source, marker))])
    ]
  }
}

const archivePlan = (fate: Fate, archived: Moved, markerOf: MarkerOf): Plan => {
  const { deliveries, generation, origin } = fate
  const others = deliveries.filter(isLocal)
  const isMoved = origin.source !== generation.source || origin.path !== generation.path
  const home = isMoved ? markerOf(origin.source, origin.path) : generation.marker
  const { marker } = archived
  return {
    job: {
      root: origin.source,
      path: origin.path,
      stamp: generation.stamp,
      from: moved(archived.path, archived.stamp, sourceHash(deliveries)),
      marker: marker === null || home === null ? null : { from: moved(marker.path, marker.stamp, null), path: home },
      others: others.map(resultOf)
    },
    from: null,
    others: others.map(({ id }) => id),
    stays: [
      ...deliveries.filter((one) => isDelivered(one) && !isLocal(one)).map(stays),
      ...(marker === null || home !== null ? [] : [markerStays(marker.path)])
    ]
  }
}

/** From each local target that has it as it was. */
const deletedPlans = ({ deliveries, generation, origin }: Fate): Either.Either<ReadonlyArray<Plan>, string> => {
  const results = deliveries.filter(isLocal)
  const originals = results.filter(isOriginal)
  if (originals.length === 0) {
    const [first] = deliveries
    if (results.length > 0) {
      return Either.left(
        "it was deleted, and what was delivered is not the file as it was: it was compressed, unpacked or encrypted"
      )
    }
    const where = first === undefined ? "" : `: it is at ${placeOf(first)}`
    return Either.left(`it was deleted once it had been sent to a server, from which nothing is brought back${where}`)
  }
  const sha256 = sourceHash(deliveries)
  const { marker, stamp } = generation
  return Either.right(
    originals.map((from): Plan => {
      const others = results.filter((one) => one !== from)
      return {
        job: {
          root: origin.source,
          path: origin.path,
          stamp,
          from: { ...resultOf(from), sha256: from.receipt.sha256 ?? sha256 },
          marker: null,
          others: others.map(resultOf)
        },
        from: from.id,
        others: others.map(({ id }) => id),
        stays: [
          ...deliveries.filter((one) => isDelivered(one) && !isLocal(one)).map(stays),
          ...(marker === null ? [] : [`its marker ${RelPath.display(marker)} was deleted, and is not made again`])
        ]
      }
    })
  )
}

interface Delivered extends Delivery {
  readonly receipt: Receipt
}

const isDelivered = (delivery: Delivery): delivery is Delivered =>
  delivery.state === "DELIVERED" && delivery.receipt !== null

const isLocal = (delivery: Delivery): delivery is Delivered =>
  isDelivered(delivery) && delivery.target.scheme === "file"

/** Whether the target got the bytes of the source. */
const isOriginal = ({ generation, receipt }: Delivered): boolean =>
  receipt.sourceSha256 === undefined && receipt.bytes === generation.size

const sourceHash = (deliveries: ReadonlyArray<Delivery>): string | null => {
  for (const one of deliveries) {
    if (!isDelivered(one)) continue
    const { receipt } = one
    const hash = receipt.sourceSha256 ?? (isOriginal(one) ? receipt.sha256 : null)
    if (hash !== null) return hash
  }
  return null
}

/** What lies at a local target: what its receipt says of it, and where nobody has read it, what its source was like. */
const resultOf = ({ generation, receipt, target }: Delivered): UndoPlace => {
  const [, ino = null, , mtime = null] = generation.stamp.split(":")
  return {
    path: below(target.path, receipt.name),
    size: String(receipt.bytes),
    ino: receipt.verified === "inode" ? ino : null,
    mtime: receipt.sha256 === null ? mtime : null,
    sha256: receipt.sha256
  }
}

/** A file that was moved there, and had that stamp then. */
const moved = (path: string, stamp: string, sha256: string | null): UndoPlace => {
  const [, ino = null, size = null, mtime = null] = stamp.split(":")
  return { path, ino, size, mtime, sha256 }
}

const anyAt = (path: string): UndoPlace => ({ path, ino: null, size: null, mtime: null, sha256: null })

const placeOf = (delivery: Delivery): string =>
  shown(delivery.target, RelPath.display(delivery.receipt?.name ?? delivery.name))

const stays = (delivery: Delivery): string => `what was delivered to ${placeOf(delivery)} stays there`

const markerStays = (path: string): string =>
  `its marker stays at ${RelPath.display(path)}: the config does not say any more where it belongs`
