/** Characters of a nickname that are kept; the page has the rest. */
export const LONGEST_NICKNAME = 500;

/** What the database keeps of a text: characters that jsonb cannot hold become U+FFFD. */
export function storable(text: string): string {
  return text.replaceAll("\0", "\ufffd").toWellFormed();
}
