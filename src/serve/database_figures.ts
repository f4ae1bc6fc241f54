import type { Database } from "../database/connection.ts";
import { isConnectionLost } from "../database/errors.ts";
import { DEADLINES } from "../deadlines.ts";
import { describe } from "../errors.ts";
import type { Clock } from "../extract/clock.ts";
import { logger } from "../log.ts";
import type { Sample } from "./samples.ts";

/** What the database said when it was asked last. */
export interface Figures {
  /** Whether it answered, be it with an error. */
  readonly isUp: boolean;
  /** Why there are no samples; undefined where there are. */
  readonly problem: string | undefined;
  readonly samples: readonly Sample[];
  /** Version of the server and how facts are kept; undefined until it answered once. */
  readonly server: { readonly postgres: string; readonly tier: string } | undefined;
}

/** The same answer serves all who ask within this time: scrapes, health checks, several Prometheus. */
export const FRESH_SECONDS = 5;

const STATEMENT = `
  select current_setting('server_version') as postgres, p2p.database_tier() as tier, m.metric, m.help, m.labels, m.value
  from p2p.database_metrics() as m`;

const log = logger("metrics");

/** Asks p2p.database_metrics(), seldom, one question at a time, and never for long. */
export class DatabaseFigures implements AsyncDisposable {
  #database: Database;
  readonly #closing = new Set<Promise<void>>();
  #last: Figures | undefined;
  #askedAt = -Infinity;
  #asking: Promise<Figures> | undefined;

  /** @param open gives a connection of its own: it neither waits behind large statements nor keeps them waiting */
  constructor(
    readonly open: () => Database,
    readonly clock: Clock,
    readonly freshSeconds: number,
  ) {
    this.#database = open();
  }

  /** The one that answered last, or will be asked next. */
  get database(): Database {
    return this.#database;
  }

  /** Never throws, and answers within `DEADLINES.figuresSeconds`. */
  async read(): Promise<Figures> {
    const isFresh = this.clock.now() - this.#askedAt < this.freshSeconds * 1000;
    if (this.#last !== undefined && isFresh) return this.#last;
    this.#asking ??= this.#ask().then((figures) => {
      this.#last = figures;
      this.#askedAt = this.clock.now();
      this.#asking = undefined;
      return figures;
    });
    return await this.#asking;
  }

  async #ask(): Promise<Figures> {
    try {
      const rows = await this.#database.run(STATEMENT, [], DEADLINES.figuresSeconds);
      const samples = rows.map((row): Sample => ({
        metric: String(row["metric"]),
        help: String(row["help"] ?? ""),
        labels: Object.fromEntries(
          Object.entries(row["labels"] ?? {}).map(([name, value]) => [name, String(value)]),
        ),
        value: Number(row["value"] ?? NaN),
      }));
      const [first] = rows;
      const server = first === undefined
        ? this.#last?.server
        : { postgres: String(first["postgres"]), tier: String(first["tier"]) };
      return { isUp: true, problem: undefined, samples, server };
    } catch (error) {
      const problem = describe(error);
      const isUp = !isConnectionLost(error);
      if (!isUp) this.#startAnew();
      // Of a lost database the worker itself tells.
      if (isUp && this.#last?.problem !== problem) {
        log.warning("p2p.database_metrics() failed: {problem}", { problem });
      }
      return { isUp, problem, samples: [], server: this.#last?.server };
    }
  }

  /** A statement that is given up while its connection is made leaves that connection to nobody: the driver never uses it again. */
  #startAnew(): void {
    const closing = this.#database[Symbol.asyncDispose]().catch(() => {})
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    this.#database = this.open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#asking;
    await Promise.all([this.#database[Symbol.asyncDispose](), ...this.#closing]);
  }
}
