// What a dry run leaves behind, and what it refuses.
import assert from "node:assert/strict";
import postgres from "postgres";
import { changedFunction, PRICE } from "../support/live_functions.ts";
import { BUY, counts, oneBatch, preview, traces } from "../support/preview.ts";
import { SqlFixture } from "../support/sql_fixture.ts";

Deno.test("errors of a candidate come as they are, and nothing stays", async (t) => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const before = await traces(sql);
  const attempt = async (candidate: string): Promise<postgres.PostgresError> => {
    const error = await preview(sql, [batch], candidate).then(() => undefined, (e) => e);
    assert.ok(error instanceof postgres.PostgresError, String(error));
    return error;
  };
  const text = (error: postgres.PostgresError, name: string) =>
    String(error[name as keyof postgres.PostgresError]);

  await t.step("syntax: with its position", async () => {
    const candidate = "select 1;\ncreate or replae function f() returns integer";
    const error = await attempt(candidate);
    assert.equal(error.code, "42601");
    assert.equal(text(error, "internal_query"), candidate);
    assert.equal(text(error, "internal_position"), "21");
  });
  await t.step("a required step that raises: with its context", async () => {
    const candidate = await changedFunction(
      sql.database,
      "load_depth",
      "begin\n",
      "begin perform 1 / 0;\n",
    );
    await assert.rejects(
      preview(sql, [batch], candidate),
      /step load_depth failed: division by zero; in load_depth\(uuid\) line \d+ at PERFORM/,
    );
  });
  await t.step("an optional step that raises is part of the report", async () => {
    const candidate = await changedFunction(
      sql.database,
      "watch_shapes",
      "begin\n",
      "begin perform 1 / 0;\n",
    );
    const report = await preview(sql, [batch], candidate);
    assert.deepEqual(counts(report), { "ops_batch_steps appears": 1 });
    assert.match(JSON.stringify([...report.values()]), /division by zero/);
  });
  await t.step("transaction control", async () => {
    for (const candidate of ["commit", "begin; select 1", "rollback", "savepoint s"]) {
      assert.equal((await attempt(candidate)).code, "0A000");
    }
    assert.equal((await attempt("do $$ begin commit; end $$")).code, "2D000");
  });
  await t.step("setval, which no rollback takes back", async () => {
    await assert.rejects(
      preview(sql, [batch], "select pg_catalog.SETVAL ('p2p.ops_data_quality_quality_id_seq', 1)"),
      /setval\(\) stays although a dry run is undone/,
    );
  });
  await t.step("even the code that ends the dry run itself", async () => {
    assert.match(
      (await attempt("do $$ begin raise 'mine' using errcode = 'P2P09'; end $$")).message,
      /mine/,
    );
  });
  assert.deepEqual(await traces(sql), before);
});

Deno.test("names without a schema are those of the caller, as when the file is installed with psql", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const shipped = String(
    await sql.value(
      "select body from p2p.schema_objects where name = 'functions/parse_binance_search_v1.sql'",
    ),
  );
  const candidate = shipped.replace(PRICE, "'9' as price");
  const unqualified = candidate.replaceAll("function p2p.parse_", "function parse_");
  const session = postgres(sql.url, { max: 1, connection: { search_path: "public" } });
  try {
    const ask = (text: string) =>
      session`select * from p2p.preview_load(array[${batch.id}::uuid], ${text})`;
    assert.equal((await ask(unqualified)).length, 0);
    assert.ok((await ask(candidate)).length > 0);
    assert.equal((await session`show search_path`)[0]?.["search_path"], "public");
  } finally {
    await session.end({ timeout: 1 });
  }
});

Deno.test("nobody is told of a load that did not happen", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const listener = postgres(sql.url, { max: 1, fetch_types: false });
  const heard: string[] = [];
  try {
    await listener.listen("p2p_batch", (text) => heard.push(text));
    await preview(
      sql,
      [batch],
      await changedFunction(
        sql.database,
        "announce_batch",
        "'p2p_batch',",
        "'p2p_batch', 'from a dry run ' ||",
      ),
    );
    await sql.rows("select pg_notify('p2p_batch', 'the end')");
    while (!heard.includes("the end")) await listener`select 1`;
  } finally {
    await listener.end({ timeout: 1 });
  }
  assert.deepEqual(heard, ["the end"]);
});

Deno.test("a running, an unknown and an emptied batch are refused", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  await assert.rejects(
    sql.rows("select * from p2p.preview_load(array[gen_random_uuid()])"),
    /there is no batch/,
  );
  await sql.rows("delete from p2p.stg_responses");
  await assert.rejects(preview(sql, [batch]), /raw pages of batch .* are gone: 0 of 2 are left/);
  const running = await sql.openBatch({ markets: [BUY] });
  await assert.rejects(preview(sql, [running]), /batch .* is running/);
  assert.equal((await running.ledger(BUY))["status"], "fetching");
});

Deno.test("a worker may ask, but not with a candidate that replaces a function", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const ask = (candidate: string | null) =>
    sql.work("select count(*) from p2p.preview_load(array[$1::uuid], $2)", batch.id, candidate);
  assert.equal((await ask(null))["count"], "0");
  const candidate = await changedFunction(sql.database, "load_depth", "begin\n", "begin null;\n");
  await assert.rejects(ask(candidate), /must be owner of function load_depth|permission denied/);
});
