// import: what is there already, and what is not to be there any more.
import assert from "node:assert/strict";
import { historyOf } from "../support/facts.ts";
import {
  BUY,
  Folder,
  imported,
  importing,
  page,
  recorded,
  SELL,
  someHistory,
} from "../support/recordings.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { type Item, offer } from "../support/sql_offer.ts";

const WAYS = ["together", "one by one", "the last one first"];

Deno.test("a repeated import changes no row; order, files, overlap and windows of lines change nothing", async () => {
  await using folder = await Folder.create();
  const lines = someHistory();
  await using first = await SqlFixture.create();
  const file = await folder.file("a.jsonl", lines);
  await imported(first, [file]);
  const before = await first.dump();
  const told = await imported(first, [file]);
  assert.deepEqual([told["pages_stored"], told["pages_there"]], [0, 8]);
  assert.deepEqual(await first.dump(), before);
  assert.ok(before.has("stg_import_pages") && before.get("stg_import_pages")?.length === 0);

  const history = await historyOf(first);
  const shuffles: (readonly (readonly string[])[])[] = [
    [lines.toReversed()],
    [lines.slice(0, 5), lines.slice(3)],
    [lines.filter((_, i) => i % 2 === 0), lines.filter((_, i) => i % 2 === 1).toReversed()],
    [[...lines, ...lines]],
  ];
  for (const [number, parts] of shuffles.entries()) {
    // In one call, and file after file: batches come late then, and pages are added to batches that are there.
    for (const way of parts.length === 1 ? WAYS.slice(0, 1) : WAYS.slice(number - 1)) {
      await using sql = await SqlFixture.create();
      const files: string[] = [];
      for (const [i, part] of parts.entries()) {
        files.push(await folder.file(`${number}${i}.jsonl`, part));
      }
      if (way === "together") await imported(sql, files);
      for (
        const file of way === "together" ? [] : way === "one by one" ? files : files.toReversed()
      ) {
        await imported(sql, [file]);
      }
      assert.deepEqual(await historyOf(sql), history, `${number} ${way}`);
      assert.deepEqual(
        await sql.values("select batch_id from p2p.ops_batch_runs order by 1"),
        await first.values("select batch_id from p2p.ops_batch_runs order by 1"),
        "the same ids everywhere",
      );
    }
  }
});

Deno.test("an import is no plan: neither the order of the next batch nor the gaps follow from it", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
  const books = { [BUY]: [[offer({ id: "60" })]], [SELL]: [page(1)] };
  await sql.loadBatch(ago(40), books);
  const missed = ago(20);
  const batch = await sql.openBatch({ at: missed, markets: [BUY, SELL] });
  await batch.page(SELL, page(1));
  await batch.lose(BUY);
  await batch.load();
  const gaps = () => sql.rows("select market, missing_since, batches::integer from p2p.gaps");
  const expected = [{
    market: BUY,
    missing_since: new Date(Date.parse(missed) - Date.parse(missed) % 1000),
    batches: 1,
  }];
  assert.deepEqual(await gaps(), expected);
  const file = await folder.file("a.jsonl", [
    recorded(ago(30), "EUR/BTC SELL", []),
    recorded(ago(10), SELL, [], { more: { payTypes: ["Zinli"] } }),
  ]);
  await imported(sql, [file]);
  assert.deepEqual(await gaps(), expected);
  const plan = await sql.openBatch({ markets: [BUY, SELL] });
  assert.equal(
    await sql.value(
      "select market_id from p2p.ops_batch_markets where batch_id = $1 order by plan_position",
      plan.id,
    ),
    plan.market(SELL),
    "the larger book comes first, as before",
  );
});

Deno.test("a batch that the worker fetched is recognised, and nothing is added to it", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const one = offer({ id: "1" });
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [one] });
  const before = await sql.dump();
  const same = await folder.file("same.jsonl", [recorded("2026-03-01T10:00:00Z", BUY, [one])]);
  assert.equal((await imported(sql, [same]))["pages_there"], 1);
  const other = await folder.file("other.jsonl", [
    recorded("2026-03-01T10:00:00Z", BUY, [offer({ id: "2" })]),
    recorded("2026-03-01T10:00:00Z", SELL, [offer({ id: "3" })]),
  ]);
  const told = await imported(sql, [other], 75);
  assert.match(JSON.stringify(told["errors"]), /another reading of this page, stored before/);
  assert.match(JSON.stringify(told["errors"]), /was fetched by the worker: nothing is added to it/);
  assert.deepEqual(await sql.dump(), before);
  // Any other moment is a batch of its own, however near.
  const near = await folder.file("near.jsonl", [recorded("2026-03-01T10:00:00.001Z", BUY, [one])]);
  assert.equal((await imported(sql, [near]))["offers"], 1);
});

