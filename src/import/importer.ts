import { describe, UsageError } from "../errors.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { ImportedBatch, ImportStore, LineProblem, StagedLine } from "./import_store.ts";
import { type Line, linesOf } from "./lines.ts";
import {
  LineError,
  LONGEST_LINE_BYTES,
  readRecordedPage,
  type RecordedPage,
} from "./recorded_page.ts";
import { openSource } from "./source.ts";

/** Ten pages, as the worker stores them. */
const PAGES_A_STATEMENT = 10;
/** Large pages go out sooner. */
const CHARACTERS_A_STATEMENT = 4 * 1024 * 1024;

export interface ImportOptions {
  readonly files: readonly string[];
  readonly exchanges: ReadonlyMap<string, Exchange>;
  /** 0: times that differ by anything are batches of their own; undefined: so they are, unless that tears books apart. */
  readonly windowMinutes: number | undefined;
  readonly isDryRun: boolean;
  readonly signal: AbortSignal;
  /** Told as it goes. */
  readonly observer: ImportObserver;
}

export interface ImportObserver {
  reading(file: number, lines: number, bytes: number): void;
  loading(batch: number, of: number): void;
  leftOut(problem: LineProblem): void;
  imported(batch: ImportedBatch): void;
}

/** What was read. */
export interface ReadFiles {
  readonly lines: number;
  /** How often two pages of one book, one after the other, fell into different batches. */
  readonly booksTornApart: number;
}

/**
 * Reads all files into the database, where the pages are sorted into batches; whatever order the lines come in, the
 * same lines make the same batches. Then loads batch after batch, the oldest first.
 * @throws {UsageError} before anything is loaded, where pages of one book bear different times and nobody said what
 * makes a batch: recorders that write down when each page came would get a batch of each page
 */
export async function importFiles(store: ImportStore, options: ImportOptions): Promise<ReadFiles> {
  const { signal, observer, isDryRun } = options;
  const reader = new FileReader(store, options);
  for (const [index, name] of options.files.entries()) await reader.read(index + 1, name);
  await reader.finish();
  if (reader.booksTornApart > 0 && options.windowMinutes === undefined && !isDryRun) {
    throw new UsageError(
      `nothing was loaded: ${reader.booksTornApart} times the next page of a book bears another time than the page before, so that it would be a batch of its own`,
      "say what makes a batch: --window 10 (the lines of ten minutes), --window 0 (each time), or a batch in each line; --dry-run shows what would come",
    );
  }
  const batches = signal.aborted ? 0 : await store.waitingBatches();
  for (let batch = 1; !signal.aborted; batch++) {
    observer.loading(batch, batches);
    const imported = await store.importNextBatch(isDryRun);
    if (imported === undefined) break;
    imported.problems.forEach((problem) => observer.leftOut(problem));
    observer.imported(imported);
  }
  return { lines: reader.lines, booksTornApart: reader.booksTornApart };
}

/** Brings lines to the database, a few a statement; reads on while one is under way. */
class FileReader {
  lines = 0;
  booksTornApart = 0;
  #waiting: StagedLine[] = [];
  #characters = 0;
  #underWay: Promise<void> = Promise.resolve();
  #failure: unknown;
  /** The last page of each book. */
  readonly #lastPages = new Map<string, RecordedPage>();
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });

  constructor(readonly store: ImportStore, readonly options: ImportOptions) {}

  async read(file: number, name: string): Promise<void> {
    const { observer, signal } = this.options;
    let bytes = 0;
    let last = 0;
    try {
      const stream = await openSource(name, (more) => bytes += more, signal);
      for await (const line of linesOf(stream, LONGEST_LINE_BYTES)) {
        if (signal.aborted) break;
        last = line.number;
        await this.#take(file, line);
        observer.reading(file, last, bytes);
      }
    } catch (error) {
      if (signal.aborted && this.#failure === undefined) return;
      // The database, or a bug; anything else is the file's.
      if (this.#failure !== undefined || !isOfFile(error)) throw error;
      observer.leftOut({
        file,
        line: last + 1,
        lines: 1,
        problem: `the file cannot be read on: ${describe(error)}`,
      });
    }
  }

  async finish(): Promise<void> {
    await this.#send();
    await this.#underWay;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #take(file: number, line: Line): Promise<void> {
    const outcome = this.#pageOf(line);
    if (outcome === undefined) return;
    this.lines++;
    if (typeof outcome === "string") {
      this.options.observer.leftOut({ file, line: line.number, lines: 1, problem: outcome });
      return;
    }
    this.#watchTimes(outcome);
    this.#waiting.push({ file, line: line.number, page: outcome });
    this.#characters += outcome.body.length;
    const isFull = this.#waiting.length >= PAGES_A_STATEMENT ||
      this.#characters >= CHARACTERS_A_STATEMENT;
    if (isFull) await this.#send();
  }

  /** The page; or why there is none; undefined for an empty line, which says nothing. */
  #pageOf({ bytes, isEnded }: Line): RecordedPage | string | undefined {
    if (bytes === undefined) return `the line is longer than ${LONGEST_LINE_BYTES} bytes`;
    let text: string;
    try {
      text = this.#decoder.decode(bytes);
    } catch {
      return "not text in UTF-8";
    }
    if (text.trim() === "") return undefined;
    try {
      return readRecordedPage(text, {
        ...this.options,
        windowMinutes: this.options.windowMinutes || undefined,
        now: new Date(),
      });
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      return isEnded ? error.message : `${error.message} (the last line: is it cut off?)`;
    }
  }

  /** Recorders that give each page its own time tear books apart. */
  #watchTimes(page: RecordedPage): void {
    const market = `${page.fiat}/${page.asset} ${page.side}`;
    const before = this.#lastPages.get(market);
    if (before?.page === page.page - 1 && before.batchStart < page.batchStart) {
      this.booksTornApart++;
    }
    // Not the body, which would stay in memory.
    this.#lastPages.set(market, { ...page, body: "" });
  }

  async #send(): Promise<void> {
    await this.#underWay;
    if (this.#failure !== undefined) throw this.#failure;
    const lines = this.#waiting;
    this.#waiting = [];
    this.#characters = 0;
    if (lines.length === 0 || this.options.signal.aborted) return;
    this.#underWay = this.store.stage(lines).then(
      (problems) => problems.forEach((problem) => this.options.observer.leftOut(problem)),
      (error) => {
        this.#failure = error;
      },
    );
  }
}

/** Whether reading the file is what failed: a broken disk, or compressed data that are no such. */
function isOfFile(error: unknown): boolean {
  return error instanceof Error && ("code" in error || error.name in Deno.errors);
}
