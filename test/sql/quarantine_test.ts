import assert from "node:assert/strict";
import { changeFunction, PARSER, PRICE } from "../support/live_functions.ts";
import { SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "ARS/USDT SELL";

/** Two batches: 3 prices in a strange format and 1 offer without an amount. */
async function twoBatches(sql: SqlFixture): Promise<readonly [TestBatch, TestBatch]> {
  const noAmount = offer({ adv: { surplusAmount: null } });
  const first = await sql.loadBatch("2026-03-01 10:00+00", {
    [BUY]: [offer({ price: "1.234,50" }), offer(), noAmount],
    [SELL]: [offer({ price: "2.000,00" })],
  });
  const second = await sql.loadBatch("2026-03-01 10:10+00", {
    [BUY]: [offer(), offer({ id: "12345678901234567890", price: "99,5" })],
  });
  return [first, second];
}

/** The DBA's repair: prices with a decimal comma are read. */
async function mendParser(sql: SqlFixture): Promise<void> {
  const mended = `case when i.adv ->> 'price' ~ ',' ` +
    `then translate(i.adv ->> 'price', ',.', '.') else i.adv ->> 'price' end as price`;
  await changeFunction(sql.database, PARSER, PRICE, mended);
}

const discard = async (
  sql: SqlFixture,
  ...values: (string | boolean | null)[]
): Promise<unknown[]> => {
  const rows = await sql.worker.run(
    "select * from p2p.discard_rejected($1, $2, $3, $4)",
    values,
    20,
  );
  return rows.map((row) => ({ ...row }));
};

const reasons = (sql: SqlFixture): Promise<unknown[]> =>
  sql.values("select format('%s %s', offers, reason) from p2p.quarantine");

Deno.test("the quarantine by reason, with an example", async () => {
  await using sql = await SqlFixture.create();
  assert.deepEqual(await sql.rows("select * from p2p.quarantine"), []);
  const [first, second] = await twoBatches(sql);
  assert.deepEqual(await sql.rows("select * from p2p.quarantine"), [
    {
      reason: "price is not a number",
      offers: "3",
      batches: "2",
      first_batch: first.start,
      last_batch: second.start,
      example: "VES/USDT BUY 1:1",
    },
    {
      reason: "no amount",
      offers: "1",
      batches: "1",
      first_batch: first.start,
      last_batch: first.start,
      example: "VES/USDT BUY 1:2",
    },
  ]);
});

Deno.test("show_quarantine: newest first, the JSON as it came", async () => {
  await using sql = await SqlFixture.create();
  const [first, second] = await twoBatches(sql);
  const show = (...values: (string | null)[]) =>
    sql.worker.run(
      "select batch_id, place, payload -> 'adv' ->> 'advNo' as id, payload -> 'adv' ->> 'price' as price from p2p.show_quarantine($1, $2, 10)",
      values,
      20,
    );
  assert.deepEqual({ ...(await show(null, null))[0] }, {
    batch_id: second.id,
    place: "VES/USDT BUY 1:1",
    id: "12345678901234567890",
    price: "99,5",
  });
  assert.equal((await show(null, null)).length, 4);
  assert.deepEqual(
    (await show("price is not a number", first.id)).map((row) => row["place"]),
    ["VES/USDT BUY 1:0", "ARS/USDT SELL 1:0"],
  );
  await assert.rejects(
    show("price", null),
    (error: Error & { hint?: string }) =>
      /no offer in quarantine has the reason "price"/.test(error.message) &&
      error.hint === 'there are: "no amount", "price is not a number"',
  );
  await assert.rejects(
    show(null, "00000000-0000-0000-0000-000000000000"),
    /there is no batch 00000000/,
  );
});

Deno.test("after the parser was mended a replay puts the offers where they belong", async () => {
  await using sql = await SqlFixture.create();
  const [first, second] = await twoBatches(sql);
  const replay = (batch: TestBatch, reason: string | null = null) =>
    sql.work("select * from p2p.replay_quarantine($1, $2)", batch.id, reason);
  const before = await sql.dump();
  assert.deepEqual(await replay(first), {
    repaired: "0",
    still_rejected: "3",
    status: "completed",
  });
  assert.deepEqual(await sql.dump(), before, "nothing was mended yet");

  await mendParser(sql);
  assert.deepEqual(
    await replay(first, "price is not a number"),
    { repaired: "2", still_rejected: "0", status: "completed" },
    "counts those of the reason that was asked for",
  );
  assert.deepEqual(
    await sql.values(
      "select price::text from p2p.fact_offers where batch_id = $1 order by fact_offers.price",
      first.id,
    ),
    ["36.50", "1234.50", "2000.00"],
  );
  assert.equal(
    await sql.value(
      "select max_price::text from p2p.fact_market_depth where batch_id = $1 and trade_type = 'SELL'",
      first.id,
    ),
    "2000.00",
    "the book follows",
  );
  assert.deepEqual(await reasons(sql), ["1 no amount", "1 price is not a number"]);
  assert.deepEqual(await replay(second), {
    repaired: "1",
    still_rejected: "0",
    status: "completed",
  });
  assert.deepEqual(await reasons(sql), ["1 no amount"]);
});

Deno.test("quarantine_batches: oldest first, by reason, batch and time; never one that is fetched", async () => {
  await using sql = await SqlFixture.create();
  const [first, second] = await twoBatches(sql);
  const batches = async (...values: (string | null)[]) =>
    (await sql.worker.run(
      "select * from p2p.quarantine_batches($1, $2, $3::text::timestamptz, $4::text::timestamptz)",
      values,
      20,
    )).map((row) => [row["batch_id"], Number(row["offers"]), row["can_be_loaded"]]);
  const both = [[first.id, 3, true], [second.id, 1, true]];
  assert.deepEqual(await batches(null, null, null, null), both);
  assert.deepEqual(await batches("no amount", null, null, null), [[first.id, 1, true]]);
  assert.deepEqual(await batches(null, second.id, null, null), [both[1]]);
  assert.deepEqual(await batches(null, null, "2026-03-01 10:00+00", "2026-03-01 10:00+00"), [
    both[0],
  ]);
  assert.deepEqual(await batches(null, null, "2026-03-01 10:00:01+00", null), [both[1]]);
  await sql.rows(
    "update p2p.ops_batch_runs set raw_deleted_at = now() where batch_id = $1",
    first.id,
  );
  assert.deepEqual((await batches(null, null, null, null))[0], [first.id, 3, false]);
  await sql.rows(
    "update p2p.ops_batch_runs set status = 'running', batch_end_time = null where batch_id = $1",
    second.id,
  );
  assert.equal((await batches(null, null, null, null)).length, 1);
});

Deno.test("discarding keeps the offer, with who and why, through later loads", async () => {
  await using sql = await SqlFixture.create();
  const [first] = await twoBatches(sql);
  const before = await sql.dump();
  const strange = "price is not a number";
  const found = [{ reason: strange, offers: "2", batches: "1" }];
  assert.deepEqual(
    await discard(sql, "test", strange, first.id, true),
    found,
  );
  assert.deepEqual(await sql.dump(), before, "a dry run changes nothing");
  assert.deepEqual(
    await discard(sql, " a test ", strange, first.id, false),
    found,
  );
  assert.deepEqual(await discard(sql, "test", strange, first.id, false), [], "they are gone");
  assert.deepEqual(await reasons(sql), ["1 no amount", "1 price is not a number"]);
  assert.deepEqual(
    await sql.rows(
      `select discarded_by, discard_note, discarded_at <= now() as discarded from p2p.ops_rejected_offers
       where discarded_at is not null`,
    ),
    Array(2).fill({ discarded_by: "test_worker", discard_note: "a test", discarded: true }),
  );

  const discarded = await sql.dump();
  await first.load();
  assert.deepEqual(await sql.dump(), discarded, "a later load changes nothing");

  // Rejected for another reason it is another case.
  await changeFunction(
    sql.database,
    "reject_offers",
    "then 'price is not a number'",
    "then 'price is strange'",
  );
  await first.load();
  assert.deepEqual(await reasons(sql), [
    "2 price is strange",
    "1 no amount",
    "1 price is not a number",
  ]);
});

Deno.test("discarding wants a note, and a reason and a batch that exist", async () => {
  await using sql = await SqlFixture.create();
  await twoBatches(sql);
  const before = await sql.dump();
  await assert.rejects(discard(sql, "  ", null, null, false), /a note must say why/);
  await assert.rejects(discard(sql, null, null, null, false), /a note must say why/);
  await assert.rejects(discard(sql, "x", "no such", null, false), /has the reason "no such"/);
  await assert.rejects(
    discard(sql, "x", null, "00000000-0000-0000-0000-000000000000", false),
    /there is no batch/,
  );
  assert.deepEqual(await sql.dump(), before);
  await discard(sql, "all of it", null, null, false);
  assert.deepEqual(await reasons(sql), []);
  await assert.rejects(
    discard(sql, "x", "no amount", null, false),
    (error: Error & { hint?: string }) => error.hint === "the quarantine is empty",
  );
});
