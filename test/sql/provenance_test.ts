import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { changeFunction, PARSER } from "../support/live_functions.ts";
import { searchAnswer, SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const IDENTITY = "function p2p.parse_binance_search_v1(uuid)";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

async function loaded(sql: SqlFixture, at: string): Promise<TestBatch> {
  return await sql.loadBatch(at, { [BUY]: [offer({ id: "1" }), offer({ id: "2" })] });
}

const history = (sql: SqlFixture, identity = IDENTITY) =>
  sql.rows(
    `select state, to_char(first_batch at time zone 'UTC', 'HH24:MI') as first, to_char(last_batch at time zone 'UTC', 'HH24:MI') as last,
       loads::integer, batches::integer
     from p2p.sql_history where identity = $1`,
    identity,
  );
const definition = (sql: SqlFixture, batch: TestBatch) =>
  sql.value(
    "select definition from p2p.batch_sql where batch_id = $1 and identity = $2",
    batch.id,
    IDENTITY,
  );

Deno.test("a changed function is another version; the batches before keep theirs", async () => {
  await using sql = await SqlFixture.create();
  const first = await loaded(sql, "2026-03-01 10:00+00");
  const second = await loaded(sql, "2026-03-01 10:10+00");
  assert.deepEqual(await history(sql), [
    { state: "shipped", first: "10:00", last: "10:10", loads: 2, batches: 2 },
  ]);
  assert.equal(await sql.value("select count(*)::integer from p2p.sql_sets"), 1);

  await changeFunction(sql.database, PARSER, "i.adv ->> 'price' as", "'77' as");
  const third = await loaded(sql, "2026-03-01 10:20+00");
  assert.deepEqual(await history(sql), [
    { state: "shipped", first: "10:00", last: "10:10", loads: 2, batches: 2 },
    { state: "drifted", first: "10:20", last: "10:20", loads: 1, batches: 1 },
  ]);
  assert.match(String(await definition(sql, second)), /i\.adv ->> 'price' as/);
  assert.match(String(await definition(sql, third)), /'77' as/);
  assert.deepEqual(
    await history(sql, "function p2p.load_offers(uuid)"),
    [{ state: "shipped", first: "10:00", last: "10:20", loads: 3, batches: 3 }],
    "what did not change is one version",
  );

  await first.load();
  assert.deepEqual(
    (await history(sql)).map(({ first, last, loads, batches }) => [first, last, loads, batches]),
    [["10:00", "10:10", 2, 1], ["10:00", "10:20", 2, 2]],
    "a batch that was loaded again is of the new version",
  );
  assert.match(String(await definition(sql, first)), /'77' as/);
  assert.equal(
    await sql.value(
      "select offers_changed from p2p.ops_batch_loads where batch_id = $1 and load_number = 2",
      first.id,
    ),
    2,
  );
  const before = await sql.dump();
  await first.load();
  assert.deepEqual(await sql.dump(), before, "a second call changes no row");
});

Deno.test("a recorded version brings the function back, and the set is the former one", async () => {
  await using sql = await SqlFixture.create();
  const first = await loaded(sql, "2026-03-01 10:00+00");
  await changeFunction(sql.database, PARSER, "i.adv ->> 'price' as", "'77' as");
  await sql.rows("comment on function p2p.parse_binance_search_v1(uuid) is 'It''s mine'");
  await loaded(sql, "2026-03-01 10:10+00");
  const text = await definition(sql, first);
  await sql.database.runScript(String(text), 20);
  await loaded(sql, "2026-03-01 10:20+00");
  assert.deepEqual(
    await sql.values(
      "select sql_set_id - min(sql_set_id) over () from p2p.ops_batch_loads order by loaded_at",
    ),
    [0, 1, 0],
  );
});

Deno.test("every recorded text can be run, and its fingerprint is its SHA-256", async () => {
  await using sql = await SqlFixture.create();
  await loaded(sql, "2026-03-01 10:00+00");
  const versions = await sql.rows("select identity, definition, fingerprint from p2p.sql_versions");
  assert.ok(versions.length > 30);
  for (const { identity, definition, fingerprint } of versions) {
    assert.equal(fingerprint, sha256(String(definition)), String(identity));
    if (String(identity).startsWith("function ")) {
      await sql.database.runScript(`set search_path = pg_catalog;\n${definition}`, 20);
    }
  }
  await sql.database.runScript("reset search_path", 20);
  const sets = "select count(*)::integer from p2p.sql_sets";
  await loaded(sql, "2026-03-01 10:10+00");
  assert.equal(await sql.value(sets), 1, "running them changed nothing");
});

Deno.test("rows that decide what is done, comments and functions of a DBA's own schema belong to the SQL", async () => {
  await using sql = await SqlFixture.create();
  await sql.database.runScript(
    `create schema my;
     create function my.nothing(uuid) returns void language sql as '';
     create function my.unused(uuid) returns void language sql as '';
     grant usage on schema my to p2p_worker`,
    20,
  );
  const setOf = async (at: string) => {
    const { id } = await loaded(sql, at);
    return await sql.value("select sql_set_id from p2p.ops_batch_loads where batch_id = $1", id);
  };
  const sets = [await setOf("2026-03-01 10:00+00")];
  let minute = 1;
  for (
    const change of [
      "insert into p2p.pipeline_steps (name, position, function, comment) values ('nothing', 75, 'my.nothing', '')",
      "create or replace function my.nothing(uuid) returns void language sql as 'select'",
      "update p2p.pipeline_steps set is_enabled = false where name = 'nothing'",
      "update p2p.pipeline_steps set position = 999 where name = 'run_quality_checks'",
      "comment on function p2p.load_offers(uuid) is 'Mine'",
    ]
  ) {
    await sql.rows(change);
    sets.push(await setOf(`2026-03-01 10:0${minute++}+00`));
  }
  // Switched off again, the step and its function are out: the first set.
  const [s0, s1, s2, s3, s4, s5] = sets;
  assert.equal(s3, s0);
  assert.equal(new Set([s0, s1, s2, s4, s5]).size, 5);
  assert.deepEqual(
    (await sql.values("select distinct identity from p2p.sql_history where identity !~ ' p2p\\.' "))
      .sort(),
    ["function my.nothing(uuid)"],
  );
  assert.match(
    String(
      await sql.value(
        "select definition from p2p.sql_versions where identity = 'rows of p2p.pipeline_steps' and definition ~ 'nothing'",
      ),
    ),
    /^10 parse_pages p2p\.parse_pages required\n[^]*\n75 nothing my\.nothing optional\n[^]*run_quality_checks optional\n1100 apply_retention p2p\.apply_retention optional$/,
  );
});

Deno.test("rules in force, and their functions wherever they are, belong to the SQL; pausing does not", async () => {
  await using sql = await SqlFixture.create();
  await sql.database.runScript(
    `create schema my;
     create function my.rule(uuid) returns p2p.rule_finding language sql as 'select 0, null::jsonb';
     create function my.off(uuid) returns p2p.rule_finding language sql as 'select 0, null::jsonb';
     update p2p.quality_rules set is_enabled = false;
     insert into p2p.quality_rules (name, function, severity, is_bad_when, error_threshold, is_enabled, comment)
     values ('r', 'my.rule', 'error', 'above', 1, true, 'not this'), ('o', 'my.off', 'error', 'above', 1, false, 'off')`,
    20,
  );
  const rows = await sql.rows(
    "select identity, state, definition from p2p.current_sql() where identity ~ '^rows of p2p.q|my\\.'",
  );
  assert.deepEqual(rows.map(({ identity, state }) => [identity, state]), [
    ["function my.rule(uuid)", "own"],
    ["rows of p2p.quality_rules", "own"],
  ]);
  assert.deepEqual(JSON.parse(String(rows[1]?.["definition"])), {
    name: "r",
    function: "my.rule",
    severity: "error",
    is_bad_when: "above",
    warning_threshold: null,
    error_threshold: 1,
    is_enabled: true,
  });
  const fingerprint = () => sql.value("select p2p.sql_fingerprint()");
  const before = await fingerprint();
  await sql.rows("update p2p.settings set value = 'on' where name = 'paused'");
  assert.equal(await fingerprint(), before);
  await sql.rows("update p2p.quality_rules set error_threshold = 2 where name = 'r'");
  assert.notEqual(await fingerprint(), before);
});

Deno.test("from a row of a book a query leads to all its pages and the SQL that counted them", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ at: "2026-03-01 10:00+00", markets: [BUY] });
  await batch.page(BUY, [offer({ id: "1" })], { last: false });
  await batch.page(BUY, [offer({ id: "2" })], { page: 2 });
  await batch.load();
  const row = await sql.row(
    `select o.crypto_symbol, o.trade_type, o.pages::integer, o.load_number, o.depth_state,
       to_jsonb(o.body_sha256) = (select jsonb_agg(encode(s.body_sha256, 'hex') order by s.page_number) from p2p.stg_responses s) as is_of_pages,
       o.depth_fingerprint = left(b.fingerprint, 12) as is_of_sql
     from p2p.depth_origin o
     join p2p.batch_sql b on b.batch_id = o.batch_id and b.identity = 'function p2p.load_depth(uuid)'`,
  );
  assert.deepEqual(row, {
    crypto_symbol: "USDT",
    trade_type: "BUY",
    pages: 2,
    load_number: 1,
    depth_state: "shipped",
    is_of_pages: true,
    is_of_sql: true,
  });
});

