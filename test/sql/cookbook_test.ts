// The queries of sql/README.md run, and find something, on a market like the one they were written on.
import assert from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { urlAs } from "../support/database.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const readme = Deno.readTextFileSync(new URL("../../sql/README.md", import.meta.url));

/** The ```sql blocks of a section, each split into statements. */
function statementsOf(section: string): string[] {
  const from = readme.indexOf(`\n## ${section}\n`);
  assert.ok(from >= 0, section);
  const to = readme.indexOf("\n## ", from + 1);
  const text = readme.slice(from, to < 0 ? undefined : to);
  return [...text.matchAll(/```sql\n([^]*?)```/g)]
    .flatMap(([, block = ""]) => block.split(/;\s*$/m))
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
}

async function market(sql: SqlFixture): Promise<void> {
  const merchant = { userType: "merchant", userIdentity: "MASS_MERCHANT" };
  const limits = { minSingleTransAmount: "1", maxSingleTransAmount: "100000" };
  const wise = { tradeMethods: [{ identifier: "Wise", tradeMethodName: "Wise" }] };
  const offers = (nick: string) => [
    offer({ price: "250", amount: "4000", user: "m1", nick, advertiser: merchant }),
    offer({ price: "251", amount: "4000", adv: { ...limits, ...wise } }),
    offer({ price: "1.234,50" }),
  ];
  for (const [at, nick] of [["10:00", "before"], ["10:10", "after"]] as const) {
    const batch = await sql.openBatch({
      at: `2026-03-01 ${at}+00`,
      markets: ["VES/USDT BUY", "VES/USDT SELL", "ARS/USDT BUY"],
    });
    await batch.page("VES/USDT BUY", offers(nick));
    await batch.page("VES/USDT SELL", [offer({ price: "255" })]);
    await batch.lose("ARS/USDT BUY");
    await batch.load();
  }
}

for (const [section, least] of [["Cookbook", 17], ["Rejected offers", 1]] as const) {
  Deno.test(`queries of sql/README.md, ${section}`, async (t) => {
    await using sql = await SqlFixture.create();
    await using reader = new Database(urlAs("reader", sql.url), { applicationName: "test reader" });
    await market(sql);
    const statements = statementsOf(section);
    assert.ok(statements.length >= least, `${statements.length} statements`);
    for (const statement of statements) {
      await t.step(statement.split("\n").slice(0, 2).join(" "), async () => {
        const isForReaders = /^(select|with)\b/.test(statement) && section === "Cookbook";
        const rows = isForReaders ? await reader.run(statement, [], 60) : await sql.rows(statement);
        if (/^update/.test(statement)) return;
        assert.ok(rows.length > 0, "it finds something");
      });
    }
  });
}
