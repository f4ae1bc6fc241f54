import { DEADLINES } from "../deadlines.ts";
import type { Database } from "./connection.ts";
import { isUpToDate, planMigration } from "./migration_plan.ts";
import { refreshAggregates, type Refreshed } from "./refresh.ts";
import { RELEASE, releaseFor, sha256 } from "./release.ts";
import { BOOTSTRAP } from "./sql_files.ts";
import type { Tier } from "./tier.ts";

/** What became of a function or view: `kept` and `left behind` are somebody's live change, not overwritten. */
export type Outcome = "applied" | "made again" | "kept" | "left behind" | "dropped";

/** What `migrate` did. */
export interface Migrated {
  readonly migrations: readonly string[];
  readonly objects: readonly { readonly name: string; readonly outcome: Outcome }[];
  /** Policies of TimescaleDB that were made, changed or refused, e.g. `refresh of market_hours_v1: made`. */
  readonly policies: readonly string[];
  /** Aggregates that were filled from facts; undefined on plain PostgreSQL. */
  readonly refreshed: Refreshed | undefined;
}

/**
 * Brings the database to the release: migrations one transaction each, functions and views together in one.
 * Functions and views that somebody changed live are kept.
 * Any number of processes may do this at once: they queue in the database, and each file runs once.
 * @returns what this process did; another one may have been faster
 */
export async function migrate(database: Database, wholeRelease = RELEASE): Promise<Migrated> {
  const plan = await planMigration(database, wholeRelease);
  if (isUpToDate(plan)) {
    return { migrations: [], objects: [], ...await settle(database, plan.tier) };
  }
  const release = releaseFor(plan.tier, wholeRelease);

  const bootstrap = BOOTSTRAP.map((file) => file.body).join("\n");
  await database.runScript(bootstrap, DEADLINES.migrateSeconds);
  const migrations: string[] = [];
  for (const { name, body } of release.migrations) {
    const [row] = await database.run(
      "select p2p.apply_migration($1, $2, $3, $4) as ran",
      [name, sha256(body), body, release.version],
      DEADLINES.migrateSeconds,
    );
    if (row?.["ran"] === true) migrations.push(name);
  }
  const files = release.objects.map((file) => ({ ...file, sha256: sha256(file.body) }));
  const changed = await database.run(
    "select object_name, outcome from p2p.apply_objects($1::text::jsonb, $2)",
    [JSON.stringify(files), release.version],
    DEADLINES.migrateSeconds,
  );
  const objects = changed.map((row) => ({
    name: String(row["object_name"]),
    outcome: row["outcome"] as Outcome,
  }));
  return { migrations, objects, ...await settle(database, plan.tier) };
}

/**
 * What belongs to no file, on TimescaleDB: policies as the settings say, and aggregates that hold what was there before
 * them. Also where all files are applied: an earlier call may have been killed before it came here.
 */
async function settle(
  database: Database,
  tier: Tier,
): Promise<Pick<Migrated, "policies" | "refreshed">> {
  const [owner] = tier === "plain" ? [] : await database.run(
    `select pg_has_role(current_user, n.nspowner, 'usage') and to_regproc('p2p.apply_policies') is not null as can
     from pg_namespace n
     where n.nspname = 'p2p'`,
    [],
    DEADLINES.statementSeconds,
  );
  if (owner?.["can"] !== true) return { policies: [], refreshed: undefined };
  const policies = await database.run(
    "select format('%s of %s: %s', policy, relation, outcome) as text from p2p.apply_policies() where outcome <> 'unchanged'",
    [],
    DEADLINES.statementSeconds,
  );
  return {
    policies: policies.map(({ text }) => String(text)),
    refreshed: await refreshAggregates(database, { seconds: DEADLINES.migrateSeconds }),
  };
}
