import type { PatientDatabase } from "../extract/patient_database.ts";
import { describe } from "../errors.ts";
import type { BatchOutcome } from "../extract/batch.ts";
import { outcomeLine } from "./batch_summary.ts";

/** How the service is, on one line: what it does now, and what came of the last batch. */
export class ServiceStatus {
  #last = "no batch since the start";
  #isStopping = false;

  ended(outcome: BatchOutcome): void {
    if (outcome.outcome === "paused") {
      this.#last = `paused: new batches are ${outcome.detail}`;
    } else if (outcome.outcome === "late") {
      this.#last = `the last batch was skipped: ${outcome.detail}`;
    } else {
      this.#last = outcomeLine(outcome) || this.#last;
    }
  }

  failed(error: unknown): void {
    this.#last = `the last batch failed: ${describe(error)}`;
  }

  stopping(): void {
    this.#isStopping = true;
  }

  /** @param doing how far the batch is that is under way */
  line(doing: string | undefined, { lostSince }: Pick<PatientDatabase, "lostSince">): string {
    return [
      ...(this.#isStopping ? ["stopping"] : []),
      ...(lostSince === undefined
        ? []
        : [`the database is lost since ${lostSince.toISOString().slice(0, 19)}Z`]),
      ...(doing === undefined ? [] : [doing]),
      this.#last.trim().split("\n", 1)[0],
    ].join("; ");
  }
}
