/**
 * Listening on an address: what can go wrong there, in words.
 */
import { Option, Schema } from "effect"

/** The address can't be listened on. */
export class ListenError extends Schema.TaggedError<ListenError>("filedispatch/ListenError")("ListenError", {
  host: Schema.String,
  port: Schema.Number,
  /** One line for people: what happened, and what to do. */
  reason: Schema.String,
  cause: Schema.optionalWith(Schema.Defect, { as: "Option" })
}) {
  override get message() {
    return this.reason
  }
}

export interface Address {
  readonly host: string
  readonly port: number
  /** How the port and the host are set: `-P or http.port`. */
  readonly portSetting: string
  readonly hostSetting: string
}

/** The error of `server.listen` in words. */
export const listenError = ({ host, hostSetting, port, portSetting }: Address, cause: unknown): ListenError => {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : ""
  const words = cause instanceof Error ? cause.message : String(cause)
  const reason =
    code === "EADDRINUSE"
      ? `port ${port} on ${host} is in use by another program: choose another with ${portSetting}`
      : code === "EACCES"
        ? `port ${port} on ${host} needs rights that this user has not: choose one above 1023 with ${portSetting}`
        : code === "EADDRNOTAVAIL"
          ? `${host} is no address of this machine: choose another with ${hostSetting}`
          : code === "ENOTFOUND" || code === "EAI_AGAIN"
            ? `${host} is no name that this machine knows: choose another with ${hostSetting}`
            : `port ${port} on ${host} can't be listened on: ${words}`
  return new ListenError({ host, port, reason, cause: Option.some(cause) })
}
