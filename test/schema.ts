// deno-lint-ignore-file no-console
// `deno task schema`: migrates an empty database of Debian's PostgreSQL 15 and writes its schema to sql/schema.sql.
import { Database } from "../src/database/connection.ts";
import { migrate } from "../src/database/migrate.ts";
import { configureLog } from "../src/log.ts";
import { dumpSchema, SCHEMA_FILE } from "./support/schema_dump.ts";
import { debianServer } from "./support/servers.ts";

await configureLog("warning", "text");
const folder = await Deno.makeTempDir({ prefix: "p2p-schema-" });
await Deno.chmod(folder, 0o755); // the server runs as another user when we are root
try {
  await using server = await debianServer(folder);
  if (server === undefined) {
    console.error("PostgreSQL 15 is missing: apt-get install postgresql-15");
    Deno.exit(1);
  }
  {
    await using database = new Database(server.adminUrl, {
      applicationName: "schema",
      connections: 1,
    });
    await migrate(database);
  }
  await Deno.writeTextFile(SCHEMA_FILE, await dumpSchema(server.adminUrl));
} finally {
  await Deno.remove(folder, { recursive: true });
}
console.log("sql/schema.sql is written");
