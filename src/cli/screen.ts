import { displayWidth, print } from "./terminal.ts";

const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";

/**
 * The whole terminal, as `top` has it: what stood there comes back at the end, however the program ends short of
 * SIGKILL.
 */
export class Screen implements Disposable {
  readonly #restore = (): void => {
    if (this.#isOurs) print(LEAVE);
    if (this.#isOurs && this.#hasKeys) Deno.stdin.setRaw(false);
    this.#isOurs = false;
  };
  #isOurs = true;
  readonly #hasKeys = Deno.stdin.isTerminal();

  constructor() {
    addEventListener("unload", this.#restore); // also where somebody calls Deno.exit
    if (this.#hasKeys) Deno.stdin.setRaw(true, { cbreak: true }); // Ctrl-C stays a signal
    print(ENTER);
  }

  /** Shows these lines, cut to what there is room for. */
  show(lines: readonly string[]): void {
    const { columns, rows } = Deno.consoleSize();
    const cut = lines.slice(0, rows).map((line) => `\x1b[2K${clipped(line, columns)}`);
    print(`\x1b[H${cut.join("\r\n")}\x1b[0m\x1b[J`);
  }

  /** Resolves when one of these keys is pressed; never where no keyboard is there. */
  async pressed(keys: string): Promise<void> {
    const buffer = new Uint8Array(64);
    for (;;) {
      const read = this.#hasKeys ? await Deno.stdin.read(buffer).catch(() => null) : null;
      if (read === null) return await new Promise(() => {});
      const typed = new TextDecoder().decode(buffer.subarray(0, read));
      if ([...typed].some((key) => keys.includes(key))) return;
    }
  }

  [Symbol.dispose](): void {
    removeEventListener("unload", this.#restore);
    this.#restore();
  }
}

// deno-lint-ignore no-control-regex
const STYLE = /(\x1b\[[\d;]*m)/;

/** The beginning of a line that fits; styles take no room. */
export function clipped(line: string, columns: number): string {
  let room = columns;
  let text = "";
  for (const [index, part] of line.split(STYLE).entries()) {
    if (index % 2 === 1) text += part;
    else if (displayWidth(part) <= room) {
      text += part;
      room -= displayWidth(part);
    } else {
      for (const character of part) {
        if (displayWidth(character) > room) return `${text}\x1b[0m`;
        text += character;
        room -= displayWidth(character);
      }
    }
  }
  return text;
}
