import type { PageReader } from "./page_reader.ts";

/** What `p2p.page_batches` returns, as far as it is read here. */
interface Batch {
  /** Seconds since 1970. */
  readonly start: number;
}

/** An element of what `p2p.page_coverage` returns. */
interface Column {
  readonly start: number;
  readonly markets: readonly number[];
  readonly states: string;
}

const HOURS = 24;
/** As many batches a statement take some 50 ms. */
const BATCHES_A_TIME = 24;
/** Shorter than any batch, longer than a time loses by being a number. */
const A_MOMENT = 0.001;
const NOT_PLANNED = ".";

/** The heat map: markets by batches. What was read of a batch that has ended is kept, so that only new ones are asked for. */
export class PageCoverage {
  readonly #columns = new Map<number, Column>();
  #batchesText = "";
  #text = "";

  constructor(readonly reader: PageReader) {}

  /** JSON: `batches`, and by the number of a market a letter for each of them. */
  async text(): Promise<string> {
    const batchesText = await this.reader.ask("page_batches($1)", [HOURS]) ?? "[]";
    if (batchesText === this.#batchesText) return this.#text;
    const batches = JSON.parse(batchesText) as Batch[];
    await this.#read(batches);
    const states = Object.fromEntries(this.#rows(batches));
    this.#text = JSON.stringify({ batches, states });
    this.#batchesText = batchesText;
    return this.#text;
  }

  async #read(batches: readonly Batch[]): Promise<void> {
    const wanted = new Set(batches.map(({ start }) => start));
    for (const start of this.#columns.keys()) if (!wanted.has(start)) this.#columns.delete(start);
    let after = Math.max((batches[0]?.start ?? 0) - A_MOMENT, ...this.#columns.keys());
    for (;;) {
      const answer = await this.reader.ask("page_coverage(to_timestamp($1), $2)", [
        after + A_MOMENT / 2,
        BATCHES_A_TIME,
      ]);
      const columns = JSON.parse(answer ?? "[]") as Column[];
      for (const column of columns) {
        if (wanted.has(column.start)) this.#columns.set(column.start, column);
        after = column.start;
      }
      if (columns.length < BATCHES_A_TIME) return;
    }
  }

  #rows(batches: readonly Batch[]): Map<number, string> {
    const rows = new Map<number, string[]>();
    for (const [index, { start }] of batches.entries()) {
      const column = this.#columns.get(start);
      for (const [place, market] of (column?.markets ?? []).entries()) {
        let row = rows.get(market);
        if (row === undefined) {
          rows.set(market, row = new Array<string>(batches.length).fill(NOT_PLANNED));
        }
        row[index] = column?.states[place] ?? NOT_PLANNED;
      }
    }
    return new Map([...rows].map(([market, row]) => [market, row.join("")]));
  }
}
