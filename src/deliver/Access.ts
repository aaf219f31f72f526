/**
 * How the target of a delivery is reached today. A delivery is stored without secrets: they come from the config in
 * force, as does the way in which its server is talked to.
 */
import { Effect, Option, type Context } from "effect"
import { secretsFor } from "../config/Config.ts"
import type { Delivery } from "../domain/Delivery.ts"
import { PermanentError } from "../domain/DeliveryError.ts"
import { noSecrets, type Secrets, type Settings } from "../domain/Settings.ts"
import type { FileFacts } from "../files/FileFacts.ts"
import { asConfigured } from "./asConfigured.ts"
import * as Fields from "./Fields.ts"

export interface Access {
  readonly delivery: Delivery
  readonly secrets: Secrets
}

/** Fails where the config has lost a target that can't be reached without its secrets. */
export const of = (
  settings: Settings,
  delivery: Delivery,
  bytes: Context.Tag.Service<typeof FileFacts>
): Effect.Effect<Access, PermanentError> => {
  const { target } = delivery
  const secrets = secretsFor(settings, target.url)
  if (Option.isNone(secrets) && target.scheme !== "file" && target.username !== null) {
    return new PermanentError({
      reason: `The config has no target ${target.url} any more, so its password is not known: put it back, then retry`,
      cause: Option.none()
    })
  }
  const known = Option.getOrElse(secrets, () => noSecrets)
  return Effect.map(Fields.rendered(settings, delivery, known, bytes), (secrets) => ({
    delivery: asConfigured(settings, delivery),
    secrets
  }))
}
