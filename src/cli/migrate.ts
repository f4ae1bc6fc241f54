import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { command, constant, flag } from "@optique/core/primitives";
import { migrate, type Migrated, type Outcome } from "../database/migrate.ts";
import { isUpToDate, type MigrationPlan, planMigration } from "../database/migration_plan.ts";
import { type ObjectState, readObjectStates } from "../database/object_states.ts";
import type { SqlFile } from "../database/sql_files.ts";
import { EXIT, type ExitCode } from "../errors.ts";
import { VERSION } from "../version.ts";
import { openDatabase, readEnvironment } from "./environment.ts";
import { examples, jsonFlag } from "./help.ts";
import { describeRefresh } from "./refresh_report.ts";
import { renderRecords } from "./table.ts";
import { print, style, tell } from "./terminal.ts";

export const migrateCommand = command(
  "migrate",
  object({
    command: constant("migrate"),
    dryRun: withDefault(
      flag("-n", "--dry-run", { description: message`Say what would run; change nothing.` }),
      false,
    ),
    sql: withDefault(
      flag("--sql", { description: message`With --dry-run: the SQL itself, on stdout.` }),
      false,
    ),
    json: jsonFlag(),
  }),
  {
    brief: message`Bring the database to this version.`,
    description:
      message`Runs new migrations once, in order, each in a transaction, and applies functions and views whose text changed, except those that somebody changed live. Safe to call at any time, by any number of processes at once. Everything lives in schema p2p.`,
    footer: examples(
      ["p2p-ingest migrate --dry-run", "what would run"],
      ["p2p-ingest migrate --dry-run --sql > plan.sql", "the same, to read"],
      ["DATABASE_URL=postgres://owner@db/p2p p2p-ingest migrate", "do it"],
    ),
  },
);

export async function runMigrate(
  args: { dryRun: boolean; sql: boolean; json: boolean },
): Promise<ExitCode> {
  const config = await readEnvironment();
  await using opened = await openDatabase({ config, purpose: "migrate", schema: "any" });
  const { database } = opened;
  if (args.dryRun) printPlan(await planMigration(database), args, database.where);
  else {
    printDone(await migrate(database), args.json, database.where);
    tellChanges(await readObjectStates(database, []));
  }
  return EXIT.done;
}

function printPlan(
  plan: MigrationPlan,
  { sql, json }: { sql: boolean; json: boolean },
  where: string,
): void {
  const { migrations, objects, kept, retired, tier, tierReason, converted } = plan;
  const names = (files: readonly SqlFile[]) => files.map((file) => file.name);
  if (json) {
    const document = {
      tier,
      tier_reason: tierReason,
      migrations: names(migrations),
      objects: names(objects),
      kept,
      retired,
      converted,
    };
    print(JSON.stringify({ version: VERSION, dry_run: true, ...document }) + "\n");
    return;
  }
  for (const { name, body } of [...migrations, ...objects]) {
    if (sql) print(`-- sql/${name}\n${body}\n`);
    else if (kept.includes(name)) print(`would keep what was changed live: sql/${name}\n`);
    else print(`would run sql/${name}\n`);
  }
  for (const name of retired) if (!sql) print(`would drop what sql/${name} made\n`);
  if (!sql) print(describeConversion(plan));
  tellTier(plan);
  tell(`the database at ${where} ${state(isUpToDate(plan), "is not yet at")}\n`);
}

/** What a person wants to know before tables with rows become hypertables. */
function describeConversion({ converted }: MigrationPlan): string {
  if (converted.length === 0) return "";
  const number = new Intl.NumberFormat("en");
  const rows = converted.map(({ table, rows, bytes, secondsLocked }) => ({
    "would become a hypertable": table,
    "rows about": number.format(rows),
    MB: number.format(Math.round(bytes / 1e6)),
    "locked for about": `${secondsLocked} s`,
  }));
  const seconds = converted.reduce((sum, { secondsLocked }) => sum + secondsLocked, 0);
  return renderRecords(Object.keys(rows[0] ?? {}), rows, style(Deno.stdout)) +
    `Nothing is copied. All of it is one transaction: nobody reads or writes these tables for about ${seconds} s, then\n` +
    "the aggregates are filled, a day at a time, while everybody works. Stopped at any moment, migrate goes on where it was.\n";
}

function tellTier({ tier, tierReason, tierHint }: MigrationPlan): void {
  const hint = tierHint === undefined ? "" : ` (to have TimescaleDB: ${tierHint})`;
  tell(tier === "plain" ? `plain tables: ${tierReason}${hint}\n` : `${tierReason}\n`);
}

const SAYS: Readonly<Record<Outcome, string>> = {
  applied: "ran",
  "made again": "made again what was missing:",
  kept: "kept what was changed live:",
  "left behind": "no longer shipped, left in place:",
  dropped: "no longer shipped, dropped:",
};

function printDone(
  { migrations, objects, policies, refreshed }: Migrated,
  json: boolean,
  where: string,
): void {
  if (json) {
    const document = {
      version: VERSION,
      dry_run: false,
      migrations,
      objects: objects.map(({ name }) => name),
      outcomes: Object.fromEntries(objects.map(({ name, outcome }) => [name, outcome])),
      policies,
      refreshed: refreshed ?? null,
    };
    print(JSON.stringify(document) + "\n");
    return;
  }
  const { yellow } = style(Deno.stdout);
  for (const name of migrations) print(`ran sql/${name}\n`);
  for (const { name, outcome } of objects) {
    const line = `${SAYS[outcome]} sql/${name}\n`;
    print(outcome === "applied" ? line : yellow(line));
  }
  for (const line of policies) {
    print(line.includes(": refused") ? yellow(`${line}\n`) : `${line}\n`);
  }
  if (refreshed !== undefined) tell(describeRefresh(refreshed));
  tell(
    `the database at ${where} ${state(migrations.length + objects.length === 0, "is now at")}\n`,
  );
}

function tellChanges(objects: readonly ObjectState[]): void {
  const count = (wanted: ObjectState["state"]) =>
    objects.filter(({ state }) => state === wanted).length;
  const [tuned, drifted] = [count("tuned"), count("drifted")];
  if (tuned + drifted === 0) return;
  const moved = objects.filter(({ hasMovedOn }) => hasMovedOn).length;
  const behind = moved === 0 ? "" : `; of ${moved} the release has another text now`;
  tell(
    `changed live here and kept: ${tuned} tuned, ${drifted} drifted${behind} (p2p-ingest sql diff)\n`,
  );
}

function state(isUpToDate: boolean, otherwise: string): string {
  return `${isUpToDate ? "is already at" : otherwise} version ${VERSION}`;
}
