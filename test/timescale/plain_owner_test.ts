// The normal case of a managed database: who owns the schema is no superuser. All of it has to work for them.
import assert from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { migrate } from "../../src/database/migrate.ts";
import { refreshAggregates } from "../../src/database/refresh.ts";
import { adminUrl, LOGIN_PASSWORD, urlOf } from "../support/database.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

async function asSuperuser(url: string, ...statements: string[]): Promise<void> {
  await using admin = new Database(url, { applicationName: "test admin", connections: 1 });
  for (const statement of statements) await admin.run(statement, [], 60);
}

Deno.test("an owner who is no superuser: migrate, convert, load, pack, refresh, drop, policies", async () => {
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  const url = new URL(urlOf(name));
  url.username = name;
  url.password = LOGIN_PASSWORD;
  await asSuperuser(
    adminUrl(),
    `create role ${name} login password '${LOGIN_PASSWORD}'`,
    `create database ${name} owner ${name} template template0`,
  );
  try {
    await using sql = SqlFixture.connect(url.href);
    await migrate(sql.database);
    await sql.rows("update p2p.settings set value = '30' where name = 'offers_retention_days'");
    const load = (at: string) =>
      sql.loadBatch(at, { "VES/USDT BUY": [offer({ id: "1" }), offer({ id: "2" })] });
    await load("2026-01-01 10:00+00");
    await load("2026-01-20 10:00+00");
    await asSuperuser(urlOf(name), "create extension timescaledb schema public");
    const { policies, refreshed } = await migrate(sql.database);
    assert.deepEqual(policies.filter((line) => !line.endsWith(": made")), []);
    assert.equal(refreshed?.left, 0, refreshed?.reason);
    const late = await load("2026-01-20 09:00+00");
    await sql.rows("select public.compress_chunk(c) from public.show_chunks('p2p.fact_offers') c");
    await late.load();
    await load("2026-01-20 08:00+00");
    await refreshAggregates(sql.database);
    await load("2026-02-15 10:00+00");
    assert.equal(
      await sql.value("select count(distinct extraction_timestamp::date) from p2p.fact_offers"),
      "2",
      "the first of January was dropped",
    );
    assert.equal(
      await sql.value("select count(distinct hour::date) from p2p.merchant_hours"),
      "3",
      "and is history",
    );
    await sql.rows("update p2p.settings set value = '9' where name = 'columnstore_after_days'");
    assert.equal(
      await sql.value(
        "select string_agg(distinct owner::text, ',') from timescaledb_information.jobs where hypertable_schema = 'p2p'",
      ),
      name,
    );
    for (
      const job of await sql.values(
        "select job_id from timescaledb_information.jobs where hypertable_schema = 'p2p' order by 1",
      )
    ) {
      await sql.database.run(`call public.run_job(${Number(job)})`, [], 60);
    }
    assert.deepEqual(
      await sql.rows(
        // The newest batch is of February, and no policy looks at it any more.
        "select subject, rule, finding from p2p.policy_audit where status = 'violated' and rule not like 'it holds all facts%'",
      ),
      [],
    );
    assert.deepEqual(
      await sql.rows(
        "select topic, finding from p2p.diagnose() where state = 'bad' and topic not in ('batches', 'policies')",
      ),
      [],
    );
  } finally {
    await asSuperuser(adminUrl(), `drop database ${name} with (force)`, `drop role ${name}`);
  }
});
