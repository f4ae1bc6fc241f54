// Real recorded answers, watched: the field that nobody had seen before 2026-08-07 makes one event.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { skipLoudly } from "../support/embedded.ts";
import { type MarketName, SqlFixture } from "../support/sql_fixture.ts";
import { pageOf } from "../support/strange_exchange.ts";

const FOLDER = Deno.env.get("CAPTURES_DIR") ??
  fileURLToPath(import.meta.resolve("../../../shared/captures"));

/** The pages of each time, in order: `2026-07-29 03:12:58` → `USD/USDT BUY` → text. */
async function recordings(): Promise<Map<string, Map<MarketName, string>>> {
  const byTime = new Map<string, Map<MarketName, string>>();
  const names = [...Deno.readDirSync(`${FOLDER}/binance-2026`)].map(({ name }) => name).sort();
  for (const name of names) {
    const text = await Deno.readTextFile(`${FOLDER}/binance-2026/${name}`);
    for (const line of text.trim().split("\n")) {
      const { fecha_utc: time, lado, anuncios } = JSON.parse(line);
      const [{ adv }] = anuncios;
      const start = line.indexOf('"anuncios": [') + '"anuncios": ['.length;
      const market: MarketName = `${adv.fiatUnit}/${adv.asset} ${
        lado === "compra" ? "BUY" : "SELL"
      }`;
      const pages = byTime.get(time) ?? new Map<MarketName, string>();
      byTime.set(time, pages.set(market, pageOf([line.slice(start, -2)], anuncios.length)));
    }
  }
  return new Map([...byTime].sort());
}

Deno.test("the field that first came on 2026-08-07 is one event", async () => {
  if (!await Deno.stat(`${FOLDER}/binance-2026`).then(() => true, () => false)) {
    return skipLoudly(`the recordings are not in ${FOLDER}; set CAPTURES_DIR`);
  }
  await using sql = await SqlFixture.create();
  for (const [time, pages] of await recordings()) {
    const batch = await sql.openBatch({ at: `${time}+00`, markets: [...pages.keys()] });
    for (const [market, text] of pages) await batch.body(market, text);
    await batch.load();
  }
  const events = await sql.rows(
    "select event_at::text as at, event, path, json_type, is_needed from p2p.ops_shape_events order by event_id",
  );
  const seen = (at: string, event: string, path: string) => ({
    at,
    event,
    path,
    json_type: "null",
    is_needed: false,
  });
  assert.deepEqual(events, [
    // Ads that name one payment method twice, the second time without a name.
    seen("2026-08-01 06:48:11+00", "new type", "data[].adv.tradeMethods[].tradeMethodBgColor"),
    seen("2026-08-01 06:48:11+00", "new type", "data[].adv.tradeMethods[].tradeMethodName"),
    seen("2026-08-07 06:52:26+00", "appeared", "data[].adv.advSystemLabelRet"),
  ]);
  assert.deepEqual(
    await sql.values(
      `select path from p2p.response_keys k right join p2p.parser_keys n using (parser, path)
       where n.parser = 'binance_search_v1' and coalesce(k.present_percent, 0) <> 100 order by 1`,
    ),
    [],
    "every key that the parser needs is in every page of 2026",
  );
  assert.deepEqual(
    await sql.values(
      "select distinct result from p2p.ops_data_quality where metric_name = 'needed_keys'",
    ),
    ["ok"],
  );
});
