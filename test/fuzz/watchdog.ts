// deno-lint-ignore-file no-console
/**
 * Ends a fuzzer that hangs, and says on what. From a thread of its own: an endless loop lets nothing else run, and what is
 * never answered would be waited for until somebody looks.
 */
export interface Watched {
  readonly what: string;
  readonly input: string;
  readonly seconds: number;
}

export class Watchdog implements Disposable {
  readonly #thread = new Worker(import.meta.url, { type: "module", name: THREAD });
  #number = 0;

  /** From here to the end of its scope something must not take longer. @param input smallest text that shows it again */
  watch(what: string, seconds: number, input: () => string): Disposable {
    const number = ++this.#number;
    this.#thread.postMessage({ number, watched: { what, seconds, input: input() } });
    return { [Symbol.dispose]: () => this.#thread.postMessage({ number }) };
  }

  [Symbol.dispose](): void {
    this.#thread.terminate();
  }
}

interface Message {
  readonly number: number;
  /** Undefined: it has ended. */
  readonly watched?: Watched;
}

const THREAD = "fuzz watchdog";

function guard(): void {
  const timers = new Map<number, ReturnType<typeof setTimeout>>();
  const scope = globalThis as unknown as {
    onmessage: (event: MessageEvent<Message>) => void;
  };
  scope.onmessage = ({ data: { number, watched } }) => {
    if (watched !== undefined) {
      return void timers.set(number, setTimeout(tell, watched.seconds * 1000, watched));
    }
    clearTimeout(timers.get(number));
    timers.delete(number);
  };
}

function tell({ what, seconds, input }: Watched): void {
  const file = `${Deno.cwd()}/fuzz-findings/hang.txt`;
  Deno.mkdirSync(`${Deno.cwd()}/fuzz-findings`, { recursive: true });
  Deno.writeTextFileSync(file, input);
  console.log(`\nBROKEN: ${what} hangs: no end after ${seconds} s\ninput: ${file}`);
  Deno.kill(Deno.pid, "SIGKILL"); // nothing gentler ends a loop
}

if ("name" in globalThis && globalThis.name === THREAD) guard();
