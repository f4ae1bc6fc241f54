/** Former releases of the SQL, as they are in databases out there. */
import { fileURLToPath } from "node:url";
import { RELEASE, type Release, sha256 } from "../../src/database/release.ts";
import type { SqlFile } from "../../src/database/sql_files.ts";
import type { Database } from "../../src/database/connection.ts";

const SECONDS = 60;

export interface FormerRelease extends Release {
  readonly bootstrap: string;
  /** Makes batches with the functions of that time. */
  readonly batches: string;
  /** Names and hashes of its migrations, which are those of today: they are frozen. */
  readonly frozen: ReadonlyMap<string, string>;
}

/** Reads `test/releases/<version>/`. */
export function formerRelease(version: string): FormerRelease {
  const read = (name: string) =>
    Deno.readTextFileSync(
      fileURLToPath(import.meta.resolve(`../releases/${version}/${name}`)),
    );
  const frozen = new Map(
    read("migrations.sha256").trim().split("\n").map((line) => line.split(/\s+/))
      .map(([hash = "", name = ""]) => [name, hash]),
  );
  const objects = filesOf(read("objects.sql"));
  const parts = objects.filter(({ name }) => name.startsWith("bootstrap/"));
  // Until 0.2.0 the bootstrap was one file.
  const isOneFile = parts.length === 0;
  const bootstrap = isOneFile ? read("bootstrap.sql") : parts.map(({ body }) => body).join("\n");
  return {
    version,
    bootstrap,
    batches: read("batch.sql"),
    frozen,
    migrations: RELEASE.migrations.filter(({ name }) => frozen.has(name)),
    objects: [...(isOneFile ? [{ name: "bootstrap.sql", body: bootstrap }] : []), ...objects],
  };
}

/** The files that stand in one file, each below a line with its name. */
function filesOf(text: string): SqlFile[] {
  const [, ...parts] = text.split(/^-- ════ (.*)\n/m);
  return parts.flatMap((name, i) => i % 2 === 0 ? [{ name, body: parts[i + 1] ?? "" }] : []);
}

/** Installs it as its own `migrate` did. */
export async function installRelease(database: Database, release: FormerRelease): Promise<void> {
  await database.runScript(release.bootstrap, SECONDS);
  for (const { name, body } of release.migrations) {
    await database.run(
      "select p2p.apply_migration($1, $2, $3, $4)",
      [name, sha256(body), body, release.version],
      SECONDS,
    );
  }
  const objects = release.objects.map((file) => ({ ...file, sha256: sha256(file.body) }));
  await database.run(
    "select p2p.apply_objects($1::text::jsonb, $2)",
    [JSON.stringify(objects), release.version],
    SECONDS,
  );
}