Deno.test("between batches that are there: the same history as in order", async () => {
  const books: [string, Item[]][] = [
    ["10:00", [
      offer({ id: "1", user: "s1", nick: "A" }),
      offer({ id: "2", user: "s2", nick: "X" }),
    ]],
    ["10:10", [
      offer({ id: "1", user: "s1", nick: "B" }),
      offer({ id: "2", user: "s2", nick: "X" }),
    ]],
    ["10:20", [
      offer({ id: "1", user: "s1", nick: "A" }),
      offer({ id: "2", user: "s2", nick: "Y" }),
    ]],
  ];
  await using folder = await Folder.create();
  const [first, middle, last] = books.map(([time, items]) =>
    recorded(`2026-03-01T${time}:00Z`, BUY, items)
  );
  await using inOrder = await SqlFixture.create();
  await imported(inOrder, [
    await folder.file("all.jsonl", [first ?? "", middle ?? "", last ?? ""]),
  ]);
  await using late = await SqlFixture.create();
  await imported(late, [await folder.file("ends.jsonl", [first ?? "", last ?? ""])]);
  await imported(late, [await folder.file("middle.jsonl", [middle ?? ""])]);
  assert.deepEqual(await historyOf(late), await historyOf(inOrder));
  assert.equal(await late.value("select count(*)::integer from p2p.dim_advertisers"), 5);
});

Deno.test("what retention would delete, or has dropped, is refused with the statement that mends it", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const file = await folder.file("old.jsonl", [recorded("2026-03-01T10:00:00Z", BUY, [offer()])]);
  const gone = await sql.loadBatch("2026-09-01 10:00+00", { [BUY]: [offer()] });
  await sql.loadBatch("2026-10-01 10:00+00", { [BUY]: [offer()] });
  await sql.rows("update p2p.settings set value = '100' where name = 'offers_retention_days'");
  const before = await sql.dump();
  const told = await importing(sql, [file]);
  assert.equal(told.code, 75);
  const [, statement = ""] = /; (update .*)$/m.exec(told.stderr) ?? [];
  assert.match(told.stderr, /offers are kept 100 days, and this batch is 214 days older/);
  assert.deepEqual(await sql.dump(), before);
  await sql.rows(statement);

  await sql.rows(
    "update p2p.ops_batch_runs set batch_start_time = '2026-03-01 09:00+00' where batch_id = $1",
    gone.id,
  );
  await sql.rows(
    `insert into p2p.dropped_facts (table_name, dropped_before, dropped_at) values ('fact_offers', '2026-04-01', now())`,
  );
  assert.match(
    JSON.stringify((await imported(sql, [file], 75))["errors"]),
    /facts before 2026-04-01 .* were dropped here/,
  );
  const dayBefore = await folder.file("day_before.jsonl", [
    recorded("2026-02-28T10:00:00Z", BUY, [offer()]),
  ]);
  assert.equal((await imported(sql, [dayBefore]))["offers"], 1, "nothing was ever there");
  await sql.rows("delete from p2p.dropped_facts");
  assert.equal((await imported(sql, [file]))["offers"], 1);
  // Its pages go before its facts; the file is still known.
  await sql.rows("delete from p2p.stg_responses where extraction_timestamp < '2026-04-01'");
  await sql.rows(
    "update p2p.ops_batch_runs set raw_deleted_at = now() where batch_start_time < '2026-04-01'",
  );
  assert.equal((await imported(sql, [file]))["pages_there"], 1);
  const more = await folder.file("more.jsonl", [recorded("2026-03-01T10:00:00Z", SELL, [offer()])]);
  assert.match(
    JSON.stringify((await imported(sql, [more], 75))["errors"]),
    /pages of batch .* are deleted since/,
  );
});

Deno.test("a batch that the SQL could not load is loaded by the next import, after it was mended", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const file = await folder.file("a.jsonl", [recorded("2026-03-01T10:00:00Z", BUY, [offer()])]);
  await sql.rows(
    "insert into p2p.pipeline_steps (name, position, function, is_required, comment) values ('broken', 65, 'p2p.load_depth', true, 'x')",
  );
  await sql.database.runScript(
    `create or replace function p2p.load_offers(p_batch_id uuid) returns void language plpgsql set search_path = p2p, pg_temp
     as $$ begin raise exception 'not today'; end $$`,
    20,
  );
  const told = await importing(sql, [file]);
  assert.equal(told.code, 75);
  assert.match(told.stderr, /batch .* step load_offers failed: not today/);
  await sql.rows("delete from p2p.pipeline_steps where name = 'broken'");
  await sql.rows("select p2p.restore_object('load_offers')");
  const again = await imported(sql, [file]);
  assert.deepEqual(again["loaded"], { completed: 1, partial: 0, failed: 0 });
  assert.equal(await sql.value("select count(*)::integer from p2p.fact_offers"), 1);
});

Deno.test("it is done with the rights of a worker, and no more", async () => {
  await using sql = await SqlFixture.create();
  await assert.rejects(
    sql.work("select p2p.begin_import('w', '{a}'), p2p.drop_older('fact_offers', now())"),
    /permission denied/,
  );
});
