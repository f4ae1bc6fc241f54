import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const readme = Deno.readTextFileSync(new URL("../../sql/README.md", import.meta.url));

/** The fenced SQL below a heading of sql/README.md. */
function examples(heading: string): string[] {
  const [, section = ""] = readme.split(`\n## ${heading}\n`);
  const [text = ""] = section.split("\n## ");
  const blocks = [...text.matchAll(/^( *)```sql\n([^]*?)^ *```$/gm)].map(([, , sql = ""]) => sql);
  assert.ok(blocks.length > 0, `no SQL below "${heading}"`);
  return blocks;
}

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";

Deno.test("README: the step of a DBA's own, added to a running database", async () => {
  await using sql = await SqlFixture.create();
  const [create = "", ...uses] = examples("Add a step of your own");
  await sql.database.runScript(create, 20);
  const batch = await sql.loadBatch("2026-03-01 10:00+00", {
    [BUY]: [offer({ price: "37" }), offer({ price: "36.50" })],
    [SELL]: [offer({ price: "36" }), offer({ price: "35" })],
    "ARS/USDT BUY": [],
  });
  assert.equal(await sql.value("select count(*)::integer from p2p.failed_steps"), 0);
  assert.deepEqual(
    await sql.rows(
      "select fiat, crypto, trade_type, price, seen_at = $1 as is_of_batch from my.best_prices order by trade_type",
      batch.start,
    ),
    [["BUY", "36.50"], ["SELL", "36"]].map(([trade_type, price]) => ({
      fiat: "VES",
      crypto: "USDT",
      trade_type,
      price,
      is_of_batch: true,
    })),
  );
  const before = await sql.values("select xmin::text from my.best_prices");
  await batch.load();
  assert.deepEqual(await sql.values("select xmin::text from my.best_prices"), before);

  for (const use of uses) await sql.database.runScript(use, 20);
  await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [offer()] });
  assert.equal(await sql.value("select count(*)::integer from my.best_prices"), 2, "switched off");
});

Deno.test("README: a step that raises and ends incidents, which a worker is told of", async () => {
  await using sql = await SqlFixture.create();
  const [create = ""] = examples("Alerts and metrics of your own");
  await sql.database.runScript(create, 20);
  const news = () =>
    sql.rows(
      "select kind, subject, message, is_open from p2p.watch_incidents('w:1:1', 10, 3) where kind = 'crossed_book'",
    );
  const crossed = { [BUY]: [offer({ price: "36" })], [SELL]: [offer({ price: "37" })] };
  const batch = await sql.loadBatch("2026-03-01 10:00+00", crossed);
  await batch.load();
  assert.equal(await sql.value("select count(*)::integer from p2p.failed_steps"), 0);
  const incident = { kind: "crossed_book", subject: "VES/USDT" };
  assert.deepEqual(await news(), [{
    ...incident,
    message: "buy at 36, sell at 37",
    is_open: true,
  }]);
  await sql.value(
    "select p2p.incidents_told(array(select incident_id from p2p.ops_incidents), '{}')",
  );
  await sql.loadBatch("2026-03-01 10:10+00", {
    [BUY]: [offer({ price: "37" })],
    [SELL]: [offer({ price: "36" })],
  });
  assert.deepEqual(await news(), [
    { ...incident, message: "not crossed any more", is_open: false },
  ]);
});

Deno.test("README: which SQL loaded this batch", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer({ id: "7" })] });
  const [block = ""] = examples("Which SQL loaded this batch?");
  const answers: unknown[][] = [];
  for (const statement of block.split(";\n").filter((text) => text.trim() !== "")) {
    const filled = statement
      .replace("batch_id = '…'", `batch_id = '${batch.id}'`)
      .replace("offer_external_id = '…'", "offer_external_id = '7'")
      .replace("extraction_timestamp = '…'", "extraction_timestamp = '2026-03-01 10:00+00'");
    assert.ok(!filled.includes("…"), filled);
    answers.push(await sql.rows(filled));
  }
  assert.deepEqual(answers.map((rows) => rows.length), [1, 1, 1, 1, 1, 1]);
});

Deno.test("README: the table of steps is what is shipped", async () => {
  await using sql = await SqlFixture.create();
  const rows = [...readme.matchAll(/^\| ([\d.]+) +\| `(\w+)` +\|/gm)].map(([, position, name]) => ({
    position,
    name,
  }));
  const isHere = async (name: unknown) =>
    name !== "summarise_hours" || await sql.value("select p2p.database_tier()") === "plain";
  const expected: typeof rows = [];
  for (const row of rows) if (await isHere(row.name)) expected.push(row);
  assert.deepEqual(
    expected,
    await sql.rows("select position::text, name from p2p.pipeline_steps s order by s.position"),
  );
});
