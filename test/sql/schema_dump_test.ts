import assert from "node:assert/strict";
import { dumpSchema, SCHEMA_FILE } from "../support/schema_dump.ts";
import { isTimescale, serverVersion, testDatabase } from "../support/database.ts";

Deno.test("sql/schema.sql is the schema that migrate leaves in PostgreSQL 15", async () => {
  await using test = await testDatabase();
  // The dump of another version words some things otherwise; test/run.ts says it where 15 is missing.
  if (await serverVersion(test.database) !== 15 || isTimescale()) return;
  assert.deepEqual(
    (await dumpSchema(test.url)).split("\n"),
    Deno.readTextFileSync(SCHEMA_FILE).split("\n"),
    "sql/schema.sql is out of date; write it anew with: deno task schema",
  );
});