Deno.test("from any offer a query leads to its page and the SQL that read it", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ at: "2026-03-01 10:00+00", markets: [BUY, "VES/B SELL"] });
  const text = searchAnswer(BUY, [offer({ id: "3" })]);
  await batch.page(BUY, [offer({ id: "1" }), offer({ id: "2" })], { last: false });
  await batch.body(BUY, text, { page: 2 });
  await batch.page("VES/B SELL", [offer({ id: "4" })]);
  await batch.load();
  const [parser] = await sql.values(
    "select left(fingerprint, 12) from p2p.batch_sql where identity = $1",
    IDENTITY,
  );
  assert.deepEqual(
    await sql.row(
      `select fiat_code, crypto_symbol, trade_type, page_number, observed_at, body_sha256, parser, load_number, parser_fingerprint,
         parser_state, length(set_fingerprint) as set_length
       from p2p.offer_origin where offer_external_id = '3'`,
    ),
    {
      fiat_code: "VES",
      crypto_symbol: "USDT",
      trade_type: "BUY",
      page_number: 2,
      observed_at: new Date("2026-03-01T10:00:02Z"),
      body_sha256: sha256(text),
      parser: "binance_search_v1",
      load_number: 1,
      parser_fingerprint: parser,
      parser_state: "shipped",
      set_length: 12,
    },
  );
  // The item itself, by the key that offer_origin gives.
  assert.equal(
    await sql.value(
      `select jsonb_path_query_first(s.body, '$.data[*] ? (@.adv.advNo == $id)', jsonb_build_object('id', o.offer_external_id)) #>> '{adv,advNo}'
       from p2p.offer_origin o
       join p2p.stg_responses s using (extraction_timestamp, market_id, page_number)
       where o.offer_external_id = '4'`,
    ),
    "4",
  );

  await changeFunction(sql.database, "load_offers", "c.price,", "c.price * 2,");
  await batch.load();
  await batch.load();
  await sql.rows("delete from p2p.stg_responses where page_number = 2");
  assert.deepEqual(
    await sql.rows(
      "select load_number, body_sha256 is null as page_is_gone from p2p.offer_origin order by offer_external_id",
    ),
    [1, 2, 3, 4].map((id) => ({ load_number: 2, page_is_gone: id === 3 })),
    "each offer once, with the load that made it what it is",
  );
});

