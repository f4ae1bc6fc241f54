import assert from "node:assert/strict";
import { migrate } from "../../src/database/migrate.ts";
import { RELEASE, sha256 } from "../../src/database/release.ts";
import type { Database, Row } from "../../src/database/connection.ts";
import { testDatabase } from "../support/database.ts";
import { formerRelease, installRelease } from "../support/releases.ts";
import { schemaText } from "../support/schema_text.ts";
import { SqlFixture } from "../support/sql_fixture.ts";

const FORMER = ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0"].map(formerRelease);

/** What a release must hand on, in an order of its own. */
const HANDED_ON: Readonly<Record<string, string>> = {
  stg_responses: "extraction_timestamp, market_id, page_number",
  fact_offers: "extraction_timestamp, offer_id",
  fact_market_depth: "depth_id",
  dim_advertisers: "advertiser_sk",
  dim_offers: "offer_id",
  dim_payment_sets: "payment_set_id",
  ops_batch_runs: "batch_start_time",
  ops_batch_markets: "batch_id, market_id",
  ops_rejected_offers: "batch_id, item_number",
  ops_extraction_errors: "error_id",
};

/** All rows as text, by column. Leases of batches are gone: workers have them. */
async function contents(sql: SqlFixture): Promise<Map<string, Row[]>> {
  const found = new Map<string, Row[]>();
  for (const [table, order] of Object.entries(HANDED_ON)) {
    found.set(
      table,
      (await sql.values(
        `select to_jsonb(t) - 'lease_expires_at' from p2p.${table} t order by ${order}`,
      )) as Row[],
    );
  }
  return found;
}

/** What a database keeps how long is its own: an older one keeps what it kept. */
const OWN_VALUE =
  /("name": "(?:raw_retention|offers_retention|columnstore_after)_days".*"value": )"\d+"/;

const comparedText = async (database: Database): Promise<string[]> =>
  (await schemaText(database)).split("\n").map((line) => line.replace(OWN_VALUE, "$1…"));

/** Only the columns that there were. */
function narrowed(now: Map<string, Row[]>, then: Map<string, Row[]>): Map<string, Row[]> {
  return new Map([...now].map(([table, rows]) => {
    const names = Object.keys(then.get(table)?.[0] ?? {});
    return [table, rows.map((row) => Object.fromEntries(names.map((name) => [name, row[name]])))];
  }));
}

Deno.test("migrations of former releases are not edited", () => {
  const now = new Map(RELEASE.migrations.map(({ name, body }) => [name, sha256(body)]));
  for (const { frozen } of FORMER) {
    assert.ok(frozen.size > 0);
    for (const [name, hash] of frozen) assert.equal(now.get(name), hash, name);
  }
});

for (const release of FORMER) {
  Deno.test(`an upgrade from ${release.version} ends where a fresh install begins, and keeps what is stored`, async () => {
    await using fresh = await testDatabase();
    await using old = await testDatabase("empty");
    await installRelease(old.database, release);
    await old.database.runScript(release.batches, 60);
    await using sql = SqlFixture.connect(old.url);
    const before = await contents(sql);
    assert.deepEqual(
      [...before].map(([table, rows]) => [table, rows.length > 0]),
      [...before].map(([table]) => [table, true]),
      "that release left something in each",
    );

    await migrate(old.database);
    assert.deepEqual(await comparedText(old.database), await comparedText(fresh.database));
    assert.deepEqual(narrowed(await contents(sql), before), before);

    assert.deepEqual(
      await sql.rows(
        `select v.visited_at = (select max(batch_start_time) from p2p.ops_batch_runs) as newest, pages, offers, empty_since,
           waiting_since
         from p2p.ops_market_visits v join p2p.dim_markets m using (market_id) order by trade_type`,
      ),
      [
        { newest: true, pages: 1, offers: 3, empty_since: null, waiting_since: null },
        { newest: null, pages: 1, offers: null, empty_since: null, waiting_since: null },
      ],
      "plan_batch knows what the last visits found",
    );

    const batches = await sql.values("select batch_id from p2p.ops_batch_runs order by 1");
    assert.equal(batches.length, 2);
    for (const id of batches) {
      const run = await sql.work("select * from p2p.load_batch($1)", String(id));
      assert.deepEqual([run["status"], run["total_offers_inserted"]], ["partial", 2]);
    }
    assert.deepEqual(
      await sql.values(
        "select price::text from p2p.fact_offers order by extraction_timestamp, offer_id",
      ),
      ["461.50", "470", "461.50", "470"],
    );
    const loaded = await sql.dump();
    for (const id of batches) await sql.work("select * from p2p.load_batch($1)", String(id));
    assert.deepEqual(await sql.dump(), loaded, "a second load changes no row");
  });
}
