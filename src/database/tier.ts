import { DEADLINES } from "../deadlines.ts";
import { ConfigurationError } from "../errors.ts";
import type { Database } from "./connection.ts";
import { BOOTSTRAP, type SqlFile } from "./sql_files.ts";

/** How facts are kept: `plain` on any PostgreSQL, `timescaledb` on TimescaleDB Community. */
export type Tier = "plain" | "timescaledb";

/** What a database is, and what it could be; see sql/bootstrap/11_tier.sql. */
export interface TierState {
  /** Undefined before the first `migrate`. */
  readonly database: Tier | undefined;
  readonly server: Tier;
  /** Why the server is of its tier. */
  readonly reason: string;
  /** What would bring it to TimescaleDB. */
  readonly hint: string | undefined;
}

/** The query inside the function server_tier(), which does not need schema p2p: a database may have none yet. */
const SERVER_TIER = /function p2p\.server_tier\([^]*?\$function\$([^]*?)\$function\$/
  .exec(BOOTSTRAP.map(({ body }) => body).join("\n"))?.[1] ?? "";

/** Asks the database. Only reads. */
export async function readTier(database: Database): Promise<TierState> {
  const [server] = await database.run(
    `select s.tier, s.reason, s.hint, to_regprocedure('p2p.database_tier()') is not null as is_known
     from (${SERVER_TIER}) as s (tier, reason, hint)`,
    [],
    DEADLINES.statementSeconds,
  );
  return {
    database: server?.["is_known"] === true ? await databaseTier(database) : undefined,
    server: server?.["tier"] as Tier,
    reason: String(server?.["reason"]),
    hint: server?.["hint"] === null ? undefined : String(server?.["hint"]),
  };
}

async function databaseTier(database: Database): Promise<Tier> {
  const [row] = await database.run(
    "select p2p.database_tier() as tier",
    [],
    DEADLINES.statementSeconds,
  );
  return row?.["tier"] as Tier;
}

/**
 * The tier that `migrate` brings a database to.
 * @throws {ConfigurationError} where its facts are on TimescaleDB and the server no longer offers that
 */
export function tierToBe({ database, server, reason, hint }: TierState): Tier {
  if (database === "timescaledb" && server === "plain") {
    const isGone = hint === undefined || hint.startsWith("create extension");
    throw new ConfigurationError(
      `the facts of this database are in TimescaleDB, and there is no way back to plain tables: ${reason}`,
      // Who drops the extension drops what is in it.
      isGone
        ? "restore a backup on a server that has TimescaleDB: what was packed went with it"
        : hint,
    );
  }
  return server;
}

/** The files that a tier has: those of both tiers, and its own. */
export function filesOf(files: readonly SqlFile[], tier: Tier): readonly SqlFile[] {
  return files.filter((file) => file.tier === undefined || file.tier === tier);
}
