import { createHash } from "node:crypto";
import { DEADLINES } from "../deadlines.ts";
import { ConfigurationError } from "../errors.ts";
import { VERSION } from "../version.ts";
import type { Database } from "./connection.ts";
import { BOOTSTRAP, MIGRATIONS, OBJECTS, type SqlFile } from "./sql_files.ts";

/** What `migrate` would do, or did. */
export interface MigrationPlan {
  readonly migrations: readonly SqlFile[];
  /** Functions and views whose text is not the one last applied. */
  readonly objects: readonly SqlFile[];
}

/** The SQL that a program carries; tests pass their own. */
export interface Release {
  readonly version: string;
  readonly migrations: readonly SqlFile[];
  readonly objects: readonly SqlFile[];
}

/** This program's own SQL. The bootstrap is one of the objects, so that a change of it is noticed. */
export const RELEASE: Release = {
  version: VERSION,
  migrations: MIGRATIONS,
  objects: [{ name: "bootstrap.sql", body: BOOTSTRAP }, ...OBJECTS],
};

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * Compares the database with the release. Only reads.
 * @throws {ConfigurationError} when a file that already ran was edited, or the database is newer than the program
 */
export async function planMigration(database: Database, release = RELEASE): Promise<MigrationPlan> {
  const applied = await appliedFiles(database);
  refuseNewer(applied, release);
  for (const { name, body } of release.migrations) {
    const known = applied.migrations.get(name);
    if (known !== undefined && known !== sha256(body)) {
      throw new ConfigurationError(
        `sql/${name} was edited after it ran in this database`,
        "put the old text back and write a new migration",
      );
    }
  }
  return {
    migrations: release.migrations.filter((file) => !applied.migrations.has(file.name)),
    objects: release.objects.filter((file) => applied.objects.get(file.name) !== sha256(file.body)),
  };
}

/**
 * Brings the database to the release: migrations one transaction each, functions and views together in one.
 * Any number of processes may do this at once: they queue in the database, and each file runs once.
 * @returns what this process did; another one may have been faster
 */
export async function migrate(database: Database, release = RELEASE): Promise<MigrationPlan> {
  const plan = await planMigration(database, release);
  if (plan.migrations.length + plan.objects.length === 0) return plan;

  await database.runScript(BOOTSTRAP, DEADLINES.migrateSeconds);
  const migrations: SqlFile[] = [];
  for (const file of plan.migrations) {
    const [row] = await database.run(
      "select p2p.apply_migration($1, $2, $3, $4) as ran",
      [file.name, sha256(file.body), file.body, release.version],
      DEADLINES.migrateSeconds,
    );
    if (row?.["ran"] === true) migrations.push(file);
  }
  const files = release.objects.map((file) => ({ ...file, sha256: sha256(file.body) }));
  const changed = await database.run(
    "select name from p2p.apply_objects($1::text::jsonb, $2) as name",
    [JSON.stringify(files), release.version],
    DEADLINES.migrateSeconds,
  );
  const names = new Set(changed.map((row) => row["name"]));
  return { migrations, objects: release.objects.filter((file) => names.has(file.name)) };
}

/**
 * @throws {ConfigurationError} with the command that mends it, unless the database is exactly at this release
 */
export async function requireSchema(database: Database): Promise<void> {
  const plan = await planMigration(database);
  if (plan.migrations.length + plan.objects.length === 0) return;
  throw new ConfigurationError(
    `the database at ${database.where} is not at version ${VERSION}: ` +
      `${plan.migrations.length} migrations and ${plan.objects.length} functions and views are to be applied`,
    "run `p2p-ingest migrate`",
  );
}

interface AppliedFiles {
  readonly migrations: ReadonlyMap<string, string>;
  readonly objects: ReadonlyMap<string, string>;
  readonly versions: readonly string[];
}

async function appliedFiles(database: Database): Promise<AppliedFiles> {
  const [server] = await database.run(
    "select current_setting('server_version_num')::integer as version, current_setting('server_version') as version_text, " +
      "to_regclass('p2p.schema_migrations') is not null and to_regclass('p2p.schema_objects') is not null as is_ours",
    [],
    DEADLINES.statementSeconds,
  );
  requireVersion(Number(server?.["version"]), String(server?.["version_text"]), database.where);
  const read = async (table: "schema_migrations" | "schema_objects") =>
    server?.["is_ours"] === true
      ? await database.run(
        `select name, sha256, program_version from p2p.${table}`,
        [],
        DEADLINES.statementSeconds,
      )
      : [];
  const [migrations, objects] = [await read("schema_migrations"), await read("schema_objects")];
  const byName = (rows: typeof migrations) =>
    new Map(rows.map((row) => [String(row["name"]), String(row["sha256"])]));
  return {
    migrations: byName(migrations),
    objects: byName(objects),
    versions: [...migrations, ...objects].map((row) => String(row["program_version"])),
  };
}

/** MERGE came with 15. */
const OLDEST_SERVER = 15;

/** @param version as in server_version_num, e.g. 150018 */
export function requireVersion(version: number, text: string, where: string): void {
  if (version >= OLDEST_SERVER * 10_000) return;
  throw new ConfigurationError(
    `the database at ${where} is PostgreSQL ${text}; ${OLDEST_SERVER} or newer is needed`,
  );
}

function refuseNewer(applied: AppliedFiles, release: Release): void {
  const known = new Set(release.migrations.map((file) => file.name));
  const unknown = [...applied.migrations.keys()].filter((name) => !known.has(name));
  const newer = applied.versions.find((version) => isNewer(version, release.version));
  if (unknown.length === 0 && newer === undefined) return;
  const evidence = newer === undefined
    ? `it has ${unknown.join(", ")}`
    : `it was migrated by ${newer}`;
  throw new ConfigurationError(
    `the database is newer than this program (${release.version}): ${evidence}`,
    "use the newer program; nothing was changed",
  );
}

/** Whether version `a` comes after version `b`; both are `major.minor.patch`. */
function isNewer(a: string, b: string): boolean {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}
