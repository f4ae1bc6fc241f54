import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Database } from "../../src/database/connection.ts";
import { searchAnswer, SqlFixture, WORKER } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const MARKET = "VES/USDT BUY";
const PAGE =
  `select page_number, body_bytes, encode(body_sha256, 'hex') as sha256, parser, http_status,
  alteration, body::text as body, encode(body_original, 'hex') as original
  from p2p.stg_responses order by page_number`;

function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

Deno.test("a page is stored as sent, and the market is complete after its last one", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [MARKET], at: "2026-03-01 10:00+00" });
  const text = searchAnswer(MARKET, [offer({ price: "36.500" })]);

  assert.equal(await batch.body(MARKET, text, { last: false, total: 21 }), "stored");
  assert.deepEqual(await batch.ledger(MARKET), {
    status: "fetching",
    pages_stored: 1,
    lost_pages: [],
    offers_reported: 21,
    reason: null,
    finished: false,
  });
  assert.equal(await batch.body(MARKET, text, { page: 2, total: 22 }), "stored");

  const pages = await sql.rows(PAGE);
  assert.equal(pages.length, 2);
  assert.deepEqual({ ...pages[0], body: JSON.parse(String(pages[0]?.["body"])) }, {
    page_number: 1,
    body_bytes: new TextEncoder().encode(text).length,
    sha256: sha256(text),
    parser: "binance_search_v1",
    http_status: 200,
    alteration: null,
    body: JSON.parse(text),
    original: null,
  });
  assert.deepEqual(await batch.ledger(MARKET), {
    status: "complete",
    pages_stored: 2,
    lost_pages: [],
    offers_reported: 22,
    reason: null,
    finished: true,
  });
});

Deno.test("a market whose end comes before a page that is missing is not complete: it is fetched from there", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [MARKET] });
  assert.equal(await batch.page(MARKET, [offer({ id: "2" })], { page: 2 }), "stored");
  const { status, pages_stored, finished } = await batch.ledger(MARKET);
  assert.deepEqual([status, pages_stored, finished], ["pending", 1, false]);

  const [again] = await sql.claim(batch.id);
  assert.equal(again?.nextPage, 1);
  assert.equal(await batch.page(MARKET, [offer({ id: "1" })], { last: false }), "stored");
  assert.equal(await batch.page(MARKET, [offer({ id: "2" })], { page: 2 }), "already");
  await sql.rows("select p2p.give_back($1, $2, null)", batch.id, WORKER);
  const [last] = await sql.claim(batch.id);
  assert.equal(last?.nextPage, 3);
  assert.equal(await batch.page(MARKET, [], { page: 3 }), "stored");
  assert.equal((await batch.ledger(MARKET)).status, "complete");
});

Deno.test("the same page again changes nothing, even after the market ended", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [MARKET] });
  await batch.page(MARKET, [offer()], { last: false });
  const during = await sql.dump();
  assert.equal(await batch.page(MARKET, [offer()], { last: true, total: 99 }), "already");
  assert.deepEqual(await sql.dump(), during);

  await batch.page(MARKET, [offer()], { page: 2 });
  const after = await sql.dump();
  assert.equal(await batch.page(MARKET, [offer()], { page: 2 }), "already");
  assert.deepEqual(await sql.dump(), after);
});

const STORE =
  `select p2p.store_page($1, $2, $3, 1, false, 1, 'binance_search_v1', now(), 1, 200, 1, 1, '', null, null, $4) as done`;

Deno.test("the same page twice at once: the second waits and finds it there", async () => {
  await using sql = await SqlFixture.create();
  await using other = new Database(sql.url, { applicationName: "test", connections: 1 });
  const batch = await sql.openBatch({ markets: [MARKET] });
  await sql.holdFirst("insert", "stg_responses");
  const parameters = [batch.id, WORKER, batch.market(MARKET), searchAnswer(MARKET, [offer()])];
  const outcomes = await Promise.all([
    sql.rows(STORE, ...parameters),
    other.run(STORE, parameters, 20),
  ]);
  assert.deepEqual(outcomes.map(([row]) => row?.["done"]).sort(), ["already", "stored"]);
  assert.equal((await batch.ledger(MARKET))["pages_stored"], 1);
});

Deno.test("a page that comes while the fetching is being ended is not stored", async () => {
  await using sql = await SqlFixture.create();
  await using other = new Database(sql.url, { applicationName: "test", connections: 1 });
  const batch = await sql.openBatch({ markets: [MARKET] });
  await sql.holdFirst("update", "ops_batch_markets");
  const ended = batch.endFetching();
  // Begins once the row of the ledger is locked by the other session.
  const locked = `select count(*)::integer from pg_stat_activity
    where datname = current_database() and query like '%end_fetching%' and wait_event = 'PgSleep'`;
  while ((await other.run(locked, [], 20))[0]?.["count"] !== 1);
  const parameters = [batch.id, WORKER, batch.market(MARKET), searchAnswer(MARKET, [offer()])];
  const [row] = await other.run(STORE, parameters, 20);
  assert.equal(row?.["done"], "not_ours");
  assert.equal(await ended, 1);
  assert.equal((await batch.ledger(MARKET))["status"], "deferred");
});

