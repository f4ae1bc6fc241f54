import { describe, OutputError } from "../errors.ts";
import { beforeLogLine } from "../log.ts";

const encoder = new TextEncoder();

/**
 * Writes to stdout, all of it. Ends the program quietly when the reader has gone (`| head`).
 * @throws {OutputError} e.g. where the disk behind it is full
 */
export function print(text: string): void {
  try {
    write(Deno.stdout, text);
  } catch (error) {
    throw new OutputError(`standard output takes no more: ${describe(error)}`, undefined, {
      cause: error,
    });
  }
}

/** Messages for the person at the terminal; data goes to stdout. Where they cannot be written, nobody can be told so. */
export function tell(text: string): void {
  try {
    write(Deno.stderr, text);
  } catch {
    // what the program does counts, and its exit code
  }
}

function write(stream: typeof Deno.stdout | typeof Deno.stderr, text: string): void {
  let rest = encoder.encode(text);
  try {
    while (rest.length > 0) rest = rest.subarray(stream.writeSync(rest));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    throw error;
  }
}

/** Colours only for a person who did not ask for none. */
export function style(stream: typeof Deno.stdout | typeof Deno.stderr): Style {
  const colours = stream.isTerminal() && !Deno.env.get("NO_COLOR");
  const wrap = (code: number) => (text: string) => colours ? `\x1b[${code}m${text}\x1b[0m` : text;
  return { bold: wrap(1), dim: wrap(2), red: wrap(31), green: wrap(32), yellow: wrap(33) };
}

export type Style = Readonly<
  Record<"bold" | "dim" | "red" | "green" | "yellow", (text: string) => string>
>;

/** A line on stderr that is written over and over, and gives way to log lines. */
export class StatusLine implements Disposable {
  #shown = false;

  constructor() {
    beforeLogLine(() => this.clear());
  }

  show(text: string): void {
    const { columns } = Deno.consoleSize();
    tell(`\r\x1b[K${text.slice(0, columns - 1)}`);
    this.#shown = true;
  }

  clear(): void {
    if (this.#shown) tell("\r\x1b[K");
    this.#shown = false;
  }

  [Symbol.dispose](): void {
    this.clear();
    beforeLogLine(() => {});
  }
}

/** Columns a text takes in a terminal: wide scripts and emoji take two, combining marks none. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const { segment } of GRAPHEMES.segment(text)) {
    width += WIDE.test(segment) && !HALFWIDTH.test(segment)
      ? 2
      : /^\p{M}|^\p{Cf}$/u.test(segment)
      ? 0
      : 1;
  }
  return width;
}

const GRAPHEMES = new Intl.Segmenter();
const WIDE =
  /\p{Emoji_Presentation}|\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|[\uFF01-\uFF60\uFFE0-\uFFE6\u3000-\u303F]|\uFE0F/u;

/** Halfwidth forms of wide scripts. */
const HALFWIDTH = /^[\uFF61-\uFFDC]/u;

export function padded(text: string, width: number, alignment: "left" | "right"): string {
  const fill = " ".repeat(Math.max(0, width - displayWidth(text)));
  return alignment === "left" ? text + fill : fill + text;
}
