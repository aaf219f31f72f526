/**
 * Server-sent events (WHATWG HTML, 9.2) as `fetch` gives them: `EventSource` can send no token.
 */
export interface Frame {
  readonly event: string
  readonly data: string
}

export async function* frames(body: ReadableStream<Uint8Array>): AsyncGenerator<Frame> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ""
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      text += decoder.decode(value, { stream: true })
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const frame = parse(text.slice(0, end))
        text = text.slice(end + 2)
        yield frame
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

/** Comments make an event without a name. */
const parse = (block: string): Frame => {
  let event = ""
  const data: Array<string> = []
  for (const line of block.split("\n")) {
    const [, field, value = ""] = /^([a-z]*): ?(.*)$/s.exec(line) ?? []
    if (field === "event") event = value
    else if (field === "data") data.push(value)
  }
  return { event, data: data.join("\n") }
}
