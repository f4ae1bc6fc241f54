import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";

interface Listed {
  readonly fiats?: readonly { code: string; country?: string }[];
  readonly markets?: readonly { fiat: string; asset: string; side: string; assetName?: string }[];
  readonly covered?: readonly string[];
  readonly missed?: readonly string[];
  readonly now?: string;
}

const VES = { fiat: "VES", asset: "USDT", assetName: "Tether" };

async function store(sql: SqlFixture, listed: Listed): Promise<number> {
  const { fiats = [], markets = [], missed = [], now = "2026-03-01 10:00+00" } = listed;
  const covered = listed.covered ?? ["*", ...markets.map(({ fiat }) => fiat)];
  return Number(
    await sql.value(
      `select p2p.store_market_list('binance', $1::text::jsonb, $2::text::jsonb,
         array(select jsonb_array_elements_text($3::text::jsonb)),
         array(select jsonb_array_elements_text($4::text::jsonb)), $5::timestamptz)`,
      JSON.stringify(fiats),
      JSON.stringify(markets),
      JSON.stringify(covered),
      JSON.stringify(missed),
      now,
    ),
  );
}

const ACTIVE = `select f.currency_code || '/' || c.symbol || ' ' || m.trade_type
  from p2p.dim_markets m join p2p.dim_fiat_currencies f using (fiat_id) join p2p.dim_cryptocurrencies c using (crypto_id)
  where m.is_active order by 1`;

Deno.test("store_market_list takes in fiats, assets and markets", async () => {
  await using sql = await SqlFixture.create();
  const active = await store(sql, {
    fiats: [{ code: "VES", country: "VE" }, { code: "EUR", country: "" }, { code: "VES" }],
    markets: [
      { ...VES, side: "BUY" },
      { ...VES, side: "BUY" },
      { ...VES, side: "SELL" },
      { fiat: "NGN", asset: "BTC", side: "BUY" },
    ],
  });
  assert.equal(active, 3);
  assert.deepEqual(await sql.values(ACTIVE), ["NGN/BTC BUY", "VES/USDT BUY", "VES/USDT SELL"]);
  assert.deepEqual(
    await sql.rows(
      "select currency_code, country_code, is_active from p2p.dim_fiat_currencies order by 1",
    ),
    [
      { currency_code: "EUR", country_code: null, is_active: true },
      { currency_code: "NGN", country_code: null, is_active: true },
      { currency_code: "VES", country_code: "VE", is_active: true },
    ],
  );
  assert.deepEqual(
    await sql.rows(
      "select symbol, name, binance_asset_code from p2p.dim_cryptocurrencies order by 1",
    ),
    [
      { symbol: "BTC", name: null, binance_asset_code: "BTC" },
      { symbol: "USDT", name: "Tether", binance_asset_code: "USDT" },
    ],
  );
});

Deno.test("what is known is not forgotten; a second call only moves the times", async () => {
  await using sql = await SqlFixture.create();
  const fiats = [{ code: "VES", country: "VE" }];
  await store(sql, { fiats, markets: [{ ...VES, side: "BUY" }] });
  const dimensions = async () => {
    const dump = await sql.dump();
    return [dump.get("dim_fiat_currencies"), dump.get("dim_cryptocurrencies")];
  };
  const before = await dimensions();
  await store(sql, {
    fiats: [{ code: "VES" }],
    markets: [{ fiat: "VES", asset: "USDT", side: "BUY" }],
    now: "2026-03-01 11:00+00",
  });
  assert.deepEqual(await dimensions(), before);
  assert.deepEqual(
    await sql.row(
      `select first_listed_at = '2026-03-01 10:00+00' as first, last_listed_at = '2026-03-01 11:00+00' as last,
         (select bool_and(discovered_at = '2026-03-01 11:00+00') from p2p.ops_discoveries) as discovered
       from p2p.dim_markets`,
    ),
    { first: true, last: true, discovered: true },
  );
  await store(sql, {
    fiats: [{ code: "VES", country: "XX" }],
    markets: [{ ...VES, assetName: "T", side: "BUY" }],
  });
  assert.deepEqual(await sql.values("select country_code from p2p.dim_fiat_currencies"), ["XX"]);
  assert.deepEqual(await sql.values("select name from p2p.dim_cryptocurrencies"), ["T"]);
});

Deno.test("a thousand discoveries use up no numbers", async () => {
  await using sql = await SqlFixture.create();
  await store(sql, { markets: [{ ...VES, side: "BUY" }] });
  await sql.rows(
    `select count(p2p.store_market_list('binance', '[{"code": "VES"}]', '[{"fiat": "VES", "asset": "USDT", "side": "BUY"}]', '{VES,*}', '{}'))
     from generate_series(1, 1000)`,
  );
  await store(sql, {
    markets: [{ ...VES, side: "BUY" }, { fiat: "ARS", asset: "BTC", side: "BUY" }],
  });
  assert.deepEqual(
    await sql.rows(
      `select (select max(fiat_id) from p2p.dim_fiat_currencies) as fiat, (select max(crypto_id) from p2p.dim_cryptocurrencies) as crypto,
         (select max(market_id) from p2p.dim_markets) as market`,
    ),
    [{ fiat: 2, crypto: 2, market: 2 }],
  );
});

