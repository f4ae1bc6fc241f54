import type { Alerts } from "../alerts/alerts.ts";
import type { Database, Parameter, Row } from "../database/connection.ts";
import {
  codeOf,
  DatabaseTimeout,
  isConnectionLost,
  isDeadlockVictim,
  NO_MORE_CONNECTIONS,
} from "../database/errors.ts";
import { DEADLINES, PATIENCE } from "../deadlines.ts";
import { describe, P2pError } from "../errors.ts";
import { logger } from "../log.ts";
import type { Clock } from "./clock.ts";

/** Waits before the second, third and fourth try of a call that met a lost connection, and before every further one. */
const RETRY_SECONDS = [0.2, 1, 3] as const;
const FURTHER_RETRY_SECONDS = 5;

/** What being told to stop does to a call: it is soon given up, or left to end, as a load is. */
export type WhenStopping = "hurry" | "finish";

/** Runs statements that may be repeated, and repeats them while the database is lost. Tells people of that. */
export class PatientDatabase {
  /** Until when a lost database is waited for, by the clock; PATIENCE.databaseSeconds where this is past. */
  #patientUntil = 0;
  /** By the clock. */
  #answeredAt = -Infinity;
  #scarcityToldAt = -Infinity;
  /** Since when the database is lost; undefined while it answers. */
  lostSince: Date | undefined;

  /** @param signal being told to stop ends nearly all patience */
  constructor(
    readonly database: Database,
    readonly clock: Clock,
    readonly alerts: Alerts,
    readonly signal: AbortSignal,
  ) {}

  /**
   * From now on a lost database is worth waiting for: as long as there is time to fetch, or until the next batch is due.
   * @param seconds 0: PATIENCE.databaseSeconds for each call
   */
  waitFor(seconds: number): void {
    this.#patientUntil = this.clock.now() + seconds * 1000;
  }

  /**
   * @param seconds deadline of each try
   * @throws {DatabaseError} when patience is over, or for another reason than a lost connection
   */
  async call(
    statement: string,
    parameters: readonly Parameter[],
    seconds: number = DEADLINES.statementSeconds,
    whenStopping: WhenStopping = "hurry",
  ): Promise<Row[]> {
    const { clock, signal } = this;
    const begunAt = clock.now();
    let lostAt: number | undefined;
    for (let attempt = 0;; attempt++) {
      try {
        return await this.callOnce(statement, parameters, seconds, whenStopping);
      } catch (error) {
        if (!isConnectionLost(error) && !isDeadlockVictim(error)) throw error;
        lostAt ??= signal.aborted ? begunAt : clock.now();
        const wait = (RETRY_SECONDS[attempt] ?? FURTHER_RETRY_SECONDS) * 1000;
        if (clock.now() + wait > this.#givesUpAt(lostAt)) throw error;
        await clock.sleep(wait, signal.aborted ? undefined : signal).catch(() => {});
      }
    }
  }

  /** Without another try. */
  async callOnce(
    statement: string,
    parameters: readonly Parameter[],
    seconds: number = DEADLINES.statementSeconds,
    whenStopping: WhenStopping = "hurry",
  ): Promise<Row[]> {
    try {
      const rows = await this.#run(statement, parameters, seconds, whenStopping);
      this.lostSince = undefined;
      this.#answeredAt = this.clock.now();
      this.alerts.resolve("database_lost", "the database is back");
      return rows;
    } catch (error) {
      // Several calls meet the same loss: it is one incident.
      if (this.#isScarce(error)) this.#tellScarcity(error);
      else if (isConnectionLost(error)) {
        this.lostSince ??= new Date();
        this.alerts.raise("database_lost", `lost the database, trying again: ${describe(error)}`);
      } else if (isDiskFull(error)) {
        this.alerts.raise("disk_full", describe(error));
      }
      throw error;
    }
  }

  async #run(
    statement: string,
    parameters: readonly Parameter[],
    seconds: number,
    whenStopping: WhenStopping,
  ): Promise<Row[]> {
    const { database, clock, signal } = this;
    if (whenStopping === "finish") return await database.run(statement, parameters, seconds);
    const answered = new AbortController();
    const enough = new AbortController();
    const hurry = () =>
      clock.sleep(PATIENCE.stoppingSeconds * 1000, answered.signal).then(
        () => enough.abort(new DatabaseTimeout("no answer since the worker was told to stop")),
        () => {},
      );
    if (signal.aborted) hurry();
    else signal.addEventListener("abort", hurry, { signal: answered.signal });
    try {
      return await database.run(statement, parameters, seconds, enough.signal);
    } finally {
      answered.abort();
    }
  }

  /** It gives no further connection, but answered on another one a moment ago: it is not lost. */
  #isScarce(error: unknown): boolean {
    return isOf(error, NO_MORE_CONNECTIONS) &&
      this.clock.now() - this.#answeredAt < PATIENCE.databaseSeconds * 1000;
  }

  #tellScarcity(error: unknown): void {
    const now = this.clock.now();
    if (now - this.#scarcityToldAt < PATIENCE.databaseSeconds * 1000) return;
    this.#scarcityToldAt = now;
    logger("database").warning("{error}; it goes on with those that it has", {
      error: describe(error),
      hint: error instanceof P2pError ? error.hint : undefined,
    });
  }

  /** Something large was stored. */
  hasRoom(): void {
    this.alerts.resolve("disk_full", "there is room again");
  }

  #givesUpAt(lostAt: number): number {
    if (this.signal.aborted) return lostAt + PATIENCE.stoppingSeconds * 1000;
    return Math.max(lostAt + PATIENCE.databaseSeconds * 1000, this.#patientUntil);
  }
}

function isDiskFull(error: unknown): boolean {
  return isOf(error, "53100");
}

/** Whether it is, or was caused by, what the server says with this SQLSTATE. */
function isOf(error: unknown, code: string): boolean {
  return codeOf(error) === code || (error instanceof Error && codeOf(error.cause) === code);
}
