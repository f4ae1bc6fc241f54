// The history that the bench makes up is a past that the product could have had.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SqlFixture } from "../support/sql_fixture.ts";

const FOLDER = fileURLToPath(import.meta.resolve("../bench/history"));
const STEPS = 20;

async function withHistory(seed: number): Promise<SqlFixture> {
  const sql = await SqlFixture.create();
  for (const name of ["world", "moments", "pages", "pick"]) {
    await sql.database.runScript(await Deno.readTextFile(join(FOLDER, `${name}.sql`)), 60);
  }
  await sql.rows("call history.make_world($1, '2026-10-01T00:00:00Z', 2, 10, 200, 20)", seed);
  await sql.rows("select history.make_moments(0, $1, true)", STEPS - 1);
  return sql;
}

async function digest(sql: SqlFixture): Promise<unknown> {
  return await sql.value(
    "select md5(string_agg(f::text, ' ' order by f.extraction_timestamp, f.offer_id)) from p2p.fact_offers f",
  );
}

Deno.test("a seed is always the same past, another seed is another one", async () => {
  await using one = await withHistory(7);
  await using again = await withHistory(7);
  await using other = await withHistory(8);
  strictEqual(await digest(one), await digest(again));
  ok(await digest(one) !== await digest(other));
});

Deno.test("made-up history refers to what is there, changes as markets do, and real batches load after it", async (t) => {
  await using sql = await withHistory(1);

  await t.step("offers, ledger and dimensions agree", async () => {
    strictEqual(
      await sql.value("select count(distinct extraction_timestamp)::integer from p2p.fact_offers"),
      STEPS,
    );
    strictEqual(
      await sql.value(
        `select count(*)::integer from p2p.fact_offers f
         left join p2p.dim_offers o on o.offer_id = f.offer_id and o.offer_external_id = f.offer_external_id
         left join p2p.dim_advertisers a on a.advertiser_sk = f.advertiser_sk
           and a.effective_date <= f.extraction_timestamp and a.expiration_date > f.extraction_timestamp
         left join p2p.dim_payment_sets s using (payment_set_id)
         left join p2p.ops_batch_runs r on r.batch_id = f.batch_id and r.batch_start_time = f.extraction_timestamp
         where o.offer_id is null or a.advertiser_sk is null or s.payment_set_id is null or r.batch_id is null`,
      ),
      0,
    );
    strictEqual(
      await sql.value(
        `select count(*)::integer from p2p.ops_batch_runs r
         where r.total_offers_inserted <> (select count(*) from p2p.fact_offers f where f.batch_id = r.batch_id)`,
      ),
      0,
    );
  });

  await t.step("some prices change from batch to batch, most do not", async () => {
    const share = Number(
      await sql.value(
        `select avg((price <> before)::integer) from (
           select price, lag(price) over (partition by offer_id order by extraction_timestamp) as before
           from p2p.fact_offers) x where before is not null`,
      ),
    );
    ok(share > 0.02 && share < 0.3, `${share} of the prices change`);
  });

  await t.step("every query of the set runs, and finds something", async () => {
    const question = await sql.row("select * from history.pick(1)");
    for await (const { name } of Deno.readDir(join(FOLDER, "queries"))) {
      const text = await Deno.readTextFile(join(FOLDER, "queries", name));
      ok(/^-- .+\n-- aggregate: (yes|no)\n/.test(text), `${name} says whose question it is`);
      const parameters: string[] = [];
      const statement = text.replaceAll(/:'(\w+)'/g, (_, parameter: string) => {
        const value = question[parameter];
        parameters.push(value instanceof Date ? value.toISOString() : String(value));
        return `$${parameters.length}::text`;
      });
      await sql.rows(statement, ...parameters);
    }
  });

  await t.step("load_batch loads pages after it", async () => {
    const batch = String(await sql.value("select history.make_pages($1, 100)", STEPS));
    const { status, total_offers_inserted } = await sql.row(
      "select status, total_offers_inserted from p2p.load_batch($1)",
      batch,
    );
    deepStrictEqual({ status, total_offers_inserted }, {
      status: "completed",
      total_offers_inserted: 100,
    });
  });
});
