/** The Link header for the page after this one (RFC 8288), relative to the server, so that it holds behind a proxy. */
export const nextPage = (url: string, cursor: string | number | null): Record<string, string> => {
  if (cursor === null) return {}
  const next = new URL(url, "http://localhost")
  next.searchParams.set("cursor", String(cursor))
  return { link: `<${next.pathname}${next.search}>; rel="next"` }
}
