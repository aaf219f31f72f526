/**
 * How many connections the server has, for how long, and how much waits in them: what a client does or leaves undone
 * costs the others nothing.
 */
import type { Server } from "node:http"
import type { Socket } from "node:net"

/** How many there are at once. */
const most = 256

/** How many requests one connection may have under way: Node would begin as many as fit into a packet. */
const mostRequests = 4

/** How long a client may take nothing of its answer, in milliseconds. A stream of events says something more often. */
const stall = 30_000

/** How many bytes of answers may wait for their readers, all together. */
const mostUnread = 128 * 1024 * 1024

/**
 * Bounds them. Where one more comes than there may be, that one goes which has waited for the longest without asking for
 * anything, so that clients who connect and say nothing, or a letter now and then, keep nobody out. Who does not take
 * its answers is cut off: they would stay in memory for as long as the client likes.
 */
export const bound = (server: Server): void => {
  /** How many requests each has under way. */
  const all = new Map<Socket, number>()
  /** Those without one, in the order in which they began to wait. */
  const waiting = new Set<Socket>()
  const end = (socket: Socket): void => {
    // its own end comes later; it counts no more
    all.delete(socket)
    waiting.delete(socket)
    socket.destroy()
  }

  server.on("connection", (socket: Socket) => {
    all.set(socket, 0)
    waiting.add(socket)
    socket.once("close", () => end(socket))
    // the new one is among those that wait, so that there is one
    const [longest] = all.size > most ? waiting : []
    if (longest !== undefined) end(longest)
  })

  server.on("request", ({ socket }, response) => {
    const count = (all.get(socket) ?? 0) + 1
    if (!all.has(socket) || count > mostRequests) return end(socket)
    all.set(socket, count)
    waiting.delete(socket)
    response.once("close", () => {
      const left = all.get(socket)
      if (left === undefined) return
      all.set(socket, left - 1)
      if (left === 1) waiting.add(socket)
    })
    const unread = Array.from(all.keys()).sort((left, right) => left.writableLength - right.writableLength)
    let sum = unread.reduce((bytes, { writableLength }) => bytes + writableLength, 0)
    while (sum > mostUnread) {
      const slowest = unread.pop()
      if (slowest === undefined) break
      sum -= slowest.writableLength
      end(slowest)
    }
  })

  // without a listener it would end those too that wait for an answer that takes long to make
  server.timeout = stall
  server.on("timeout", (socket) => {
    if (waiting.has(socket) || socket.writableLength > 0) end(socket)
  })
}
