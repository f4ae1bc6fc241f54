// A dry run against the load that follows it.
import assert from "node:assert/strict";
import { changedFunction, PARSER, PRICE } from "../support/live_functions.ts";
import { BUY, counts, preview, SELL } from "../support/preview.ts";
import { SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

type Facts = Map<string, Map<string, Record<string, string>>>;

/** Rows of these batches, and the advertisers, by key, as text: found apart from compared_tables. */
async function facts(sql: SqlFixture, batches: readonly TestBatch[]): Promise<Facts> {
  const tables: Record<string, string> = {
    fact_offers: "offer_id, extraction_timestamp",
    fact_market_depth: "exchange_id, fiat_id, crypto_id, trade_type, extraction_timestamp",
    ops_rejected_offers: "batch_id, market_id, page_number, item_number",
    ops_data_quality: "batch_id, metric_name",
    dim_advertisers: "exchange_id, advertiser_id, effective_date",
    dim_payment_methods: "exchange_id, method_code",
  };
  const numbers = ["depth_id", "rejected_at", "quality_id", "check_timestamp", "advertiser_sk"];
  const found: Facts = new Map();
  for (const [table, key] of Object.entries(tables)) {
    const rows = await sql.rows(
      `select concat_ws(' ', ${key}) as key,
         (select jsonb_object_agg(c.key, c.value) from jsonb_each_text(to_jsonb(t)) as c) as row
       from p2p.${table} t
       cross join to_jsonb(t) as j
       where coalesce(j ->> 'batch_id' = any ($1::text::text[]), true)
         and j ->> 'metric_name' is distinct from 'sql_drift'`,
      `{${batches.map(({ id }) => id)}}`,
    );
    const own = table === "fact_offers" ? [] : numbers;
    found.set(
      table,
      new Map(rows.map((row) => {
        const values = row["row"] as Record<string, string>;
        for (const name of [...own, "payment_method_id"]) delete values[name];
        return [String(row["key"]), values];
      })),
    );
  }
  return found;
}

/** What became of the rows between two moments, as a dry run counts it. */
function differences(
  before: Facts,
  after: Facts,
): Record<string, number> {
  const counted: Record<string, number> = {};
  const count = (name: string) => counted[name] = (counted[name] ?? 0) + 1;
  for (const [table, then] of before) {
    const now = after.get(table) ?? new Map<string, Record<string, string>>();
    for (const key of now.keys()) if (!then.has(key)) count(`${table} appears`);
    for (const [key, row] of then) {
      const other = now.get(key);
      if (other === undefined) {
        count(`${table} vanishes`);
        continue;
      }
      const columns = Object.keys(row).filter((column) => row[column] !== other[column]);
      if (columns.length > 0) count(`${table} changes`);
      for (const column of columns) count(`${table}.${column} changes`);
    }
  }
  return counted;
}

Deno.test("what a dry run counts is what loading then does, whatever was changed", async (t) => {
  await using sql = await SqlFixture.create();
  const at = (minute: string) => `2026-03-01 10:${minute}+00`;
  const book = (shift: number) => ({
    [BUY]: Array.from({ length: 30 }, (_, i) =>
      offer({
        id: String(i + shift),
        price: i % 9 === 0 ? "0" : `${460 + i}.50`,
        user: `s${i % 7}`,
        nick: `n${i % 7} ${i % 7 === shift % 7 ? shift : ""}`,
      })),
    [SELL]: [offer({ id: "900", price: "455.1", user: "s2", nick: `n2 ${shift % 2}` })],
  });
  // The last one comes late, between the others.
  const batches: TestBatch[] = [];
  for (const [index, minute] of ["00", "20", "30", "10"].entries()) {
    batches.push(await sql.loadBatch(at(minute), book(index)));
  }
  const parser = PARSER;
  const changes: [name: string, from: string, to: string][] = [
    [parser, PRICE, "trim_scale((i.adv ->> 'price')::numeric)::text as price"],
    [parser, PRICE, "nullif(i.adv ->> 'price', '461.50') as price"],
    [
      parser,
      "i.advertiser ->> 'nickName' as nick_name",
      "upper(i.advertiser ->> 'nickName') as nick_name",
    ],
    [parser, "i.advertiser ->> 'nickName' as nick_name", "'same' as nick_name"],
    [
      parser,
      "i.advertiser ->> 'userNo' as user_no",
      "nullif(i.advertiser ->> 'userNo', 's2') as user_no",
    ],
    [
      parser,
      "i.advertiser ->> 'userNo' as user_no",
      "'x' || (i.advertiser ->> 'userNo') as user_no",
    ],
    [parser, "i.adv ->> 'advNo' as adv_no", "'x' || (i.adv ->> 'advNo') as adv_no"],
    [
      parser,
      "method.value ->> 'identifier' as code",
      "method.value ->> 'identifier' || '2' as code",
    ],
    ["reject_offers", "p.price <= 0", "p.price in (0, 465.5)"],
    ["reject_offers", "p.price <= 0", "p.price <= 470"],
    ["rule_completeness", "0)", "0) - 0.5"],
  ];
  const choices = [[batches[3]], [batches[1], batches[3]], batches];
  for (const [index, [name, from, to]] of changes.entries()) {
    await t.step(`${name}: ${to}`, async () => {
      const shipped = String(await sql.value(`select pg_get_functiondef('p2p.${name}'::regproc)`));
      const candidate = await changedFunction(sql.database, name, from, to);
      const chosen = (choices[index % choices.length] ?? []).filter((batch) => batch !== undefined);
      const before = await facts(sql, chosen);
      const told = counts(await preview(sql, chosen, candidate));
      assert.deepEqual(differences(before, await facts(sql, chosen)), {}, "nothing stays");
      await sql.database.runScript(candidate, 60);
      const inOrder = [...chosen].sort((a, b) => a.start.getTime() - b.start.getTime());
      for (const batch of inOrder) await batch.load();
      const happened = differences(before, await facts(sql, chosen));
      for (const key of Object.keys(told)) {
        if (!before.has(key.split(/[ .]/)[0] ?? "")) delete told[key];
      }
      assert.deepEqual(told, happened);
      assert.ok(Object.keys(happened).length > 0, "the change has an effect");
      await sql.database.runScript(shipped, 60);
      for (const batch of [...batches].sort((a, b) => a.start.getTime() - b.start.getTime())) {
        await batch.load();
      }
    });
  }
});
