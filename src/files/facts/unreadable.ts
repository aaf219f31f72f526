/** A document has no text to give, for this reason: the end of a sentence, "it is an encrypted PDF". */
export class Unreadable extends Error {}