const check = (sql: SqlFixture, since = "-infinity", until = "infinity") =>
  sql.work(
    `select pages_checked::integer as checked, pages_without_checksum::integer as without, pages_damaged::integer as damaged, damaged_pages as pages
     from p2p.check_pages($1::text::timestamptz, $2::text::timestamptz)`,
    since,
    until,
  );

Deno.test("a page that was altered in the database is found", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ at: "2026-03-01 10:00+00", markets: [BUY] });
  const items = Array.from({ length: 20 }, (_, i) => offer({ price: "36.50", id: `${i}` }));
  await batch.page(BUY, items, { last: false });
  await batch.page(BUY, [offer()], { page: 2, last: false });
  await batch.body(BUY, `{"data": [}`, { page: 3, last: false });
  await batch.body(BUY, `{"data": [], "x": "\\u0000", "n": 1.50}`, { page: 4 });
  await batch.load();
  assert.deepEqual(await check(sql), { checked: 4, without: 0, damaged: 0, pages: [] });

  // The same change everywhere, which jsonb_hash_extended is partly blind to.
  await sql.rows(
    `update p2p.stg_responses set body = replace(body::text, '"isTradable": true', '"isTradable": false')::jsonb where page_number = 1`,
  );
  await sql.rows("update p2p.stg_responses set stored_sha256 = null where page_number = 2");
  await sql.rows("update p2p.stg_responses set body_original = '{' where page_number = 3");
  await sql.rows(
    `update p2p.stg_responses set body = replace(body::text, '1.50', '1.5')::jsonb where page_number = 4`,
  );
  const found = await check(sql);
  assert.deepEqual([found["checked"], found["without"], found["damaged"]], [3, 1, 3]);
  const pages = found["pages"] as Record<string, unknown>[];
  assert.deepEqual(pages.map(({ page_number, differs }) => [page_number, differs]), [
    [1, ["body"]],
    [3, ["body_original"]],
    [4, ["body"]],
  ]);
  assert.deepEqual(pages[0], {
    batch_id: batch.id,
    extraction_timestamp: "2026-03-01T10:00:00+00:00",
    market_id: batch.market(BUY),
    page_number: 1,
    differs: ["body"],
  });
  assert.deepEqual(await check(sql, "2026-03-01 10:00:01+00"), {
    checked: 0,
    without: 0,
    damaged: 0,
    pages: [],
  });
  assert.equal((await check(sql, "2026-03-01 10:00+00"))["damaged"], 3);
  assert.equal((await check(sql, "-infinity", "2026-03-01 10:00+00"))["damaged"], 0);
});

