// Each file test/sql/*.sql is a test: one script, in a database of its own, that raises when something is wrong.
import postgres from "postgres";
import { testDatabase } from "../support/database.ts";

const HERE = new URL("./", import.meta.url);
const PRELUDE = Deno.readTextFileSync(new URL("../support/sql_prelude.sql", import.meta.url));
const SECONDS = 120;

const names = [...Deno.readDirSync(HERE)].map(({ name }) => name)
  .filter((name) => name.endsWith(".sql"))
  .sort();

for (const name of names) {
  Deno.test(name, async () => {
    await using test = await testDatabase();
    await test.database.runScript(PRELUDE, SECONDS);
    try {
      await test.database.runScript(Deno.readTextFileSync(new URL(name, HERE)), SECONDS);
    } catch (error) {
      const { cause = error } = error as Error;
      if (!(cause instanceof postgres.PostgresError)) throw error;
      throw new Error(`test/sql/${name}: ${cause.message}\n${cause.where ?? ""}`);
    }
  });
}
