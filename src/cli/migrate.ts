import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { command, constant, flag } from "@optique/core/primitives";
import { migrate, type MigrationPlan, planMigration } from "../database/migrate.ts";
import { EXIT, type ExitCode } from "../errors.ts";
import { VERSION } from "../version.ts";
import { openDatabase, readEnvironment } from "./environment.ts";
import { examples, jsonFlag } from "./help.ts";
import { print, tell } from "./terminal.ts";

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
      message`Runs new migrations once, in order, each in a transaction, and applies functions and views whose text changed. Safe to call at any time, by any number of processes at once. Everything lives in schema p2p.`,
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
  const plan = args.dryRun ? await planMigration(opened.database) : await migrate(opened.database);
  if (args.json) print(JSON.stringify(planDocument(plan, args.dryRun)) + "\n");
  else if (args.dryRun && args.sql) printSql(plan);
  else printPlan(plan, args.dryRun, opened.database.where);
  return EXIT.done;
}

function planDocument(plan: MigrationPlan, isDryRun: boolean): unknown {
  return {
    version: VERSION,
    dry_run: isDryRun,
    migrations: plan.migrations.map((file) => file.name),
    objects: plan.objects.map((file) => file.name),
  };
}

function printPlan(plan: MigrationPlan, isDryRun: boolean, where: string): void {
  const files = [...plan.migrations, ...plan.objects];
  for (const file of files) print(`${isDryRun ? "would run" : "ran"} sql/${file.name}\n`);
  const state = files.length === 0 ? "is already at" : isDryRun ? "is not yet at" : "is now at";
  tell(`the database at ${where} ${state} version ${VERSION}\n`);
}

function printSql(plan: MigrationPlan): void {
  for (const { name, body } of [...plan.migrations, ...plan.objects]) {
    print(`-- sql/${name}\n${body}\n`);
  }
}
