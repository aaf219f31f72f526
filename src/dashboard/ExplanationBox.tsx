/** Why a file goes where it goes, rule by rule. */
import type { Explanation, Predicate } from "../domain/Explanation.ts"
import * as Format from "./format.ts"
import { Badge, Folded, Name } from "./parts.tsx"

const verdict = (matched: boolean | null) =>
  matched === null ? (
    <Badge tone="warn">can't be said</Badge>
  ) : matched ? (
    <Badge tone="good">yes</Badge>
  ) : (
    <Badge tone="plain">no</Badge>
  )

const Rules = ({ of }: { readonly of: ReadonlyArray<Predicate> }) => (
  <ul class="rules">
    {of.map((one, index) => (
      <li key={index}>
        {verdict(one.matched)} <code>{one.predicate}</code> wants <Folded text={one.wanted} />; the file has{" "}
        <Folded text={one.had} />
        {one.parts !== undefined && one.parts.length > 0 && <Rules of={one.parts} />}
      </li>
    ))}
  </ul>
)

export const ExplanationBox = ({ of }: { readonly of: Explanation }) => (
  <div class="explanation">
    <p>
      <strong>
        <Folded text={of.summary} />
      </strong>
    </p>
    {of.until !== null && <p class="muted">Its age alone may change that at {Format.moment(of.until)}.</p>}
    <details>
      <summary>
        The source <Name of={of.source.name} /> {of.source.accepted ? "takes it" : "does not take it"}
      </summary>
      {of.source.predicates.length === 0 ? (
        <p class="muted">It takes every file.</p>
      ) : (
        <Rules of={of.source.predicates} />
      )}
    </details>
    {of.folders.map((folder) => (
      <details key={folder.name} open={folder.gets === true}>
        <summary>
          {verdict(folder.gets)} <Name of={folder.name} />
        </summary>
        {folder.why !== null && (
          <p>
            <Folded text={folder.why} />
          </p>
        )}
        {folder.predicates.length === 0 ? <p class="muted">It takes every file.</p> : <Rules of={folder.predicates} />}
        {folder.locations.map((place) => (
          <p key={place.location}>
            → <Name of={place.location} mono />
            {place.sameAs !== null && (
              <>
                , where <Name of={place.sameAs} /> sends it already
              </>
            )}
            <br />
            <small class="muted">
              {place.conflict}
              {place.transform !== null && `; ${place.transform}`}
            </small>
          </p>
        ))}
      </details>
    ))}
  </div>
)
