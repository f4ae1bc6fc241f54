import { Database } from "../../src/database/connection.ts";

/** A migrated database that nobody has written to; every test file gets copies of it. */
export const TEMPLATE = "p2p_template";

/** Logins that have nothing but the role of the same name; test/run.ts makes them. */
export const LOGINS = { worker: "test_worker", reader: "test_reader" } as const;
export const LOGIN_PASSWORD = "test";

/** Names the extension that every test database has, if any; set by test/run.ts. */
export const EXTENSION = "TEST_DATABASE_EXTENSION";

/** Whether the test server is one with TimescaleDB. */
export function isTimescale(): boolean {
  return Deno.env.get(EXTENSION) === "timescaledb";
}

export interface TestDatabase extends AsyncDisposable {
  readonly database: Database;
  /** As the owner of schema p2p. */
  readonly url: string;
}

/** The same database, as a login of role p2p_worker or p2p_reader. */
export function urlAs(role: keyof typeof LOGINS, url: string): string {
  const other = new URL(url);
  other.username = LOGINS[role];
  other.password = LOGIN_PASSWORD;
  return other.href;
}

/** The tier of the databases that `testDatabase` makes. */
export const tierOfTests = (): "plain" | "timescaledb" => isTimescale() ? "timescaledb" : "plain";

/**
 * A database of its own for a test (file): copied from the template; empty but for the extension of the server; or bare.
 * Its server is started by test/run.ts: `deno task test`.
 */
export async function testDatabase(
  from: "migrated" | "empty" | "bare" = "migrated",
): Promise<TestDatabase> {
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  await administer(
    `create database ${name}` +
      (from === "migrated" ? ` template ${TEMPLATE}` : " template template0") +
      " strategy file_copy",
  );
  const url = urlOf(name);
  const database = new Database(url, { applicationName: "test" });
  if (from === "empty" && isTimescale()) {
    await database.run("create extension timescaledb schema public", [], 60);
  }
  return {
    database,
    url,
    [Symbol.asyncDispose]: async () => {
      await database[Symbol.asyncDispose]();
      await noteCalledFunctions(url);
      // Not `with (force)`: that wants to end autovacuum itself, which only a superuser may; a plain drop asks it to go.
      await administer(
        `select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '${name}' and usename = current_user`,
      );
      await administer(`drop database ${name}`);
    },
  };
}

/** The test server, as a user who may create databases. */
export function adminUrl(): string {
  const url = Deno.env.get("TEST_DATABASE_ADMIN_URL");
  if (url === undefined) {
    throw new Error("no test server: run `deno task test [files]`, not `deno test`");
  }
  return url;
}

export function urlOf(database: string): string {
  const url = new URL(adminUrl());
  url.pathname = `/${database}`;
  return url.href;
}

async function administer(statement: string): Promise<void> {
  await using admin = new Database(adminUrl(), { applicationName: "test admin", connections: 1 });
  await admin.run(statement, [], 60);
}

/** The major version of the test server, e.g. 15. */
export async function serverVersion(database: Database): Promise<number> {
  const [row] = await database.run(
    "select current_setting('server_version_num')::integer / 10000 as version",
    [],
    60,
  );
  return Number(row?.["version"]);
}

/** Names a file; set by test/run.ts on servers that count calls of functions. */
export const CALLED_FUNCTIONS = "TEST_CALLED_FUNCTIONS";

/** Adds the functions of schema p2p that were called in this database to the file. */
async function noteCalledFunctions(url: string): Promise<void> {
  const file = Deno.env.get(CALLED_FUNCTIONS);
  if (file === undefined) return;
  await using database = new Database(url, { applicationName: "test", connections: 1 });
  const rows = await database.run(
    "select distinct funcname from pg_stat_user_functions where schemaname = 'p2p'",
    [],
    60,
  );
  const names = rows.map(({ funcname }) => `${funcname}\n`).join("");
  await Deno.writeTextFile(file, names, { append: true });
}
