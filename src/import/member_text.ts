const QUOTE = 34;
const COMMA = 44;
const BACKSLASH = 92;
const isOpening = (code: number) => code === 91 || code === 123;
const isClosing = (code: number) => code === 93 || code === 125;

/**
 * The text of the value that a JSON object has under a key, as it stands there: `JSON.parse` would take digits off
 * numbers. Of a key that comes twice the last one counts, as for `JSON.parse`.
 * @param text a JSON object that has been found to be valid
 */
export function memberText(text: string, key: string): string | undefined {
  let found: string | undefined;
  let at = text.indexOf("{") + 1;
  while (at > 0 && at < text.length) {
    const keyStart = text.indexOf('"', at);
    if (keyStart === -1) break;
    const keyEnd = endOfString(text, keyStart);
    const valueStart = text.indexOf(":", keyEnd) + 1;
    const valueEnd = endOfValue(text, valueStart);
    if (JSON.parse(text.slice(keyStart, keyEnd)) === key) {
      found = text.slice(valueStart, valueEnd).trim();
    }
    at = valueEnd + 1;
  }
  return found;
}

/** @returns the place behind the closing quote */
function endOfString(text: string, start: number): number {
  for (let at = start + 1;;) {
    const quote = text.indexOf('"', at);
    if (quote === -1) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

/** @returns the place of the comma or brace behind the value */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if (isOpening(code)) depth++;
    else if (isClosing(code) && depth-- === 0) return at;
    else if (code === COMMA && depth === 0) return at;
  }
  return text.length;
}
