import type { Database } from "../database/connection.ts";
import { DEADLINES } from "../deadlines.ts";
import type { Alert } from "./alert.ts";

export interface IncidentStoreOptions {
  /** Not the patient one: that raises alerts itself. */
  readonly database: Database;
  readonly workerId: string;
  /** Undefined where no service runs: a batch that does not come is nobody's fault then. */
  readonly intervalMinutes: number | undefined;
  /** Consecutive batches that are not `completed`, after which people are told. */
  readonly alertOnFailures: number;
}

/** What the database gives this worker to tell. */
export interface News extends Alert {
  readonly incidentId: string;
}

interface Begun {
  readonly message: string;
  readonly since: Date;
}

/** Incidents as the database keeps them; every method throws when it is away. */
export class IncidentStore {
  constructor(readonly options: IncidentStoreOptions) {}

  /** Lets the database open and end incidents by what it sees; the news are for this worker to tell, until `told`. */
  async watch(): Promise<News[]> {
    const { database, workerId, intervalMinutes, alertOnFailures } = this.options;
    const rows = await database.run(
      "select * from p2p.watch_incidents($1, $2, $3)",
      [workerId, intervalMinutes ?? null, alertOnFailures],
      DEADLINES.statementSeconds,
    );
    return rows.map((row) => ({
      incidentId: String(row["incident_id"]),
      kind: String(row["kind"]),
      subject: String(row["subject"]),
      message: String(row["message"]),
      isOver: row["is_open"] !== true,
      since: row["raised_at"] as Date,
      lastedSeconds: row["is_open"] === true ? undefined : Number(row["lasted_seconds"]),
    }));
  }

  /** People were told of these. */
  async told(news: readonly News[]): Promise<void> {
    const ids = (isOver: boolean) =>
      `{${
        news.filter((one) => one.isOver === isOver).map(({ incidentId }) => incidentId).join(",")
      }}`;
    await this.#run("select p2p.incidents_told($1::text::bigint[], $2::text::bigint[])", [
      ids(false),
      ids(true),
    ]);
  }

  /** @returns whether it is news, which the caller tells */
  async begin(kind: string, incident: Begun): Promise<boolean> {
    const [row] = await this.#run(
      "select p2p.raise_incident($1, '', $2, $3, $4, true) as news",
      this.#begun(kind, incident),
    );
    return row?.["news"] === true;
  }

  /** @returns whether it is news, which the caller tells */
  async end(kind: string, message: string): Promise<boolean> {
    const [row] = await this.#run("select p2p.resolve_incident($1, '', $2, true) as news", [
      kind,
      message,
    ]);
    return row?.["news"] === true;
  }

  /** One that is over by now; the others never see it open. */
  async beginAndEnd(kind: string, incident: Begun, message: string): Promise<void> {
    await this.#run(
      "select p2p.raise_incident($1, '', $2, $3, $4, true), p2p.resolve_incident($1, '', $5, true)",
      [...this.#begun(kind, incident), message],
    );
  }

  #begun(kind: string, { message, since }: Begun): (string | number)[] {
    return [kind, message, this.options.workerId, Math.max(0, Date.now() - since.getTime()) / 1000];
  }

  async #run(
    statement: string,
    parameters: readonly (string | number)[],
  ): Promise<Record<string, unknown>[]> {
    return await this.options.database.run(statement, parameters, DEADLINES.beatSeconds);
  }
}
