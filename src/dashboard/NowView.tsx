/** What happens now: how the sources and the destinations are, what waits, what is sent, and the flow between them. */
import type { DestinationView, Now, SourceView } from "../http/ApiSchema.ts"
import { open } from "../domain/Delivery.ts"
import { PauseButton } from "./Actions.tsx"
import { ask, now } from "./api.ts"
import { useCell } from "./cell.ts"
import { FlowPicture } from "./FlowPicture.tsx"
import * as Format from "./format.ts"
import { Held } from "./Held.tsx"
import { act, Badge, confirm, Empty, Folded, Name, Time, type Tone } from "./parts.tsx"
import { type Rates, sum, useRates } from "./rates.ts"
import { hrefOf } from "./route.ts"

const givenUp = ["DEAD", "AMBIGUOUS"]

export const NowView = () => {
  const known = useCell(now)
  const rates = useRates(known)
  if (known === undefined) return <p class="muted">Waiting for the first news …</p>
  const waiting = known.destinations.reduce((total, lane) => total + sum(lane.waiting, open), 0)
  const failed = known.destinations.reduce((total, lane) => total + sum(lane.waiting, givenUp), 0)
  const sending = known.destinations.reduce((total, lane) => total + lane.sending.length, 0)
  const delivered = known.destinations.reduce((total, lane) => total + lane.delivered, 0)
  return (
    <>
      {known.config.error !== null && (
        <p class="note warn">
          The config file has a problem, so that the one before it is in force: <a href={hrefOf("config")}>see it</a>.
        </p>
      )}
      <dl class="tiles">
        <Tile name="Waiting" value={Format.count(waiting)} />
        <Tile name="Being sent" value={Format.count(sending)} />
        <Tile
          name="Delivered"
          value={Format.count(delivered)}
          more={`since ${Format.moment(Date.parse(known.started))}`}
        />
        <Tile
          name="Rate"
          value={`${rates.total.files.toFixed(rates.total.files < 10 ? 1 : 0)}/s`}
          more={`${Format.bytes(rates.total.bytes)}/s`}
        />
        <Tile name="Given up" value={Format.count(failed)} tone={failed > 0 ? "bad" : "good"} />
      </dl>
      {waiting + failed + delivered === 0 && <Newcomer known={known} />}
      <section aria-labelledby="flow-title">
        <h2 id="flow-title">The flow</h2>
        <FlowPicture known={known} rates={rates} />
      </section>
      <section aria-labelledby="destinations-title">
        <h2 id="destinations-title">Destinations</h2>
        {known.destinations.length === 0 ? (
          <Empty title="No destination yet.">
            <p>One appears with the first file that goes there.</p>
          </Empty>
        ) : (
          <div class="cards">
            {known.destinations.map((lane) => (
              <Destination key={lane.lane} lane={lane} rates={rates} />
            ))}
          </div>
        )}
      </section>
      <section aria-labelledby="sources-title">
        <h2 id="sources-title">Sources</h2>
        <div class="cards">
          {known.sources.map((source) => (
            <Source key={source.name} source={source} />
          ))}
        </div>
      </section>
    </>
  )
}

const Tile = ({
  more,
  name,
  tone = "plain",
  value
}: {
  readonly name: string
  readonly value: string
  readonly more?: string
  readonly tone?: Tone
}) => (
  <div class={`tile ${tone}`}>
    <dt>{name}</dt>
    <dd>
      <strong>{value}</strong>
      {more !== undefined && <small class="muted">{more}</small>}
    </dd>
  </div>
)

const Newcomer = ({ known }: { readonly known: Now }) => {
  const [first] = known.sources
  return (
    <Empty title="Nothing has come yet.">
      <p>
        {first === undefined ? (
          <>
            The config has no source: name one in <Name of={known.config.file} mono />.
          </>
        ) : (
          <>
            Put a file into <Name of={first.path} mono /> and watch it go. Where would it go?{" "}
            <a href={hrefOf("explain")}>Ask by its name</a>.
          </>
        )}
      </p>
    </Empty>
  )
}

