// Real recorded answers, replayed: every offer of them is in the database, to the digit.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { Database } from "../../src/database/connection.ts";
import { PATH } from "../../src/simulator/answers.ts";
import { batchOf, rowsOf } from "../support/batches.ts";
import { testDatabase } from "../support/database.ts";
import { skipLoudly } from "../support/embedded.ts";
import { pageOf, startStrangeExchange, type StrangeRequest } from "../support/strange_exchange.ts";

const FOLDER = Deno.env.get("CAPTURES_DIR") ??
  fileURLToPath(import.meta.resolve("../../../shared/captures"));

interface Ad {
  readonly adv: {
    readonly advNo: string;
    readonly price: string;
    readonly surplusAmount: string;
    readonly tradableQuantity: string | null;
    readonly minSingleTransAmount: string;
    readonly maxSingleTransAmount: string;
    readonly tradeMethods: readonly { identifier: string | null }[];
  };
  readonly advertiser: { readonly userNo: string; readonly nickName: string };
}

/** One recorded page of each market, e.g. `KZT/USDT BUY`; and configurations by fiat, where there are. */
interface Recording {
  readonly title: string;
  readonly pages: ReadonlyMap<string, string>;
  readonly configs: ReadonlyMap<string, string>;
}

async function recordingsOf2022(): Promise<Recording[]> {
  const byTitle = new Map<string, { pages: Map<string, string>; configs: Map<string, string> }>();
  const folder = `${FOLDER}/binance-2022`;
  for await (const { name } of Deno.readDir(folder)) {
    const [, title = "", call = "", rest = ""] =
      /^(.*?)_\d\d_(portal-config|adv-search)_(.*)\.json$/.exec(name) ?? [];
    const recording = byTitle.get(title) ?? { pages: new Map(), configs: new Map() };
    byTitle.set(title, recording);
    const text = await Deno.readTextFile(`${folder}/${name}`);
    const [fiat = "", asset = "", side = ""] = rest.split("_");
    if (call === "portal-config") recording.configs.set(fiat, text);
    else recording.pages.set(`${fiat}/${asset} ${side}`, text);
  }
  return [...byTitle].map(([title, recording]) => ({ title, ...recording }));
}

/** Reads at one time are one recording; their items are left as they are, to the byte. */
async function recordingsOf2026(): Promise<Recording[]> {
  const byTime = new Map<string, Map<string, string>>();
  const folder = `${FOLDER}/binance-2026`;
  for await (const { name } of Deno.readDir(folder)) {
    for (const line of (await Deno.readTextFile(`${folder}/${name}`)).trim().split("\n")) {
      const { fecha_utc: time, lado, anuncios } = JSON.parse(line);
      const [{ adv }] = anuncios;
      const start = line.indexOf('"anuncios": [') + '"anuncios": ['.length;
      const pages = byTime.get(time) ?? new Map<string, string>();
      byTime.set(time, pages);
      const market = `${adv.fiatUnit}/${adv.asset} ${lado === "compra" ? "BUY" : "SELL"}`;
      pages.set(market, pageOf([line.slice(start, -2)], anuncios.length));
    }
  }
  return [...byTime].sort().map(([title, pages]) => ({ title, pages, configs: new Map() }));
}

function fiatsOf({ pages }: Recording): string[] {
  return [...new Set([...pages.keys()].map((market) => market.slice(0, market.indexOf("/"))))];
}

function configOf({ pages, configs }: Recording, fiat: string): string {
  const markets = [...pages.keys()].filter((market) => market.startsWith(`${fiat}/`));
  const tradeSides = markets.map((market) => {
    const [, asset, side] = /\/(\S+) (\S+)/.exec(market) ?? [];
    return { side, assets: [{ asset, description: null }] };
  });
  const areas = markets.length === 0 ? [] : [{ area: "P2P", tradeSides }];
  return configs.get(fiat) ?? JSON.stringify({ code: "000000", data: { areas }, success: true });
}

