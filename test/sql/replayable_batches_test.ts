import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const TIMES = ["10:00", "10:10", "10:20"].map((time) => `2026-03-01 ${time}+00`);

Deno.test("batches by id, by time, or the last ones; oldest first; with what stands against them", async (t) => {
  await using sql = await SqlFixture.create();
  const [first, second, third] = [
    await sql.loadBatch(TIMES[0], { [BUY]: [offer()] }),
    await sql.loadBatch(TIMES[1], { [BUY]: [] }),
    await sql.loadBatch(TIMES[2], { [BUY]: [offer(), offer({ id: "2" })] }),
  ];
  const running = await sql.openBatch({ markets: [BUY] });
  await sql.rows("delete from p2p.stg_responses where batch_id = $1", second.id);
  const names = new Map([[first.id, 1], [second.id, 2], [third.id, 3], [running.id, 4]]);
  const ask = async (args: string) =>
    (await sql.rows(`select * from p2p.replayable_batches(${args})`))
      .map((row) =>
        [names.get(String(row["batch_id"])), row["obstacle"]].filter((v) => v !== null)
      );
  const gone = "its raw pages are gone";

  await t.step("all", async () => {
    assert.deepEqual(await ask(""), [[1], [2, gone], [3], [4, "it is running"]]);
  });
  await t.step("by id", async () => {
    assert.deepEqual(await ask(`array['${third.id}', '${first.id}', gen_random_uuid()]::uuid[]`), [
      [1],
      [3],
    ]);
  });
  await t.step("by time, both ends within", async () => {
    assert.deepEqual(
      await ask(`p_since => '${TIMES[0]}', p_until => '${TIMES[1]}'`),
      [[1], [2, gone]],
    );
  });
  await t.step("the last ones that are not running", async () => {
    assert.deepEqual(await ask("p_last => 2"), [[2, gone], [3]]);
  });
});

Deno.test("a loaded batch whose pages are gone keeps its facts", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [BUY, "VES/USDT SELL"], at: TIMES[0] ?? "" });
  await batch.page(BUY, [offer()], { last: false });
  await batch.page(BUY, [offer({ id: "2" })], { page: 2 });
  await batch.page("VES/USDT SELL", [offer({ id: "3" })]);
  await batch.load();
  await sql.rows("delete from p2p.stg_responses where page_number = 2");
  const before = await sql.dump();
  await assert.rejects(batch.load(), /raw pages of batch .* are gone: 2 of 3 are left/);
  await sql.rows("delete from p2p.stg_responses");
  await assert.rejects(batch.load(), /are gone: 0 of 3 are left/);
  const after = await sql.dump();
  before.delete("stg_responses");
  after.delete("stg_responses");
  assert.deepEqual(after, before);
});

Deno.test("a batch that stored no page can be loaded again", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [BUY] });
  await batch.lose(BUY);
  assert.equal((await batch.load())["status"], "failed");
  assert.equal((await batch.load())["status"], "failed");
});

Deno.test("replay_batch says how many rows it wrote, in whatever table; a running batch is refused", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(TIMES[0], { [BUY]: [offer(), offer({ id: "2" })] });
  const replay = async () =>
    await sql.work(
      "select status, offers, rows_written::integer, error_summary from p2p.replay_batch($1)",
      batch.id,
    );
  const same = { status: "completed", offers: 2, error_summary: null };
  assert.deepEqual(await replay(), { ...same, rows_written: 0 });
  await sql.rows("update p2p.fact_market_depth set max_price = 1");
  assert.deepEqual(await replay(), { ...same, rows_written: 1 });
  await sql.rows("delete from p2p.fact_market_depth");
  await sql.rows("delete from p2p.fact_offers where offer_external_id = '2'");
  // The offer, its book, and total_offers_updated of the batch.
  assert.deepEqual(await replay(), { ...same, rows_written: 3 });
  assert.deepEqual(await replay(), { ...same, rows_written: 0 });

  const running = await sql.openBatch({ markets: [BUY] });
  await assert.rejects(
    sql.work("select * from p2p.replay_batch($1)", running.id),
    /batch .* is running/,
  );
  assert.equal((await running.ledger(BUY))["status"], "fetching");
});
