// Raw pages moved from one database to another, with the statement that docs/import.md gives, make the same facts.
import assert from "node:assert/strict";
import { batchOf } from "../support/batches.ts";
import { factsOf, historyOf } from "../support/facts.ts";
import { Folder, imported } from "../support/recordings.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { faultByChance, MODEST_RATES } from "../../src/simulator/fault.ts";
import { startSimulator } from "../../src/simulator/server.ts";

const PAGE = new URL("../../docs/import.md", import.meta.url);

const MARKETS = "VES/*,ARS/*,NGN/*,CNY/USDT";

/** The statement in docs/import.md. */
async function exportStatement(): Promise<string> {
  const [, section = ""] = (await Deno.readTextFile(PAGE)).split("\n## Moving a database\n");
  const [, statement] = /```sql\n(select[^]*?)```/.exec(section) ?? [];
  assert.ok(statement, "docs/import.md has the statement");
  return statement.replace(/;\s*$/, "");
}

async function linesOf(sql: SqlFixture): Promise<string[]> {
  return (await sql.values(`select line::text from (${await exportStatement()}) as t (line)`))
    .map(String);
}

Deno.test("a database made of another one's pages has the same facts", async (t) => {
  await using folder = await Folder.create();
  await using source = await SqlFixture.create();
  let now = Date.UTC(2026, 8, 1, 9);
  {
    const simulator = await startSimulator({ offers: 1500, now: () => now });
    try {
      for (const _ of [1, 2, 3]) {
        assert.equal(
          (await batchOf(source.database, simulator.url, { markets: MARKETS })).status,
          "completed",
        );
        now += 3 * 3_600_000;
      }
    } finally {
      await simulator.close();
    }
  }
  await t.step("of whole batches also the ledger is the same", async () => {
    await using target = await SqlFixture.create();
    const file = await folder.file("pages.jsonl", await linesOf(source));
    const told = await imported(target, [file]);
    assert.deepEqual([told["loaded"], told["lines_left_out"]], [{
      completed: 3,
      partial: 0,
      failed: 0,
    }, 0]);
    assert.deepEqual(await factsOf(target), await factsOf(source));
    assert.deepEqual(await historyOf(target), await historyOf(source));
  });
  await t.step("back in the database they come from they are there already", async () => {
    const before = await source.dump();
    const told = await imported(source, [`${folder.path}/pages.jsonl`]);
    assert.equal(told["pages_stored"], 0);
    assert.deepEqual(await source.dump(), before);
  });
  await t.step("pages of a difficult exchange, as far as they came", async () => {
    await using damaged = await SqlFixture.create();
    const simulator = await startSimulator({
      offers: 1500,
      faults: { malformedOffers: 0.05, awkwardOffers: 0.15 },
      faultFor: ({ search, number }) =>
        search && faultByChance({ ...MODEST_RATES, timeout: 0 }, (number * 0.618034) % 1),
      now: () => now,
    });
    try {
      for (const _ of [1, 2]) {
        await batchOf(damaged.database, simulator.url, {
          markets: MARKETS,
          maxRetries: 1,
          timeoutSeconds: 1,
        });
      }
    } finally {
      await simulator.close();
    }
    await using target = await SqlFixture.create();
    const file = await folder.file("difficult.jsonl", await linesOf(damaged));
    await imported(target, [file]);
    const facts = await factsOf(damaged);
    const moved = await factsOf(target);
    // A book of which no page came has a row in the ledger of its own batch only; whether a book is whole is seen anew.
    for (const name of ["fact_offers", "dim_advertisers", "ops_rejected_offers", "stg_responses"]) {
      assert.deepEqual(moved[name], facts[name], name);
    }
  });
});