const Fact = ({ children, name }: { readonly name: string; readonly children: preact.ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
)

const Destination = ({ lane, rates }: { readonly lane: DestinationView; readonly rates: Rates }) => {
  const rate = rates.lanes.get(lane.lane)
  const failed = sum(lane.waiting, givenUp)
  const waits = sum(lane.waiting, open)
  const paused = lane.paused !== null
  const name = Format.laneName(lane.lane)
  return (
    <article class="card" aria-label={`destination ${Format.plain(name)}`}>
      <header>
        <h3>
          <Name of={name} />
        </h3>
        {paused ? (
          <Badge tone="warn">paused</Badge>
        ) : lane.health === "up" ? (
          <Badge tone="good">works</Badge>
        ) : (
          <Badge tone="bad">down</Badge>
        )}
      </header>
      {lane.reason !== null && (
        <p class="note bad">
          <Folded text={lane.reason} />
          {lane.probe !== null && !paused && (
            <>
              {" "}
              It is tried again by itself <Time at={lane.probe} />.
            </>
          )}
        </p>
      )}
      {paused && (
        <p class="note warn">
          Nothing new is sent since <Time at={lane.paused} />; what comes waits.
        </p>
      )}
      <dl class="facts">
        <Fact name="waiting">{Format.count(waits)}</Fact>
        <Fact name="delivered">{Format.count(lane.delivered)}</Fact>
        <Fact name="rate">
          {(rate?.files ?? 0).toFixed(1)}/s, {Format.bytes(rate?.bytes ?? 0)}/s
        </Fact>
        <Fact name="given up">{failed === 0 ? "none" : Format.count(failed)}</Fact>
        <Fact name="at once">
          {lane.sending.length} of {lane.limit}
        </Fact>
      </dl>
      {lane.limit < lane.concurrency && (
        <p class="muted">
          It takes no more than {lane.limit} at once for now, as it said; {lane.concurrency} are allowed.
        </p>
      )}
      {lane.sending.length > 0 && (
        <ul class="sending">
          {lane.sending.slice(0, 5).map((one) => {
            const speed = rates.sending.get(one.delivery) ?? 0
            const left = speed > 0 ? ((one.size - one.bytes) / speed) * 1000 : undefined
            return (
              <li key={one.delivery}>
                <Name of={one.file} />
                <progress
                  max={Math.max(1, one.size)}
                  value={Math.min(one.bytes, one.size)}
                  aria-label={`progress of ${Format.plain(one.file)}`}
                />
                <small class="muted">
                  {Format.bytes(one.bytes)} of {Format.bytes(one.size)}
                  {speed > 0 && `, ${Format.bytes(speed)}/s`}
                  {left !== undefined && left >= 1000 && `, ${Format.duration(left)} left`}
                </small>
              </li>
            )
          })}
          {lane.sending.length > 5 && <li class="muted">and {lane.sending.length - 5} more</li>}
        </ul>
      )}
      {lane.last_error !== null && (
        <p class="last-error">
          <small class="muted">
            last trouble <Time at={lane.last_error.time} />, <Name of={lane.last_error.file} />,{" "}
            {Format.stateName(lane.last_error.state)}:
          </small>
          <br />
          <Folded text={lane.last_error.reason} />
        </p>
      )}
      {waits + failed > 0 && <Held lane={lane.lane} count={waits + failed} />}
      <footer class="row">
        <PauseButton
          name={name}
          paused={paused}
          then="what is under way is finished"
          run={() =>
            ask(({ health }) =>
              paused
                ? health.resumeDestination({ urlParams: { lane: lane.lane } })
                : health.pauseDestination({ urlParams: { lane: lane.lane } })
            )
          }
        />
        {failed > 0 && (
          <button
            type="button"
            onClick={async () => {
              const yes = await confirm(
                `Try ${Format.counted(failed, "delivery", "deliveries")} again?`,
                `All that was given up for ${name} is sent again. What was perhaps delivered may arrive twice where the destination can't tell.`,
                "Try again"
              )
              if (!yes) return
              await act(
                ask((client) => client.deliveries.retryAll({ urlParams: { lane: lane.lane } })),
                ({ replayed }) => `${Format.counted(replayed, "delivery is", "deliveries are")} tried again.`
              )
            }}
          >
            Retry failed
            <span class="unseen"> of {Format.plain(name)}</span>
          </button>
        )}
      </footer>
    </article>
  )
}

const healthOf: Readonly<Record<SourceView["health"], readonly [tone: Tone, text: string]>> = {
  starting: ["plain", "starting"],
  events: ["good", "watched"],
  polling: ["warn", "polled"],
  missing: ["bad", "missing"]
}

const Source = ({ source }: { readonly source: SourceView }) => {
  const [tone, text] = healthOf[source.health]
  const paused = source.paused !== null
  return (
    <article class="card" aria-label={`source ${Format.plain(source.name)}`}>
      <header>
        <h3>
          <Name of={source.name} />
        </h3>
        {paused ? <Badge tone="warn">paused</Badge> : <Badge tone={tone}>{text}</Badge>}
      </header>
      <p class="path">
        <Name of={source.path} mono />
      </p>
      {source.reason !== null && (
        <p class={`note ${source.health === "missing" ? "bad" : "warn"}`}>
          <Folded text={source.reason} />
        </p>
      )}
      {paused && (
        <p class="note warn">
          Nothing new is accepted since <Time at={source.paused} />.
        </p>
      )}
      <dl class="facts">
        <Fact name="settling">{Format.count(source.settling)}</Fact>
        <Fact name="waiting">{Format.count(source.waiting)}</Fact>
        <Fact name="accepted">{Format.count(source.accepted)}</Fact>
        <Fact name="wanted by no folder">{Format.count(source.unmatched)}</Fact>
        <Fact name="last scan">
          <Time at={source.last_scan} />
        </Fact>
        <Fact name="last event">
          <Time at={source.last_event} />
        </Fact>
      </dl>
      <footer class="row">
        <PauseButton
          name={source.name}
          paused={paused}
          then="what was accepted goes on"
          run={() =>
            ask(({ health }) =>
              paused
                ? health.resumeSource({ urlParams: { name: source.name } })
                : health.pauseSource({ urlParams: { name: source.name } })
            )
          }
        />
      </footer>
    </article>
  )
}
