/**
 * What an embedding app imports: the whole program as a layer, its services, the words of its domain, destinations and
 * how to write one, the config, and the client of its HTTP API. See scratchpad/embed.ts for one in use.
 */

/** The program: `App.layer({ settings, … })` runs for as long as its scope is open. */
export * as App from "./App.ts"

export * as Config from "./config/Config.ts"
export { ConfigError } from "./config/ConfigError.ts"
export { CurrentSettings } from "./config/CurrentSettings.ts"
/** Loads the config again while the program runs; `App.layer({ reload, … })` says how. */
export { Reload, type ConfigStatus, type Reloaded } from "./config/Reload.ts"

/** `Destination.layer(make)` registers a destination for a URL scheme; pass it to `App.layer`. */
export * as Destination from "./deliver/Destination.ts"
export { Dispatcher, type DispatcherEvent, type LaneStatus, type Sending } from "./deliver/Dispatcher.ts"
/** Puts files back in their sources. */
export { Undo } from "./deliver/Undo.ts"
/** A destination in memory. */
export * as Memory from "./deliver/destination/Memory.ts"
/** Reads the source of a delivery, and proves that it is still the one that was accepted. */
export * as SourceReader from "./deliver/SourceReader.ts"

export * from "./domain/Delivery.ts"
export * from "./domain/DeliveryError.ts"
export * from "./domain/Explanation.ts"
export * from "./domain/Generation.ts"
export * from "./domain/LogEntry.ts"
export * as RelPath from "./domain/RelPath.ts"
export type { Route, RouteTarget, Secrets, Settings, Source } from "./domain/Settings.ts"
export * from "./domain/Target.ts"

/** `Client.make({ baseUrl })`: the client of a running daemon, on any `HttpClient`. */
export * as Client from "./http/Client.ts"
export { Api } from "./http/Api.ts"

export { Deliveries, type DeliveryFilter, type LaneCount } from "./store/Deliveries.ts"
export { Journal, JournalError } from "./store/Journal.ts"
export {
  LogError,
  LogRepo,
  type ExtensionBucket,
  type FolderBucket,
  type LogFilter,
  type LogOrder,
  type LogPage,
  type LogQuery,
  type StatsBucket,
  type StatsInterval,
  type StatsRange,
  type TimeBucket
} from "./store/LogRepo.ts"
export { Intake, type SourceStatus } from "./watch/Intake.ts"
