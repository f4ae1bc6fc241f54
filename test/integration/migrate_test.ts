// `migrate`: any number at once, killed anywhere, never half done.
import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { migrate, type Migrated } from "../../src/database/migrate.ts";
import { planMigration } from "../../src/database/migration_plan.ts";
import { RELEASE, type Release, releaseFor } from "../../src/database/release.ts";
import { ConfigurationError } from "../../src/errors.ts";
import { rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase, tierOfTests } from "../support/database.ts";
import { Program, runProgram } from "../support/program.ts";
import { holdTable, someoneWaits } from "../support/sessions.ts";

/** Everything that migrations make, as one text; times left out. */
function schemaOf(database: Database): Promise<string> {
  return valueOf(
    database,
    `select md5(string_agg(line, e'\\n' order by line)) from (
       select format('%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull) as line
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
       where n.nspname = 'p2p'
       union all
       select pg_get_functiondef(p.oid) from pg_proc p where p.pronamespace = 'p2p'::regnamespace
       union all
       select name || sha256 from p2p.schema_migrations
       union all
       select name || sha256 from p2p.schema_objects
     ) as lines`,
  );
}

const nameOf = (file: { name: string }) => file.name;
const nothing = { migrations: [], objects: [] };
/** What was done of the files. */
const ran = ({ migrations, objects }: Migrated) => ({ migrations, objects });
/** What a database of this server gets of the release. */
const ours = releaseFor(tierOfTests(), RELEASE);

/** A release of this program and a little more. */
function release(change: Partial<Release>): Release {
  return { ...RELEASE, ...change };
}

Deno.test("twenty at once on an empty database end well, with the result of one", async () => {
  await using reference = await testDatabase();
  await using test = await testDatabase("empty");
  await using stack = new AsyncDisposableStack();
  const databases = Array.from(
    { length: 20 },
    () => stack.use(new Database(test.url, { applicationName: "test", connections: 1 })),
  );
  const [plans, processes] = await Promise.all([
    Promise.all(databases.map((database) => migrate(database))),
    Promise.all([1, 2].map(() => runProgram(["migrate", "--json"], { DATABASE_URL: test.url }))),
  ]);
  const documents = processes.map(({ code, stdout, stderr }) => {
    strictEqual(code, 0, stderr);
    return JSON.parse(stdout);
  });
  const files = [
    ...plans.flatMap((plan) => plan.migrations),
    ...documents.flatMap((document) => document.migrations),
  ];
  deepStrictEqual(files.sort(), ours.migrations.map(nameOf).sort(), "each file ran once");
  strictEqual(await schemaOf(test.database), await schemaOf(reference.database));
  deepStrictEqual(ran(await migrate(test.database)), nothing, "a second migrate does nothing");
});

Deno.test("--dry-run lists everything and changes nothing; migrate keeps to schema p2p", async () => {
  await using test = await testDatabase("empty");
  const { database } = test;
  const migrateWith = (...args: string[]) =>
    runProgram(["migrate", ...args], { DATABASE_URL: test.url });
  const objects = (schemas: string) =>
    valueOf(
      database,
      `select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname !~ '^pg_|^information_schema|^_?timescaledb_' and n.nspname ${schemas}`,
    );
  const files = [...ours.migrations, ...ours.objects];

  const dry = await migrateWith("--dry-run");
  strictEqual(dry.code, 0);
  deepStrictEqual(dry.stdout.trim().split("\n"), files.map((file) => `would run sql/${file.name}`));
  match(dry.stderr, /is not yet at version/);
  const sql = await migrateWith("--dry-run", "--sql");
  for (const { name, body } of files) ok(sql.stdout.includes(`-- sql/${name}\n${body}`), name);
  const json = JSON.parse((await migrateWith("--dry-run", "--json")).stdout);
  deepStrictEqual([json.dry_run, json.migrations], [true, ours.migrations.map(nameOf)]);
  strictEqual(await objects("is not null"), "0");

  const real = await migrateWith();
  strictEqual(
    real.stdout.split("\n").filter((line) => line.startsWith("ran sql/")).length,
    files.length,
  );
  strictEqual(await objects("<> 'p2p'"), "0");
  const again = await migrateWith();
  deepStrictEqual([again.code, again.stdout], [0, ""]);
  match(again.stderr, /is already at version/);
});

Deno.test("a database of another encoding is refused before anything is made: UTF8 is needed", async () => {
  await using test = await testDatabase("empty");
  const name = `ascii_${crypto.randomUUID().replaceAll("-", "")}`;
  await test.database.run(
    `create database ${name} encoding 'SQL_ASCII' locale_provider libc locale 'C' template template0`,
    [],
    60,
  );
  {
    const url = Object.assign(new URL(test.url), { pathname: `/${name}` }).href;
    await using ascii = new Database(url, { applicationName: "test", connections: 1 });
    await rejects(migrate(ascii), (error: unknown) => {
      ok(error instanceof ConfigurationError);
      match(error.message, /has the encoding SQL_ASCII; UTF8 is needed/);
      match(error.hint ?? "", /^create database … encoding 'UTF8'/);
      return true;
    });
    strictEqual(await valueOf(ascii, "select to_regnamespace('p2p') is null"), "true");
  }
  await test.database.run(`drop database ${name} with (force)`, [], 60);
});