function replay(recording: Recording): (request: StrangeRequest) => string {
  return ({ path, fiat, asset, side, page }) => {
    switch (path) {
      case PATH.fiats: {
        const data = fiatsOf(recording).map((code) => ({ currencyCode: code, countryCode: "XX" }));
        return JSON.stringify({ code: "000000", data, success: true });
      }
      case PATH.config:
        return configOf(recording, fiat);
      case PATH.filters:
        return JSON.stringify({ code: "000000", data: { tradeMethods: [] }, success: true });
    }
    const recorded = page === 1 ? recording.pages.get(`${fiat}/${asset} ${side}`) : undefined;
    return recorded ?? pageOf([], 0);
  };
}

/** What must be in the snapshot: each ad once, as it stands last on its page. */
function expected(recording: Recording): unknown[] {
  const offers = [...recording.pages].flatMap(([market, text]) =>
    (JSON.parse(text).data as Ad[]).map(({ adv, advertiser }) => ({
      id: adv.advNo,
      market,
      price: adv.price,
      available: adv.surplusAmount,
      tradable: adv.tradableQuantity,
      min: adv.minSingleTransAmount,
      max: adv.maxSingleTransAmount,
      advertiser: advertiser.userNo,
      nickname: advertiser.nickName,
      methods: [...new Set(adv.tradeMethods.flatMap(({ identifier }) => identifier ?? []))],
    }))
  );
  return [...new Map(offers.map((offer) => [offer.id, offer])).values()]
    .sort((a, b) => a.id < b.id ? -1 : 1);
}

async function stored(database: Database, batchId: string): Promise<unknown[]> {
  const rows = await rowsOf(
    database,
    `select o.offer_external_id as id, f.currency_code || '/' || c.symbol || ' ' || o.trade_type as market,
            o.price::text, o.available_amount::text as available, o.tradable_quantity::text as tradable,
            o.min_limit::text as min, o.max_limit::text as max, a.advertiser_id as advertiser, a.nickname,
            (select coalesce(jsonb_agg(m.method_code order by l.position), '[]')
             from unnest(s.payment_method_ids) with ordinality as l (id, position)
             join p2p.dim_payment_methods m on m.payment_method_id = l.id) as methods
     from p2p.fact_offers o
     join p2p.dim_fiat_currencies f using (fiat_id) join p2p.dim_cryptocurrencies c using (crypto_id)
     join p2p.dim_advertisers a using (advertiser_sk) join p2p.dim_payment_sets s using (payment_set_id)
     where o.batch_id = $1 order by o.offer_external_id collate "C"`,
    batchId,
  );
  return rows.map((row) => ({ ...row }));
}

async function isThere(): Promise<boolean> {
  const found = await Deno.stat(`${FOLDER}/binance-2022`).then(() => true, () => false);
  if (!found) skipLoudly(`the recordings are not in ${FOLDER}; set CAPTURES_DIR`);
  return found;
}

Deno.test("recordings of 2022 and 2026 are in the database to the digit", async (t) => {
  if (!await isThere()) return;
  await using test = await testDatabase();
  const recordings = [...await recordingsOf2022(), ...await recordingsOf2026()];
  strictEqual(recordings.length, 3 + 10);
  let repeatedMethods = 0;
  for (const recording of recordings) {
    await t.step(recording.title, async () => {
      // Each as if it were another day: its markets are asked for anew.
      await rowsOf(test.database, "delete from p2p.ops_discoveries");
      await using exchange = startStrangeExchange({}, replay(recording));
      const batch = await batchOf(test.database, exchange.url);
      strictEqual(batch.status, "completed");
      strictEqual(batch.offersRejected, 0);
      const truth = expected(recording);
      strictEqual(batch.offersInserted, truth.length);
      deepStrictEqual(await stored(test.database, batch.batchId), truth);

      const shas = await rowsOf(
        test.database,
        `select encode(body_sha256, 'hex') as sha from p2p.stg_responses where batch_id = $1`,
        batch.batchId,
      );
      const known = new Set(shas.map((row) => row["sha"]));
      for (const [market, text] of recording.pages) {
        ok(known.has(createHash("sha256").update(text).digest("hex")), `bytes of ${market}`);
        for (const { adv } of JSON.parse(text).data as Ad[]) {
          const codes = adv.tradeMethods.map(({ identifier }) => identifier);
          if (new Set(codes).size < codes.length) repeatedMethods++;
        }
      }
    });
  }
  ok(repeatedMethods > 0, "some ads name a payment method twice");
});