Deno.test("a function that is replaced while a batch is loaded: replay takes the batch again", async () => {
  await using sql = await SqlFixture.create();
  // A DBA who commits between two steps: here a step of the owner does it.
  await sql.database.runScript(
    `create function public.meanwhile(p_batch_id uuid) returns void language plpgsql as $$
       begin alter function p2p.load_depth(uuid) cost 77; end $$;
     insert into p2p.pipeline_steps (name, position, function, is_required, comment)
     values ('meanwhile', 500, 'public.meanwhile', true, 'a test')`,
    20,
  );
  const batch = await sql.openBatch({ markets: ["VES/USDT BUY"] });
  await batch.page("VES/USDT BUY", [offer({ id: "1" })]);
  const stateOfDepth = () =>
    sql.value(
      "select state from p2p.batch_sql where batch_id = $1 and identity = 'function p2p.load_depth(uuid)'",
      batch.id,
    );
  const isCurrent = () => sql.value("select is_current from p2p.replayable_batches(p_last => 1)");
  const load = () => sql.rows("select p2p.load_batch($1)", batch.id);
  await load();
  assert.deepEqual([await stateOfDepth(), await isCurrent()], ["shipped", false]);
  await load();
  assert.deepEqual([await stateOfDepth(), await isCurrent()], ["drifted", true]);
});