Deno.test("a page of somebody else's market is not stored", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [MARKET, "ARS/USDT SELL"] });
  const before = await sql.dump();
  assert.equal(await batch.page(MARKET, [offer()], { worker: "worker-2" }), "not_ours");
  assert.deepEqual(await sql.dump(), before);

  await batch.page(MARKET, [offer()]);
  assert.equal(await batch.page(MARKET, [offer()], { page: 2 }), "not_ours", "a finished market");
  await batch.endFetching();
  assert.equal(await batch.page("ARS/USDT SELL", [offer()]), "not_ours", "a market cut off");
  assert.equal(await sql.value("select count(*)::integer from p2p.stg_responses"), 1);
});

Deno.test("a market with a lost page is incomplete, one without any page failed", async () => {
  await using sql = await SqlFixture.create();
  const markets = [MARKET, "ARS/USDT BUY", "BOB/USDT BUY"] as const;
  const batch = await sql.openBatch({ markets });
  await batch.page(MARKET, [offer()], { last: false });
  await batch.lose(MARKET, { page: 2, last: false });
  const once = await sql.dump();
  await batch.lose(MARKET, { page: 2, last: false });
  assert.deepEqual(await sql.dump(), once, "losing a page twice changes nothing");
  await batch.page(MARKET, [offer()], { page: 3 });
  await batch.page("ARS/USDT BUY", [offer()], { last: false });
  await batch.lose("ARS/USDT BUY", { page: 2 });
  await batch.lose("BOB/USDT BUY", {}, "refused", "x".repeat(3000));

  const ledgers = await Promise.all(markets.map((market) => batch.ledger(market)));
  assert.deepEqual(ledgers.map(({ status, reason, lost_pages }) => [status, reason, lost_pages]), [
    ["incomplete", "lost pages: 2", [2]],
    ["incomplete", "http: HTTP 500", [2]],
    ["failed", `refused: ${"x".repeat(200)}`, [1]],
  ]);
  assert.deepEqual(
    await sql.rows(
      `select fiat_code, crypto_symbol, trade_type, page_number, error_type, length(error_message) as length,
         retry_count, is_resolved
       from p2p.ops_extraction_errors order by error_id`,
    ),
    [["VES", 2, "http", 8], ["ARS", 2, "http", 8], ["BOB", 1, "refused", 1000]]
      .map(([fiat_code, page_number, error_type, length]) => ({
        fiat_code,
        crypto_symbol: "USDT",
        trade_type: "BUY",
        page_number,
        error_type,
        length,
        retry_count: 3,
        is_resolved: false,
      })),
  );
});

Deno.test("what jsonb refuses is repaired, and the bytes are kept", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [MARKET] });
  const text = searchAnswer(MARKET, [offer({ nick: "NICK" })]).replace("NICK", "a\\u0000b é");
  assert.equal(await batch.body(MARKET, text), "stored");
  const [page] = await sql.rows(PAGE);
  assert.equal(page?.["alteration"], "characters that jsonb cannot hold became U+FFFD");
  const original = Uint8Array.fromHex(String(page?.["original"]));
  assert.equal(new TextDecoder().decode(original), text);
  assert.equal(sha256(original), page?.["sha256"]);
  await batch.load();
  assert.deepEqual(await sql.values("select nickname from p2p.dim_advertisers"), ["a\ufffdb é"]);
});

Deno.test("bytes that were no UTF-8 are kept as they came, and both alterations are told", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [MARKET] });
  const bytes = new Uint8Array([0x22, 0xff, 0x22]);
  await sql.rows(
    `select p2p.store_page($1, $2, $3, 1, true, null, 'binance_search_v1', now(), 1, 200, 1, 3, sha256($4), 'not UTF-8', $4, $5)`,
    batch.id,
    WORKER,
    batch.market(MARKET),
    bytes,
    '"\ufffd\\ud800"',
  );
  const [page] = await sql.rows(PAGE);
  assert.deepEqual(page, {
    page_number: 1,
    body_bytes: 3,
    sha256: sha256(bytes),
    parser: "binance_search_v1",
    http_status: 200,
    alteration: "not UTF-8; characters that jsonb cannot hold became U+FFFD",
    body: '"\ufffd\ufffd"',
    original: "22ff22",
  });
});

Deno.test("a page that jsonb cannot hold in any form is lost, but its bytes are kept", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [MARKET] });
  const text = `{"data": [}`;
  assert.equal(await batch.body(MARKET, text), "unreadable");
  const [page] = await sql.rows(PAGE);
  assert.equal(page?.["body"], "null");
  assert.match(String(page?.["alteration"]), /^jsonb cannot hold it: /);
  assert.equal(page?.["original"], new TextEncoder().encode(text).toHex());
  const ledger = await batch.ledger(MARKET);
  assert.deepEqual([ledger["status"], ledger["pages_stored"], ledger["lost_pages"]], [
    "failed",
    0,
    [1],
  ]);
  const errors = await sql.rows(
    "select error_type, page_number, retry_count from p2p.ops_extraction_errors",
  );
  assert.deepEqual(errors, [{ error_type: "unreadable", page_number: 1, retry_count: 0 }]);
  assert.equal(await batch.body(MARKET, text), "already");
  assert.equal((await batch.load())["status"], "failed");
});

Deno.test("nesting that is too deep is lost, not fatal", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [MARKET] });
  const deep = "[".repeat(200_000) + "]".repeat(200_000);
  assert.equal(await batch.body(MARKET, deep), "unreadable");
});
