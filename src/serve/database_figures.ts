import type { Database, Row } from "../database/connection.ts";
import { DatabaseTimeout, isConnectionLost } from "../database/errors.ts";
import { DEADLINES } from "../deadlines.ts";
import { describe } from "../errors.ts";
import type { Clock } from "../extract/clock.ts";
import { logger } from "../log.ts";
import type { Sample } from "./samples.ts";

/** What the database said when it was asked last. */
export interface Figures {
  /** Whether it can be reached, be it slow or with an error. */
  readonly isUp: boolean;
  /** Why there are no samples; undefined where there are. */
  readonly problem: string | undefined;
  readonly samples: readonly Sample[];
  /** Version of the server and how facts are kept; undefined until it answered once. */
  readonly server: { readonly postgres: string; readonly tier: string } | undefined;
}

/** The same answer serves all who ask within this time: scrapes, health checks, several Prometheus. */
export const FRESH_SECONDS = 5;

/** What takes the database long to find out, and seldom changes. */
const AUDIT_FRESH_SECONDS = 60;

const STATEMENT = `
  select current_setting('server_version') as postgres, p2p.database_tier() as tier, m.metric, m.help, m.labels, m.value
  from p2p.database_metrics() as m`;

const AUDIT = "select * from p2p.audit_metrics()";

const log = logger("metrics");

/** Asks p2p.database_metrics() and p2p.audit_metrics(), seldom, one question of each at a time, and never for long. */
export class DatabaseFigures implements AsyncDisposable {
  #last: Figures | undefined;
  #askedAt = -Infinity;
  #asking: Promise<Figures> | undefined;
  #audit: readonly Sample[] = [];
  #auditProblem: string | undefined;
  #auditedAt = -Infinity;
  #auditing: Promise<void> | undefined;
  readonly #over = new AbortController();

  /** @param database with connections of its own: it neither waits behind large statements nor keeps them waiting */
  constructor(
    readonly database: Database,
    readonly clock: Clock,
    readonly freshSeconds: number,
  ) {}

  /** Never throws, and answers within `DEADLINES.figuresSeconds` and `reachSeconds`. */
  async read(): Promise<Figures> {
    const isFresh = this.clock.now() - this.#askedAt < this.freshSeconds * 1000;
    if (this.#last !== undefined && isFresh) return this.#whole(this.#last);
    this.#asking ??= this.#ask().then((figures) => {
      this.#last = figures;
      this.#askedAt = this.clock.now();
      this.#asking = undefined;
      return figures;
    });
    return this.#whole(await this.#asking);
  }

  /** With what the audit found last; nobody waits for it. */
  #whole(figures: Figures): Figures {
    if (!figures.isUp) return figures;
    const isFresh = this.clock.now() - this.#auditedAt < AUDIT_FRESH_SECONDS * 1000;
    if (!isFresh) this.#auditing ??= this.#lookAtAudit();
    return { ...figures, samples: [...figures.samples, ...this.#audit] };
  }

  async #ask(): Promise<Figures> {
    try {
      const rows = await this.database.run(STATEMENT, [], DEADLINES.figuresSeconds);
      const [first] = rows;
      const server = first === undefined
        ? this.#last?.server
        : { postgres: String(first["postgres"]), tier: String(first["tier"]) };
      return { isUp: true, problem: undefined, samples: rows.map(sampleOf), server };
    } catch (error) {
      const problem = describe(error);
      const isUp = !isConnectionLost(error) ||
        error instanceof DatabaseTimeout && await this.#canBeReached();
      // Of a lost database the worker itself tells.
      if (isUp && this.#last?.problem !== problem) {
        log.warning("p2p.database_metrics() failed: {problem}", { problem });
      }
      return { isUp, problem, samples: [], server: this.#last?.server };
    }
  }

  /** A server that is only busy still answers this. */
  async #canBeReached(): Promise<boolean> {
    return await this.database.run("select 1", [], DEADLINES.reachSeconds).then(
      () => true,
      () => false,
    );
  }

  async #lookAtAudit(): Promise<void> {
    try {
      const { signal } = this.#over;
      const rows = await this.database.run(AUDIT, [], DEADLINES.statementSeconds, signal);
      this.#audit = rows.map(sampleOf);
      this.#auditProblem = undefined;
    } catch (error) {
      const problem = describe(error);
      const isExpected = isConnectionLost(error) || this.#over.signal.aborted;
      if (!isExpected && this.#auditProblem !== problem) {
        log.warning("p2p.audit_metrics() failed: {problem}", { problem });
      }
      this.#audit = [];
      this.#auditProblem = problem;
    } finally {
      this.#auditedAt = this.clock.now();
      this.#auditing = undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await Promise.all([this.#asking, this.#auditing]);
    await this.database[Symbol.asyncDispose]();
  }
}

function sampleOf(row: Row): Sample {
  return {
    metric: String(row["metric"]),
    help: String(row["help"] ?? ""),
    labels: Object.fromEntries(
      Object.entries(row["labels"] ?? {}).map(([name, value]) => [name, String(value)]),
    ),
    value: Number(row["value"] ?? NaN),
  };
}
