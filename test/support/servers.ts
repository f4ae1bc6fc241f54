import { join } from "node:path";
import { Database } from "../../src/database/connection.ts";
import { openCluster } from "../../src/embedded/cluster.ts";
import { migrate } from "../../src/database/migrate.ts";
import { LOGIN_PASSWORD, LOGINS, TEMPLATE } from "./database.ts";
import { freePort } from "./ports.ts";

/** A PostgreSQL that tests may fill and break. */
export interface TestServer extends AsyncDisposable {
  readonly title: string;
  readonly adminUrl: string;
  /** What every test database has beside the schema. */
  readonly extension?: string;
}

/** The PostgreSQL that the project brings along. */
export async function embeddedServer(folder: string): Promise<TestServer> {
  const cluster = await openCluster({
    dataDir: join(folder, "embedded"),
    purpose: "test",
    durable: false,
  });
  return {
    title: "embedded PostgreSQL",
    adminUrl: cluster.url,
    [Symbol.asyncDispose]: () => cluster.close(),
  };
}

/** Makes the database that `testDatabase` copies, and the logins of LOGINS. */
export async function makeTemplate(server: TestServer): Promise<void> {
  await using admin = new Database(server.adminUrl, { applicationName: "test", connections: 1 });
  await admin.run(`create database ${TEMPLATE} template template0`, [], 60);
  const templateUrl = new URL(server.adminUrl);
  templateUrl.pathname = `/${TEMPLATE}`;
  {
    await using template = new Database(templateUrl.href, {
      applicationName: "test",
      connections: 1,
    });
    if (server.extension !== undefined) {
      await template.run(`create extension ${server.extension} schema public`, [], 60);
    }
    await migrate(template);
    for (const [role, login] of Object.entries(LOGINS)) {
      await template.run(
        `create role ${login} login password '${LOGIN_PASSWORD}' in role p2p_${role}`,
        [],
        60,
      );
    }
  }
}

/** An embedded server for a program that is no test but uses `testDatabase`. */
export async function startTestServer(folder: string): Promise<TestServer> {
  const server = await embeddedServer(folder);
  await makeTemplate(server);
  Deno.env.set("TEST_DATABASE_ADMIN_URL", server.adminUrl);
  return server;
}

export const DEBIAN_PROGRAMS = "/usr/lib/postgresql/15/bin";

/**
 * Debian's PostgreSQL 15, the oldest that is supported; undefined where it is not installed.
 * @param more options for the server, e.g. `-c work_mem=1MB`
 */
export async function debianServer(folder: string, more = ""): Promise<TestServer | undefined> {
  try {
    await Deno.stat(join(DEBIAN_PROGRAMS, "postgres"));
  } catch {
    return undefined;
  }
  const home = join(folder, "debian");
  const data = join(home, "data");
  const port = freePort();
  await Deno.mkdir(home);

  const account = Deno.uid() === 0 ? await accountOf("postgres") : undefined;
  if (account !== undefined) await Deno.chown(home, account.uid, account.gid);
  const command = async (program: string, ...args: string[]) => {
    const { success, stderr } = await new Deno.Command(join(DEBIAN_PROGRAMS, program), {
      args,
      cwd: home,
      stdout: "null",
      stderr: "piped",
      ...account,
    }).output();
    if (!success) throw new Error(`${program}: ${new TextDecoder().decode(stderr)}`);
  };
  await command("initdb", "-D", data, "-U", "p2p", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8");
  const settings =
    `-p ${port} -k ${home} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c max_connections=100 -c track_functions=all -c jit=off ${more}`;
  await command("pg_ctl", "-D", data, "-w", "-l", join(home, "log"), "-o", settings, "start");
  return {
    title: "Debian's PostgreSQL 15",
    adminUrl: `postgresql://p2p@127.0.0.1:${port}/postgres`,
    [Symbol.asyncDispose]: () => command("pg_ctl", "-D", data, "-m", "immediate", "stop"),
  };
}

/**
 * A TimescaleDB that somebody runs for tests: TEST_TIMESCALE_URL, as a user who may create databases and roles. With
 * `timescaledb.max_background_workers=0`, so that no job runs between the steps of a test, and none is connected to a
 * database that is copied or dropped. Undefined where the variable is not set.
 */
export async function timescaleServer(): Promise<TestServer | undefined> {
  const adminUrl = Deno.env.get("TEST_TIMESCALE_URL");
  if (adminUrl === undefined || adminUrl === "") return undefined;
  await using admin = new Database(adminUrl, { applicationName: "test", connections: 1 });
  const [row] = await admin.run(
    `select default_version as version, current_setting('timescaledb.max_background_workers', true) as workers,
       current_setting('server_version') as server
     from pg_available_extensions where name = 'timescaledb'`,
    [],
    60,
  );
  if (row?.["workers"] !== "0") {
    throw new Error(
      `TEST_TIMESCALE_URL: ${
        row === undefined
          ? "that server has no TimescaleDB"
          : "start that server with timescaledb.max_background_workers=0"
      }`,
    );
  }
  return {
    title: `TimescaleDB ${row["version"]} on PostgreSQL ${row["server"]}`,
    adminUrl,
    extension: "timescaledb",
    // Whose server it is keeps nothing of ours.
    [Symbol.asyncDispose]: async () => {
      await using last = new Database(adminUrl, { applicationName: "test", connections: 1 });
      await last.run(`drop database if exists ${TEMPLATE}`, [], 60);
      for (const login of Object.values(LOGINS)) {
        await last.run(`drop role if exists ${login}`, [], 60);
      }
    },
  };
}

async function accountOf(name: string): Promise<{ uid: number; gid: number }> {
  const line = (await Deno.readTextFile("/etc/passwd")).split("\n").find((entry) =>
    entry.startsWith(`${name}:`)
  );
  const [, , uid, gid] = line?.split(":") ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}
