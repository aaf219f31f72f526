/**
 * The config in force, as a service, so that it can change while the program runs.
 */
import { Context, Layer, SubscriptionRef } from "effect"
import type { Settings } from "../domain/Settings.ts"

export class CurrentSettings extends Context.Tag("filedispatch/config/CurrentSettings")<
  CurrentSettings,
  SubscriptionRef.SubscriptionRef<Settings>
>() {}

export const layer = (settings: Settings): Layer.Layer<CurrentSettings> =>
  Layer.effect(CurrentSettings, SubscriptionRef.make(settings))
