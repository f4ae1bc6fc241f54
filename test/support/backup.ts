/** pg_dump and pg_restore, as people make and restore backups. */
import { join } from "node:path";
import { Database } from "../../src/database/connection.ts";
import { adminUrl, serverVersion } from "./database.ts";
import { skipLoudly } from "./embedded.ts";
import { DEBIAN_PROGRAMS } from "./servers.ts";

/** Whether there is a pg_dump here that is as new as the test server: an older one refuses it. Says so where not. */
export async function canDump(): Promise<boolean> {
  await using admin = new Database(adminUrl(), { applicationName: "test", connections: 1 });
  const version = await serverVersion(admin);
  try {
    const { stdout } = await new Deno.Command(join(DEBIAN_PROGRAMS, "pg_dump"), {
      args: ["--version"],
    }).output();
    const major = Number(/\) (\d+)/.exec(new TextDecoder().decode(stdout))?.[1]);
    if (major >= version) return true;
    skipLoudly(`backups of PostgreSQL ${version} (pg_dump here is of version ${major})`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    skipLoudly(`backups (needs pg_dump: apt-get install postgresql-15)`);
  }
  return false;
}

/** A backup in the custom format; `more` are options of pg_dump. */
export async function dump(url: string, file: string, ...more: string[]): Promise<void> {
  await runTool("pg_dump", ["-d", url, "-Fc", "-f", file, ...more]);
}

/** Into a database that is there; stops at the first error. `more` are options of pg_restore. */
export async function restore(file: string, url: string, ...more: string[]): Promise<void> {
  await runTool("pg_restore", ["-d", url, "--exit-on-error", ...more, file]);
}

async function runTool(name: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(join(DEBIAN_PROGRAMS, name), {
    args: [...args],
  }).output();
  // TimescaleDB's own tables point at each other in a circle, of which pg_dump warns.
  const said = new TextDecoder().decode(stderr).replace(
    /^pg_dump: (warning|detail|hint): .*\n/gm,
    "",
  );
  if (!success || said !== "") throw new Error(`${name}: ${said}`);
}

/** Every row of every table of schema p2p, as text, by table. */
export async function contents(database: Database): Promise<Map<string, string[]>> {
  const tables = await database.run(
    "select relname from pg_class where relnamespace = 'p2p'::regnamespace and relkind in ('r', 'p') order by 1",
    [],
    60,
  );
  const found = new Map<string, string[]>();
  for (const { relname } of tables) {
    const rows = await database.run(
      `select to_jsonb(t)::text as row from p2p.${relname} t order by 1`,
      [],
      60,
    );
    found.set(String(relname), rows.map(({ row }) => String(row)));
  }
  return found;
}
