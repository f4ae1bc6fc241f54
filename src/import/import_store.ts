import type { Database, Parameter } from "../database/connection.ts";
import { DEADLINES } from "../deadlines.ts";
import type { RecordedPage } from "./recorded_page.ts";

/** A page and the line it stands on. */
export interface StagedLine {
  /** From 1. */
  readonly file: number;
  readonly line: number;
  readonly page: RecordedPage;
}

/** A line that is left out, or the first of several that are for the same reason. */
export interface LineProblem {
  readonly file: number;
  readonly line: number;
  readonly lines: number;
  readonly problem: string;
}

/** What became of a batch; see import_next_batch.sql. */
export interface ImportedBatch {
  readonly startedAt: Date;
  readonly batchId: string | undefined;
  readonly outcome: "new" | "more pages" | "loaded again" | "there already" | "left out";
  readonly status: "completed" | "partial" | "failed" | "running" | undefined;
  readonly errorSummary: string | undefined;
  readonly pagesStored: number;
  readonly pagesThere: number;
  readonly pagesLeftOut: number;
  readonly offers: number;
  /** At most a hundred. */
  readonly problems: readonly LineProblem[];
}

/** The import's side of the database: each method is one call of one SQL function. */
export class ImportStore {
  private constructor(readonly database: Database, readonly importId: string) {}

  static async begin(
    database: Database,
    workerId: string,
    files: readonly string[],
  ): Promise<ImportStore> {
    const [row] = await database.run(
      "select p2p.begin_import($1, array(select jsonb_array_elements_text($2::text::jsonb))) as import_id",
      [workerId, JSON.stringify(files)],
      DEADLINES.statementSeconds,
    );
    return new ImportStore(database, String(row?.["import_id"]));
  }

  /** @returns the lines that the database cannot take */
  async stage(lines: readonly StagedLine[]): Promise<LineProblem[]> {
    const parameters: Parameter[] = [];
    const calls = lines.map(({ file, line, page }, index) => {
      const values: Parameter[] = [
        this.importId,
        file,
        line,
        page.batchStart,
        page.observedAt,
        page.exchange,
        page.fiat,
        page.asset,
        page.side,
        page.page,
        page.pageSize ?? null,
        page.filteredBy ?? null,
        page.parser,
        page.alteration ?? null,
        page.body,
      ];
      const marks = values.map((_, i) => `$${parameters.length + i + 1}`).join(", ");
      parameters.push(...values);
      return `p2p.stage_import_page(${marks}) as r${index}`;
    });
    const [row = {}] = await this.database.run(
      `select ${calls.join(", ")}`,
      parameters,
      DEADLINES.storeSeconds,
    );
    return lines.flatMap(({ file, line }, index) => {
      const problem = row[`r${index}`];
      return problem === null ? [] : [{ file, line, lines: 1, problem: String(problem) }];
    });
  }

  /** How many batches wait. */
  async waitingBatches(): Promise<number> {
    const [row] = await this.database.run(
      "select count(distinct s.batch_start_time) as batches from p2p.stg_import_pages s where s.import_id = $1",
      [this.importId],
      DEADLINES.loadSeconds,
    );
    return Number(row?.["batches"]);
  }

  /** Makes and loads the oldest batch that waits; undefined where none does. */
  async importNextBatch(isDryRun: boolean): Promise<ImportedBatch | undefined> {
    const [row] = await this.database.run(
      "select * from p2p.import_next_batch($1, $2)",
      [this.importId, isDryRun],
      DEADLINES.loadSeconds,
    );
    if (row === undefined) return undefined;
    const text = (name: string) => row[name] === null ? undefined : String(row[name]);
    return {
      startedAt: row["batch_start_time"] as Date,
      batchId: text("batch_id"),
      outcome: row["outcome"] as ImportedBatch["outcome"],
      status: text("status") as ImportedBatch["status"],
      errorSummary: text("error_summary"),
      pagesStored: Number(row["pages_stored"]),
      pagesThere: Number(row["pages_there"]),
      pagesLeftOut: Number(row["pages_left_out"]),
      offers: Number(row["offers"]),
      problems: row["problems"] as LineProblem[],
    };
  }

  /** Forgets what still waits. */
  async end(): Promise<void> {
    await this.database.run(
      "select p2p.end_import($1)",
      [this.importId],
      DEADLINES.statementSeconds,
    );
  }
}