Deno.test("an edited old migration is refused by its name, and nothing runs", async () => {
  await using test = await testDatabase();
  const before = await schemaOf(test.database);
  const [first, ...others] = RELEASE.migrations;
  const edited = release({
    migrations: [
      { name: first?.name ?? "", body: `${first?.body}\n-- a little better` },
      ...others,
      { name: "migrations/0099_new.sql", body: "create table p2p.new_one (a integer)" },
    ],
  });
  const refusal = {
    name: "ConfigurationError",
    message: /sql\/migrations\/0001\S* was edited after it ran/,
  };
  await rejects(migrate(test.database, edited), refusal);
  await rejects(planMigration(test.database, edited), refusal);
  strictEqual(await schemaOf(test.database), before);
});

Deno.test("functions are applied when their text changed, and only then", async () => {
  await using test = await testDatabase();
  const { database } = test;
  const target = RELEASE.objects.find((file) => file.name === "functions/known_fiats.sql");
  const applied = () =>
    rowsOf(database, "select name, applied_at::text from p2p.schema_objects order by name");
  const before = await applied();
  const changed = release({
    objects: RELEASE.objects.map((file) =>
      file === target ? { ...file, body: `-- changed\n${file.body}` } : file
    ),
  });
  deepStrictEqual((await migrate(database, changed)).objects.map(nameOf), [target?.name]);
  const after = await applied();
  const moved = after.filter((row, i) => row["applied_at"] !== before[i]?.["applied_at"]);
  deepStrictEqual(moved.map((row) => row["name"]), [target?.name]);
  deepStrictEqual(ran(await migrate(database, changed)), nothing);
});

Deno.test("a migration that fails leaves nothing behind and is named; those before it stay", async () => {
  await using test = await testDatabase();
  const { database } = test;
  const failing = release({
    migrations: [
      ...RELEASE.migrations,
      { name: "migrations/0098_good.sql", body: "create table p2p.good (a integer);" },
      {
        name: "migrations/0099_bad.sql",
        body: "create table p2p.half (a integer); insert into p2p.half select 1; select 1 / 0;",
      },
    ],
  });
  await rejects(migrate(database, failing), /0099_bad\.sql: division by zero/);
  const tables = await rowsOf(
    database,
    "select to_regclass('p2p.good') is not null as good, to_regclass('p2p.half') is not null as half",
  );
  deepStrictEqual({ ...tables[0] }, { good: true, half: false });
  const failingObject = release({
    migrations: failing.migrations.slice(0, -1),
    objects: [
      ...RELEASE.objects,
      { name: "views/good_view.sql", body: "create view p2p.good_view as select 1 as a" },
      { name: "views/bad_view.sql", body: "create view p2p.bad_view as select nothing" },
    ],
  });
  await rejects(
    migrate(database, failingObject),
    /sql\/views\/bad_view\.sql: column "nothing" does not/,
  );
  strictEqual(await valueOf(database, "select to_regclass('p2p.good_view')"), "null");
});

Deno.test("a database of a newer program is left alone: exit 78", async () => {
  await using test = await testDatabase();
  const { database } = test;
  await migrate(
    database,
    release({
      version: "99.0.0",
      migrations: [...RELEASE.migrations, { name: "migrations/0099_new.sql", body: "select 1" }],
    }),
  );
  const before = await schemaOf(database);
  for (const command of ["migrate", "once", "status"]) {
    const { code, stderr } = await runProgram([command], { DATABASE_URL: test.url });
    strictEqual(code, 78);
    match(
      stderr,
      /^error: the database is newer than this program \([^)]+\): it was migrated by 99\.0\.0\nhint: /,
    );
  }
  strictEqual(await schemaOf(database), before);
  await rejects(planMigration(database), ConfigurationError);
});

Deno.test("kill -9 in the middle of migrating, then migrate again", async () => {
  await using reference = await testDatabase();
  await using test = await testDatabase("empty");
  const { database } = test;
  await migrate(database, release({ migrations: RELEASE.migrations.slice(0, 1), objects: [] }));
  const lock = await holdTable(test.url, "p2p.dim_markets");
  await using victim = new Program(["migrate"], { DATABASE_URL: test.url });
  await someoneWaits(database);
  victim.kill("SIGKILL");
  await victim.ended;
  strictEqual(await valueOf(database, "select count(*) from p2p.schema_migrations"), "1");
  await lock[Symbol.asyncDispose]();
  const { code, stderr } = await runProgram(["migrate"], { DATABASE_URL: test.url });
  strictEqual(code, 0, stderr);
  strictEqual(await schemaOf(database), await schemaOf(reference.database));
});
