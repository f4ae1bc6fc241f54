import type { Progress } from "../extract/progress.ts";
import { logger } from "../log.ts";
import { StatusLine } from "./terminal.ts";

const TERMINAL_MILLISECONDS = 250;
/** Where nobody looks on: a log line now and then. */
const PLAIN_MILLISECONDS = 10_000;

/** Shows on stderr how far a batch is: one moving line in a terminal, log lines elsewhere. */
export class ProgressReport implements Disposable {
  readonly #line = Deno.stderr.isTerminal() ? new StatusLine() : undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #requestsBefore: number;

  /** @param requests all that were sent so far */
  constructor(readonly progress: Progress, readonly requests: () => number) {
    this.#requestsBefore = requests();
  }

  text(): string {
    return describeProgress(this.progress, this.requests() - this.#requestsBefore);
  }

  start(): void {
    const show = () => {
      const text = this.text();
      if (this.#line === undefined) log.info(text);
      else this.#line.show(text);
    };
    this.#timer = setInterval(
      show,
      this.#line === undefined ? PLAIN_MILLISECONDS : TERMINAL_MILLISECONDS,
    );
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#line?.[Symbol.dispose]();
  }
}

const log = logger("progress");

/** Markets done, offers, requests a minute, errors, time left. */
export function describeProgress(progress: Progress, requests: number): string {
  const number = new Intl.NumberFormat("en");
  if (progress.stage !== "fetching") return `${progress.stage} …`;
  const seconds = progress.secondsOf("fetching", "loading");
  const { marketsEnded, marketsExpected } = progress;
  const left = marketsEnded === 0
    ? undefined
    : (seconds / marketsEnded) * Math.max(0, marketsExpected - marketsEnded);
  return [
    `fetching ${number.format(marketsEnded)}/${number.format(marketsExpected)} markets`,
    `${number.format(progress.offers)} offers`,
    `${number.format(Math.round(requests / Math.max(seconds, 1) * 60))} requests/min`,
    `${number.format(progress.lostPages)} errors`,
    left === undefined ? "" : `${duration(left)} left`,
  ].filter((part) => part !== "").join(" · ");
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 90 ? `${whole} s` : `${Math.ceil(whole / 60)} min`;
}