Deno.test("markets that are no longer listed become inactive, where their fiat was read", async () => {
  await using sql = await SqlFixture.create();
  const ars = { fiat: "ARS", asset: "USDT", side: "BUY" };
  await store(sql, { markets: [{ ...VES, side: "BUY" }, { ...VES, side: "SELL" }, ars] });
  const now = "2026-03-01 11:00+00";
  assert.equal(await store(sql, { markets: [{ ...VES, side: "SELL" }], covered: ["VES"], now }), 2);
  assert.deepEqual(await sql.values(ACTIVE), ["ARS/USDT BUY", "VES/USDT SELL"]);
  assert.equal(
    await store(sql, { covered: [], now: "2026-03-01 12:00+00" }),
    2,
    "nothing was read",
  );
  assert.equal(
    await store(sql, { covered: ["*"], missed: ["ARS"], now: "2026-03-01 12:30+00" }),
    2,
    "the list of fiats says nothing of their markets",
  );
  assert.equal(await store(sql, { covered: ["ARS", "VES"], now: "2026-03-01 13:00+00" }), 0);
  await store(sql, { markets: [ars], covered: ["ARS"], now: "2026-03-01 14:00+00" });
  assert.deepEqual(await sql.values(ACTIVE), ["ARS/USDT BUY"], "it came back");
  assert.equal(await sql.value("select count(*)::integer from p2p.dim_markets"), 3);
});

Deno.test("an unknown side is refused as a whole", async () => {
  await using sql = await SqlFixture.create();
  await assert.rejects(
    store(sql, { markets: [{ ...VES, side: "HODL" }] }),
    /dim_markets_trade_type_check/,
  );
  assert.equal(await sql.value("select count(*)::integer from p2p.dim_fiat_currencies"), 0);
});

Deno.test("known_fiats tells which lists are fresh", async () => {
  await using sql = await SqlFixture.create();
  const known = async (exchange = "binance") =>
    (await sql.rows("select * from p2p.known_fiats($1) order by 1", exchange))
      .map((row) => `${row["fiat_code"]} ${row["is_fresh"]} ${row["active_markets"]}`);
  const ago = async (hours: number) =>
    String(await sql.value(`select (now() - interval '${hours} hours')::text`));
  const market = (fiat: string) => ({ ...VES, fiat, side: "BUY" });
  assert.deepEqual(await known(), []);
  await store(sql, { markets: [market("VES")], covered: ["VES"], now: await ago(2) });
  await store(sql, { markets: [market("ARS")], covered: ["ARS"], now: await ago(0) });
  await store(sql, { markets: [market("EUR")], covered: [], now: await ago(0) });
  assert.deepEqual(await known(), ["ARS true 1", "EUR false 1", "VES true 1"]);
  await sql.rows("update p2p.settings set value = '1' where name = 'discovery_every_hours'");
  assert.deepEqual(await known(), ["ARS true 1", "EUR false 1", "VES false 1"]);
  const before = await sql.dump();
  assert.deepEqual(await known("another"), []);
  assert.deepEqual(await sql.dump(), before);
  await store(sql, { covered: ["*"], missed: ["ARS", "XYZ"], now: await ago(0) });
  assert.deepEqual(
    await known(),
    ["* true 0", "ARS false 1", "EUR false 1", "VES false 1", "XYZ false 0"],
    "what was missed is due again, whatever is known of it",
  );
});

Deno.test("store_payment_methods takes in names, and replaces them only by names", async () => {
  await using sql = await SqlFixture.create();
  const take = (...methods: readonly { code: string; name?: string | null }[]) =>
    sql.rows(
      "select p2p.store_payment_methods('binance', $1::text::jsonb)",
      JSON.stringify(methods),
    );
  const names = async () =>
    (await sql.rows("select method_code, method_name from p2p.dim_payment_methods order by 1"))
      .map(({ method_code, method_name }) => `${method_code}=${method_name}`);
  await take({ code: "A", name: "a" }, { code: "B", name: "" }, { code: "A", name: null });
  assert.deepEqual(await names(), ["A=a", "B=null"]);
  const before = await sql.dump();
  await take({ code: "A", name: "a" }, { code: "B" }, { code: "A" });
  await take();
  assert.deepEqual(await sql.dump(), before);
  await take({ code: "A", name: "other" }, { code: "B", name: "b" });
  assert.deepEqual(await names(), ["A=other", "B=b"]);
});

Deno.test("record_discovery_problem writes an error without a batch", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("select p2p.record_discovery_problem('KZT', 'http', $1)", "x".repeat(2000));
  await sql.rows("select p2p.record_discovery_problem(null, 'timeout', 'no answer')");
  assert.deepEqual(
    await sql.rows(
      `select batch_id, fiat_code, error_type, length(error_message) as length, is_resolved
       from p2p.ops_extraction_errors order by error_id`,
    ),
    [
      { batch_id: null, fiat_code: "KZT", error_type: "http", length: 1000, is_resolved: false },
      { batch_id: null, fiat_code: null, error_type: "timeout", length: 9, is_resolved: false },
    ],
  );
});
