// import: interrupted, called again, and beside others.
import assert from "node:assert/strict";
import { poll } from "../../src/embedded/deadlines.ts";
import { historyOf } from "../support/facts.ts";
import {
  BUY,
  Folder,
  imported,
  page,
  recorded,
  SELL,
  someHistory,
  startImporting,
} from "../support/recordings.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

Deno.test("killed in the middle and called again, it ends as if nothing had been", async () => {
  const books = Array.from(
    { length: 16 },
    (_, i) =>
      recorded(
        new Date(Date.UTC(2026, 2, 1, 10, i)).toISOString(),
        BUY,
        page(i, { nick: `n${i % 7}` }),
      ),
  );
  await using folder = await Folder.create();
  const file = await folder.file("a.jsonl", books);
  await using sql = await SqlFixture.create();
  {
    await using program = startImporting(sql, [file]);
    await poll(
      60_000,
      async () =>
        Number(await sql.value("select count(*) from p2p.ops_batch_runs")) >= 3 || undefined,
    );
    program.kill("SIGKILL");
  }
  // What the server was told before it noticed is done or undone as a whole.
  await poll(60_000, async () =>
    await sql.value(
        "select count(*) = 0 from pg_stat_activity where datname = current_database() and usename = 'test_worker'",
      ) === true || undefined);
  const loaded = Number(await sql.value("select count(*) from p2p.ops_batch_runs"));
  assert.ok(loaded >= 3 && loaded < 16, `${loaded} batches`);
  assert.deepEqual(await sql.values("select distinct status from p2p.ops_batch_runs"), [
    "completed",
  ]);
  assert.ok(Number(await sql.value("select count(*) from p2p.stg_import_pages")) > 0);
  await sql.rows("update p2p.stg_imports set seen_at = seen_at - interval '11 minutes'");
  const told = await imported(sql, [file]);
  assert.deepEqual([told["pages_there"], told["pages_stored"]], [loaded, 16 - loaded]);
  assert.equal(
    await sql.value("select count(*)::integer from p2p.stg_imports"),
    0,
    "what was left is cleared away",
  );
  await using other = await SqlFixture.create();
  await imported(other, [file]);
  assert.deepEqual(await historyOf(sql), await historyOf(other));
});

Deno.test("what a killed import has left goes a day later, though nobody imports again", async () => {
  await using sql = await SqlFixture.create();
  for (const hours of [23, 25]) {
    await sql.rows(
      "insert into p2p.stg_imports (worker_id, files, seen_at) values ('x', '{a}', now() - make_interval(hours => $1))",
      hours,
    );
  }
  await sql.loadBatch(undefined, { [BUY]: [offer()] });
  assert.equal(await sql.value("select count(*)::integer from p2p.stg_imports"), 1);
});

Deno.test("it stops when told to, also while no line comes", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const pipe = `${folder.path}/pipe`;
  await new Deno.Command("mkfifo", { args: [pipe] }).output();
  using writer = await Deno.open(pipe, { read: true, write: true });
  await using program = startImporting(sql, [pipe]);
  const line = recorded("2026-03-01T10:00:00Z", BUY, [offer({ id: "1" })]);
  await writer.write(new TextEncoder().encode(`${line}\n`));
  await poll(
    60_000,
    async () => await sql.value("select count(*) > 0 from p2p.stg_imports") === true || undefined,
  );
  program.kill("SIGTERM");
  const { code, stderr } = await program.ended;
  assert.equal(code, 75);
  assert.match(stderr, /stopped; the same command goes on/);
  assert.deepEqual(await sql.rows("select from p2p.stg_imports"), []);
});

Deno.test("two imports at once are safe", async () => {
  await using folder = await Folder.create();
  const lines = someHistory();
  const files = [
    await folder.file("a.jsonl", lines),
    await folder.file("b.jsonl", lines.slice(2).toReversed()),
  ];
  await using sql = await SqlFixture.create();
  await Promise.all([
    imported(sql, files.slice(0, 1)),
    imported(sql, files.slice(1)),
    imported(sql, files),
  ]);
  await using other = await SqlFixture.create();
  await imported(other, files.slice(0, 1));
  assert.deepEqual(await historyOf(sql), await historyOf(other));
});

Deno.test("beside a batch that is running, whose plan and pages it does not touch", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const hourAgo = new Date(Date.now() - 3_600_000).toISOString();
  const file = await folder.file("a.jsonl", [
    recorded(hourAgo, BUY, [offer({ id: "1", user: "s1", nick: "old" })]),
    recorded(hourAgo, "XYZ/ABC BUY", [offer({ id: "2" })]),
  ]);
  const batch = await sql.openBatch({ markets: [BUY, SELL] });
  await batch.page(BUY, [offer({ id: "1", user: "s1", nick: "new" })]);
  const told = await imported(sql, [file]);
  assert.equal(told["offers"], 2);
  assert.deepEqual(
    await sql.values("select status from p2p.ops_batch_runs order by batch_start_time"),
    ["completed", "running"],
  );
  await batch.page(SELL, [offer({ id: "3" })]);
  const run = await batch.load();
  assert.deepEqual([run["status"], run["markets_expected"], run["total_offers_inserted"]], [
    "completed",
    2,
    2,
  ]);
  assert.deepEqual(
    await sql.values(
      "select nickname from p2p.dim_advertisers where advertiser_id = 's1' order by effective_date",
    ),
    ["old", "new"],
  );
  const opened = await sql.join();
  assert.equal(opened["markets_expected"], 2, "a market of an import is not planned");
  assert.deepEqual(
    await sql.values(
      "select fiat_code from p2p.known_fiats('binance') where fiat_code = 'XYZ'",
    ),
    [],
    "nor is its fiat asked for",
  );
});
