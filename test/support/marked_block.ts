/**
 * A document with the text between two comments made anew.
 * @throws Error where the document has no place for it
 */
export function withBlock(document: string, begin: string, end: string, text: string): string {
  const [before, rest = ""] = document.split(begin);
  const [, after] = rest.split(end);
  if (after === undefined) throw new Error(`the document has no ${begin} … ${end}`);
  return `${before}${begin}\n\n${text}\n\n${end}${after}`;
}
