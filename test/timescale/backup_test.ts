// The same with hypertables, columnstore, continuous aggregates and policies, as docs/backup.md says.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { isUpToDate, planMigration } from "../../src/database/migration_plan.ts";
import { canDump, contents, dump, restore } from "../support/backup.ts";
import { testDatabase } from "../support/database.ts";
import { schemaText } from "../support/schema_text.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";

Deno.test({
  name: "a restored backup has its chunks, aggregates and policies, packed ones too, and goes on",
  ignore: !await canDump(),
  fn: async () => {
    await using source = await SqlFixture.create();
    for (const [at, price] of [["2026-03-01 10:00+00", "36"], ["2026-03-01 11:00+00", "37"]]) {
      await source.loadBatch(at, { [BUY]: [offer({ id: "1", price: price ?? "" })] });
    }
    await source.rows(
      "select public.compress_chunk(c) from public.show_chunks('p2p.fact_offers') c",
    );
    await source.loadBatch("2026-03-20 10:00+00", { [BUY]: [offer({ id: "1", price: "38" })] });
    for (const name of ["market_hours_v1", "market_days_v1"]) {
      await source.database.runScript(
        `call public.refresh_continuous_aggregate('p2p.${name}', null, null)`,
        60,
      );
    }
    const asked = [
      "select time_bucket, best_close from p2p.market_hourly order by 1",
      "select time_bucket, best_close from p2p.market_daily order by 1",
      "select subject, status from p2p.policy_audit order by 1",
      `select proc_name, hypertable_schema, hypertable_name, schedule_interval, config - 'hypertable_id' - 'mat_hypertable_id' as config
       from timescaledb_information.jobs where hypertable_schema in ('p2p', '_timescaledb_internal')
       order by 1, 3, 5`,
      "select hypertable_name, count(*)::integer as chunks, count(*) filter (where is_compressed)::integer as packed from timescaledb_information.chunks group by 1 order by 1",
      "select identity, state from p2p.object_states order by 1",
    ];
    const file = await Deno.makeTempFile({ suffix: ".dump" });
    await dump(source.url, file);

    await using target = await testDatabase("empty");
    await target.database.runScript("select public.timescaledb_pre_restore()", 60);
    await restore(file, target.url);
    await target.database.runScript("select public.timescaledb_post_restore()", 60);
    await Deno.remove(file);

    await using sql = SqlFixture.connect(target.url);
    deepStrictEqual(await contents(target.database), await contents(source.database));
    for (const statement of asked) {
      const there = await source.rows(statement);
      ok(there.length > 0, statement);
      deepStrictEqual(await sql.rows(statement), there);
    }
    strictEqual(await schemaText(target.database), await schemaText(source.database));
    ok(isUpToDate(await planMigration(target.database)), "migrate finds nothing to do");

    await sql.loadBatch("2026-03-20 11:00+00", { [BUY]: [offer({ id: "1", price: "39" })] });
    await sql.database.runScript(
      "call public.refresh_continuous_aggregate('p2p.market_hours_v1', null, null)",
      60,
    );
    strictEqual(
      await sql.value("select count(*)::integer from p2p.market_hourly"),
      4,
      "aggregates are refreshed",
    );
    ok(
      Number(await sql.value("select count(*) from public.show_chunks('p2p.fact_offers')")) >= 2,
    );
  },
});
