// deno-lint-ignore-file no-console
/** A whole number from the command line; anything else ends with 64, so that a typing error is not taken for a green run. */
export function wholeNumber(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  console.error(`--${name} is a whole number, not ${JSON.stringify(text)}`);
  Deno.exit(64);
}
