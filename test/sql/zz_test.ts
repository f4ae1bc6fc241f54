import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";
Deno.test("x", async () => {
  await using sql = await SqlFixture.create();
  for (const at of ["10:20", "10:00", "10:10", "11:00"]) {
    await sql.loadBatch("2026-03-01 " + at + "+00", { "VES/USDT BUY": [offer()] });
    console.log(
      at,
      await sql.values("select hour from p2p.open_hours"),
      await sql.rows("select hour, snapshots from p2p.stored_market_hours"),
      await sql.rows("select hour, snapshots from p2p.market_hours"),
      await sql.rows("select count(*) from p2p.fact_market_depth"),
    );
  }
  console.log(await sql.rows("explain select hour, snapshots from p2p.market_hours"));
});
