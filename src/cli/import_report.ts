import type { ImportedBatch, LineProblem } from "../import/import_store.ts";
import type { ImportObserver, ReadFiles } from "../import/importer.ts";
import { STANDARD_INPUT } from "../import/source.ts";
import { visible } from "../log.ts";
import { StatusLine, tell } from "./terminal.ts";

/** Problems that are told one by one; the others are counted. */
const TOLD = 20;
/** Problems in the JSON document. */
const LISTED = 100;
const PROGRESS_MILLISECONDS = 100;

interface TimeRange {
  readonly from: Date;
  readonly to: Date;
}

/** Counts what an import does, tells of lines that are left out as they come, and sums it up. */
export class ImportReport implements ImportObserver, Disposable {
  readonly #started = performance.now();
  readonly #progress = Deno.stderr.isTerminal() ? new StatusLine() : undefined;
  #shownAt = 0;
  #lines = 0;
  #leftOut = 0;
  #told = 0;
  #isStopped = false;
  readonly #problems: LineProblem[] = [];
  readonly #batches = {
    new: 0,
    "more pages": 0,
    "loaded again": 0,
    "there already": 0,
    "left out": 0,
  };
  readonly #statuses = { completed: 0, partial: 0, failed: 0, running: 0 };
  readonly #pages = { stored: 0, there: 0 };
  #offers = 0;
  /** From the first to the last batch that was loaded. */
  touched: TimeRange | undefined;
  /** The same with those that were there: an import that was stopped may have loaded them, and refreshed nothing. */
  covered: TimeRange | undefined;

  constructor(
    readonly files: readonly string[],
    readonly sizes: readonly (number | undefined)[],
    readonly isDryRun: boolean,
  ) {}

  reading(file: number, lines: number, bytes: number): void {
    const size = this.sizes[file - 1];
    const share = size ? ` · ${Math.floor((100 * bytes) / size)} %` : "";
    this.#show(() => `reading ${this.#nameOf(file)} · line ${lines}${share}`);
  }

  loading(batch: number, of: number): void {
    this.#show(() => `${this.isDryRun ? "looking at" : "loading"} batch ${batch} of ${of}`);
  }

  leftOut(problem: LineProblem): void {
    const { file, line, lines } = problem;
    this.#leftOut += lines;
    if (this.#problems.length < LISTED) this.#problems.push(problem);
    if (this.#told++ >= TOLD) return;
    const more = lines === 1 ? "" : ` (and ${lines - 1} more lines)`;
    this.#tell(`${this.#nameOf(file)}:${line}${more}: ${problem.problem}`);
  }

  imported(batch: ImportedBatch): void {
    // No more than a hundred reasons are told.
    this.#leftOut += batch.pagesLeftOut -
      batch.problems.reduce((lines, problem) => lines + problem.lines, 0);
    this.#batches[batch.outcome]++;
    this.#pages.stored += batch.pagesStored;
    this.#pages.there += batch.pagesThere;
    if (batch.outcome === "left out") return;
    if (!this.isDryRun) this.covered = widened(this.covered, batch.startedAt);
    if (batch.outcome === "there already") return;
    this.#offers += batch.offers;
    if (this.isDryRun) return;
    if (batch.status !== undefined) this.#statuses[batch.status]++;
    if (batch.status === "failed") {
      this.#tell(
        `batch ${batch.batchId} of ${batch.startedAt.toISOString()}: ${batch.errorSummary}`,
      );
    }
    this.touched = widened(this.touched, batch.startedAt);
  }

  end({ lines }: ReadFiles, isStopped: boolean): void {
    this.#lines = lines;
    this.#isStopped = isStopped;
    this.#progress?.clear();
    if (this.#told > TOLD) tell(`… and ${this.#told - TOLD} more\n`);
    if (isStopped) tell("stopped; the same command goes on where this one was\n");
  }

  /** Whether all there was to load is loaded. */
  get isWhole(): boolean {
    return this.#leftOut === 0 && this.#statuses.failed === 0 && !this.#isStopped;
  }

  /** Names are part of `--json`. */
  document(): Readonly<Record<string, unknown>> {
    return {
      files: this.files,
      dry_run: this.isDryRun,
      lines: this.#lines,
      lines_left_out: this.#leftOut,
      batches: {
        new: this.#batches.new,
        more_pages: this.#batches["more pages"],
        loaded_again: this.#batches["loaded again"],
        there_already: this.#batches["there already"],
        left_out: this.#batches["left out"],
      },
      loaded: {
        completed: this.#statuses.completed,
        partial: this.#statuses.partial,
        failed: this.#statuses.failed,
      },
      pages_stored: this.#pages.stored,
      pages_there: this.#pages.there,
      offers: this.#offers,
      first_batch: this.touched?.from.toISOString() ?? null,
      last_batch: this.touched?.to.toISOString() ?? null,
      errors: this.#problems.map((problem) => ({ ...problem, file: this.#nameOf(problem.file) })),
      stopped: this.#isStopped,
      seconds: Number(((performance.now() - this.#started) / 1000).toFixed(1)),
    };
  }

  summary(): string {
    const number = (n: number, what: string) => `${new Intl.NumberFormat("en").format(n)} ${what}`;
    const some = (n: number, what: string) => n === 0 ? [] : [number(n, what)];
    const { new: made, "more pages": grown, "loaded again": again } = this.#batches;
    const would = this.isDryRun ? "would be " : "";
    const batches = [
      number(made, `batches ${would}new`),
      ...some(grown, `${would}given more pages`),
      ...some(again, `${would}loaded again`),
      ...some(this.#batches["there already"], "there already"),
      ...some(this.#batches["left out"], "left out"),
    ];
    const statuses = [
      ...some(this.#statuses.completed, "completed"),
      ...some(this.#statuses.partial, "partial"),
      ...some(this.#statuses.failed, "failed"),
    ];
    const rest = [
      number(this.#pages.stored, `pages ${would}stored`),
      ...some(this.#pages.there, "there already"),
      number(this.#offers, this.isDryRun ? "offers on them" : "offers"),
      ...some(this.#leftOut, "lines left out"),
      `${((performance.now() - this.#started) / 1000).toFixed(1)} s`,
    ];
    return `${batches.join(", ")}${statuses.length === 0 ? "" : ` (${statuses.join(", ")})`} · ${
      rest.join(" · ")
    }\n`;
  }

  [Symbol.dispose](): void {
    this.#progress?.[Symbol.dispose]();
  }

  #nameOf(file: number): string {
    const name = this.files[file - 1] ?? "";
    return name === STANDARD_INPUT ? "standard input" : name;
  }

  #tell(text: string): void {
    this.#progress?.clear();
    tell(`${visible(text)}\n`);
  }

  #show(text: () => string): void {
    const now = performance.now();
    if (this.#progress === undefined || now - this.#shownAt < PROGRESS_MILLISECONDS) return;
    this.#shownAt = now;
    this.#progress.show(visible(text()));
  }
}

/** Batches come in order of time. */
function widened(range: TimeRange | undefined, time: Date): TimeRange {
  return { from: range?.from ?? time, to: time };
}
