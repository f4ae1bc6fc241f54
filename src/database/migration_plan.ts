import { DEADLINES } from "../deadlines.ts";
import { ConfigurationError } from "../errors.ts";
import type { Database } from "./connection.ts";
import { type ConvertedTable, tablesToConvert } from "./conversion.ts";
import { RELEASE, type Release, releaseFor, sha256 } from "./release.ts";
import type { SqlFile } from "./sql_files.ts";
import { readTier, type Tier, tierToBe } from "./tier.ts";

/** What `migrate` would do. */
export interface MigrationPlan {
  /** Where facts will be kept, and why there. */
  readonly tier: Tier;
  readonly tierReason: string;
  /** The facts are in plain tables now, and will be in TimescaleDB. */
  readonly isConversion: boolean;
  /** What would bring the database to TimescaleDB, where that can be had. */
  readonly tierHint: string | undefined;
  /** Tables with rows that would become hypertables. */
  readonly converted: readonly ConvertedTable[];
  readonly migrations: readonly SqlFile[];
  /** Functions and views whose text is not the one of the last release here, or that are missing. */
  readonly objects: readonly SqlFile[];
  /** Those of them that were changed live, and will be kept. */
  readonly kept: readonly string[];
  /** Those of them whose text is the same: somebody dropped them. */
  readonly missing: readonly string[];
  /** Files that the release no longer has. */
  readonly retired: readonly string[];
  /** PostgreSQL was upgraded: it may write definitions differently, so that they have to be read again. */
  readonly isOtherServer: boolean;
}

/**
 * Compares the database with the release. Only reads.
 * @throws {ConfigurationError} when a file that already ran was edited, the database is newer than the program, or its
 * facts are in TimescaleDB and the server no longer offers that
 */
export async function planMigration(
  database: Database,
  wholeRelease = RELEASE,
): Promise<MigrationPlan> {
  const state = await readTier(database);
  const tier = tierToBe(state);
  const release = releaseFor(tier, wholeRelease);
  const { migrations, objects, retired } = await compareTexts(database, release);
  const { missing, changed, isOtherServer } = await liveChanges(database);
  const isMissing = ({ name }: SqlFile) => missing.has(name);
  const pending = release.objects.filter((file) => objects.includes(file) || isMissing(file));
  return {
    tier,
    tierReason: state.reason,
    isConversion: state.database === "plain" && tier === "timescaledb",
    tierHint: state.hint,
    converted: await tablesToConvert(database, migrations),
    migrations,
    objects: pending,
    kept: pending.map((file) => file.name).filter((name) => changed.has(name)),
    missing: pending.filter((file) => isMissing(file) && !objects.includes(file))
      .map((file) => file.name),
    retired,
    isOtherServer,
  };
}

interface TextDifferences {
  readonly migrations: readonly SqlFile[];
  readonly objects: readonly SqlFile[];
  readonly retired: readonly string[];
}

/** What was applied here against what the release has, by the texts of the files alone. */
async function compareTexts(database: Database, release: Release): Promise<TextDifferences> {
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
  const shipped = new Set(release.objects.map((file) => file.name));
  return {
    migrations: release.migrations.filter((file) => !applied.migrations.has(file.name)),
    objects: release.objects.filter((file) => applied.objects.get(file.name) !== sha256(file.body)),
    retired: [...applied.objects.keys()].filter((name) => !shipped.has(name)),
  };
}

/** Whether a plan has nothing to do. */
export function isUpToDate(plan: MigrationPlan): boolean {
  const { migrations, objects, retired, isOtherServer } = plan;
  return migrations.length + objects.length + retired.length === 0 && !isOtherServer;
}

/**
 * Looks at the tier that the database is on, also where it could be on another one, and at texts only: a view that a DBA
 * has no use for and dropped does not keep the worker from its work, nor does an upgraded server, nor somebody who holds a
 * table (reading a view's definition waits for them).
 * @throws {ConfigurationError} with the command that mends it, unless the database is at this release
 */
export async function requireSchema(database: Database): Promise<void> {
  const state = await readTier(database);
  const tier = state.database === "timescaledb" ? tierToBe(state) : "plain";
  const release = releaseFor(tier, RELEASE);
  const { migrations, objects, retired } = await compareTexts(database, release);
  if (migrations.length + objects.length + retired.length === 0) return;
  throw new ConfigurationError(
    `the database at ${database.where} is not at version ${RELEASE.version}: ` +
      `${migrations.length} migrations and ${objects.length} functions and views are to be applied`,
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
      "current_setting('server_encoding') as encoding, " +
      "to_regclass('p2p.schema_migrations') is not null and to_regclass('p2p.schema_objects') is not null as is_ours",
    [],
    DEADLINES.statementSeconds,
  );
  requireVersion(Number(server?.["version"]), String(server?.["version_text"]), database.where);
  if (server?.["is_ours"] !== true) requireUtf8(String(server?.["encoding"]), database.where);
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

interface LiveChanges {
  /** Shipped functions and views that somebody dropped. */
  readonly missing: ReadonlySet<string>;
  /** Those that somebody changed. */
  readonly changed: ReadonlySet<string>;
  readonly isOtherServer: boolean;
}

const OBJECT_STATES = "views/object_states.sql";

/** What somebody did to the live functions and views. Without the view that tells, no more is known than that it is missing. */
async function liveChanges(database: Database): Promise<LiveChanges> {
  const [known] = await database.run(
    "select to_regclass('p2p.object_states') is not null as is_there",
    [],
    DEADLINES.statementSeconds,
  );
  if (known?.["is_there"] !== true) {
    return { missing: new Set([OBJECT_STATES]), changed: new Set(), isOtherServer: false };
  }
  const states = await database.run(
    "select name, state, is_missing, written_by <> current_setting('server_version_num')::integer / 10000 as is_other_server " +
      "from p2p.object_states",
    [],
    DEADLINES.statementSeconds,
  );
  const names = (isMissing: boolean) =>
    new Set(
      states.filter((row) => row["state"] !== "shipped" && row["is_missing"] === isMissing)
        .map((row) => String(row["name"])),
    );
  return {
    missing: names(true),
    changed: names(false),
    isOtherServer: states.some((row) => row["is_other_server"] === true),
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

/** The market's texts are of all scripts, and JSON's escapes of them are only read where the encoding has them. */
function requireUtf8(encoding: string, where: string): void {
  if (encoding === "UTF8") return;
  throw new ConfigurationError(
    `the database at ${where} has the encoding ${encoding}; UTF8 is needed`,
    "create database … encoding 'UTF8' template template0, and name that in DATABASE_URL",
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
