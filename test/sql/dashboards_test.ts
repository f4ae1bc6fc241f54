// Every SQL panel of deploy/grafana/dashboards/market.json runs as a reader, on a loaded database, and shows something.
import assert from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { expandSql, readDashboard, targetsOf } from "../support/dashboards.ts";
import { urlAs } from "../support/database.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";
const RANGE = ["2026-03-01 00:00+00", "2026-03-03 00:00+00"] as const;

async function market(sql: SqlFixture): Promise<void> {
  for (const minute of ["00", "10"]) {
    const batch = await sql.openBatch({ at: `2026-03-01 10:${minute}+00`, markets: [BUY, SELL] });
    await batch.page(BUY, [offer({ price: `25${minute}` }), offer({ price: "2600" })]);
    await batch.page(SELL, [offer({ price: "2490" })]);
    await batch.load();
  }
  await sql.rows("select p2p.raise_incident('completeness', '', 'half is missing', 'a')");
}

Deno.test("every SQL panel and variable of the market dashboard shows something", async (t) => {
  await using sql = await SqlFixture.create();
  await using reader = new Database(urlAs("reader", sql.url), { applicationName: "test reader" });
  await market(sql);
  const dashboard = readDashboard("market");
  const chosen: Record<string, string> = { side: "BUY" };
  for (const { name, type, query } of dashboard.templating.list) {
    if (type !== "query") continue;
    await t.step(`variable ${name}`, async () => {
      const [row] = await reader.run(expandSql(query, chosen, RANGE), [], 20);
      chosen[name] = String(Object.values(row ?? {})[0]);
    });
  }
  assert.deepEqual(chosen, { side: "BUY", exchange: "binance", fiat: "VES", crypto: "USDT" });
  const targets = targetsOf(dashboard);
  assert.ok(targets.length >= 14);
  for (const { panel, query, format } of targets) {
    await t.step(panel, async () => {
      const rows = await reader.run(expandSql(query, chosen, RANGE), [], 20);
      assert.ok(rows.length > 0, "it shows nothing");
      if (format !== "time_series") return;
      // What Grafana needs to draw it: a time, numbers, and at most one name of the series.
      for (const row of rows) {
        const { time, metric, ...values } = row;
        assert.ok(time instanceof Date, "time");
        assert.ok(metric === undefined || typeof metric === "string", "metric");
        const numbers = Object.values(values).filter((value) => value !== null);
        assert.ok(numbers.every((value) => typeof value === "number"), JSON.stringify(values));
      }
      assert.ok(rows.some((row) => Object.values(row).some((value) => typeof value === "number")));
    });
  }
  await t.step("a name with a quote is no way in", async () => {
    const nasty = { ...chosen, fiat: "x'; drop table p2p.settings; --" };
    for (const { query } of targets) await reader.run(expandSql(query, nasty, RANGE), [], 20);
  });
});
