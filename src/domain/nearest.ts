/**
 * What somebody meant who mistyped a word.
 */

/** The known word that was probably meant: the closest, where that is close. */
export const nearest = (key: string, known: ReadonlyArray<string>): string | undefined => {
  const scored = known
    .map((name) => ({ name, distance: distance(key.toLowerCase(), name.toLowerCase()) }))
    .sort((left, right) => left.distance - right.distance)[0]
  return scored !== undefined && scored.distance <= Math.max(1, Math.floor(key.length / 3)) ? scored.name : undefined
}

/** How many single edits (a letter more, less, other, or two swapped) lie between two words. */
const distance = (left: string, right: string): number => {
  let before: ReadonlyArray<number> = []
  let row: ReadonlyArray<number> = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= right.length; j += 1) {
      const same = left[i - 1] === right[j - 1]
      const swapped = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1]
      next.push(
        Math.min(
          (row[j] ?? 0) + 1,
          (next[j - 1] ?? 0) + 1,
          (row[j - 1] ?? 0) + (same ? 0 : 1),
          swapped ? (before[j - 2] ?? 0) + 1 : Infinity
        )
      )
    }
    before = row
    row = next
  }
  return row[right.length] ?? Infinity
}
