// The rule that sql/README.md adds, from the text of the README itself.
import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const README = new URL("../../sql/README.md", import.meta.url);

/** The fenced blocks of a section, in order. */
async function blocksOf(heading: string): Promise<string[]> {
  const [, section = ""] = (await Deno.readTextFile(README)).split(`\n${heading}\n`);
  const [text = ""] = section.split(/\n##+ /);
  return [...text.matchAll(/```\w+\n([^]*?)```/g)].map(([, block]) => block ?? "");
}

/** Rows of a table as psql prints it. */
function rowsOf(table: string): string[][] {
  const lines = table.trimEnd().split("\n").filter((line) => line.includes("|"));
  return lines.map((line) => line.split("|").map((cell) => cell.trim()));
}

Deno.test("the rule of the README works as the README shows", async () => {
  await using sql = await SqlFixture.create();
  const [install = "", query = "", output = "", ...more] = await blocksOf("### A rule of your own");
  assert.deepEqual(more, []);
  await sql.database.runScript(install, 20);
  const offers = Array.from({ length: 6 }, () => offer());
  const [a, b, c] = ["VES/USDT BUY", "VES/USDT SELL", "VES/BTC SELL"] as const;
  await sql.loadBatch("2026-03-01 10:00+00", { [a]: offers, [b]: offers, [c]: [offer()] });
  await sql.loadBatch("2026-03-01 10:10+00", { [a]: offers, [b]: [], [c]: [] });
  const [row] = await sql.rows(query);
  assert.ok(row);
  const shown = Object.values(row).map((cell) => typeof cell === "object" ? cell : String(cell));
  const [names, values] = rowsOf(output);
  assert.deepEqual(Object.keys(row), names);
  assert.deepEqual(shown, values?.map((cell) => cell.startsWith("{") ? JSON.parse(cell) : cell));
});

Deno.test("the other examples of the README on rules and shapes run", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch(undefined, { "VES/USDT BUY": [offer()] });
  for (const heading of ["## Quality rules", "## Shapes"]) {
    const blocks = await blocksOf(heading);
    assert.ok(blocks.length > 0, heading);
    for (const block of blocks) await sql.database.runScript(block, 20);
  }
  assert.equal(
    await sql.value(
      "select error_threshold::integer from p2p.quality_rules where name = 'price_anomaly'",
    ),
    30,
  );
});
