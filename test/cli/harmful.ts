/** What no output may hold beside line breaks: it would move the cursor, end a line, or turn the direction. */
export const harmful =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/
