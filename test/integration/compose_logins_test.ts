// The logins that compose.yaml makes.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Database } from "../../src/database/connection.ts";
import { rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase } from "../support/database.ts";
import { skipLoudly } from "../support/embedded.ts";

const SCRIPT = fileURLToPath(import.meta.resolve("../../deploy/compose/logins.sql"));

Deno.test("logins.sql makes a worker and a reader with the passwords of the files; again, it only sets the passwords", async () => {
  await using test = await testDatabase();
  const folder = await Deno.makeTempDir({ prefix: "p2p-logins-" });
  const run = async (worker: string): Promise<string | undefined> => {
    await Deno.writeTextFile(`${folder}/worker_password`, `${worker}\n`);
    await Deno.writeTextFile(`${folder}/reader_password`, "r1\n");
    const { code, stderr } = await new Deno.Command("psql", {
      args: ["-X", "-q", "-d", test.url, "-v", `secrets=${folder}`, "-f", SCRIPT],
      stdout: "null",
    }).output();
    return code === 0 ? undefined : new TextDecoder().decode(stderr);
  };
  const as = async <T>(
    login: string,
    password: string,
    work: (database: Database) => Promise<T>,
  ): Promise<T> => {
    const url = new URL(test.url);
    url.username = login;
    url.password = password;
    await using database = new Database(url.href, { applicationName: "test", connections: 1 });
    return await work(database);
  };
  try {
    assert.equal(await run("w1"), undefined);
    assert.equal(await run("w2's"), undefined);
    const mayLoad = "select has_function_privilege('p2p.load_batch(uuid)', 'execute')";
    assert.equal(await as("p2p_ingest", "w2's", (database) => valueOf(database, mayLoad)), "true");
    await assert.rejects(as("p2p_ingest", "w1", (database) => valueOf(database, "select 1")));
    await as("p2p_grafana", "r1", async (database) => {
      await rowsOf(database, "select * from p2p.freshness");
      assert.equal(await valueOf(database, mayLoad), "false");
      assert.equal(await valueOf(database, "show statement_timeout"), "30s");
    });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return skipLoudly("logins.sql (needs psql)");
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true });
    await rowsOf(test.database, "drop role if exists p2p_ingest, p2p_grafana");
  }
});
