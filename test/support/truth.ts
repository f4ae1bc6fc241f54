/** What the simulated exchange sent, and what the database made of it, in the same shape. */
import type { Database } from "../../src/database/connection.ts";
import type { BookItem, MarketModel } from "../../src/simulator/market.ts";
import { rowsOf } from "./batches.ts";
import { LONGEST_NICKNAME, storable } from "./storable.ts";

export interface KnownOffer {
  readonly id: string;
  readonly market: string;
  readonly price: string;
  readonly available: string;
  readonly tradable: string;
  readonly min: string;
  readonly max: string;
  readonly advertiser: string;
  readonly nickname: string;
  readonly isMerchant: boolean;
  readonly payTimeLimit: number | null;
  readonly methods: readonly string[];
  readonly isPromoted: boolean;
}

/** Place of an item: its market, and the page that holds it at its own place. */
export interface Place {
  readonly market: string;
  readonly page: number;
}

/** Digits as PostgreSQL's numeric writes them: exponents are written out, nothing is rounded. */
export function plainDigits(text: string): string {
  const [, digits = "", exponent] = /^(.*?)(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  if (exponent === undefined) return text;
  const [whole = "", fraction = ""] = digits.split(".");
  const places = fraction.length - Number(exponent);
  const all = (whole + fraction).padStart(places + 1, "0");
  return places === 0 ? all : `${all.slice(0, -places)}.${all.slice(-places)}`;
}

/** All items of all books that the simulator serves, with their places. */
export function itemsOf(model: MarketModel): (Place & { item: BookItem })[] {
  return model.markets.flatMap(({ fiat, asset, side }) => {
    const market = `${fiat.code}/${asset.symbol} ${side}`;
    return model.book(fiat.code, asset.symbol, side).map((item, i) => ({
      market,
      page: Math.floor(i / 20) + 1,
      item,
    }));
  });
}

/** The offers that must be in the snapshot, by id. */
export function expectedOffers(
  model: MarketModel,
  wasServed: (place: Place) => boolean = () => true,
): KnownOffer[] {
  const offers = itemsOf(model)
    .filter(({ item, market, page }) =>
      wasServed({ market, page }) || (item.promoted && wasServed({ market, page: 1 }))
    )
    .flatMap(({ market, item: { sent, promoted } }) =>
      sent === undefined ? [] : [{
        id: sent.advNo,
        market,
        price: plainDigits(sent.price),
        available: plainDigits(sent.surplusAmount),
        tradable: plainDigits(sent.tradableQuantity),
        min: plainDigits(sent.minSingleTransAmount),
        max: plainDigits(sent.maxSingleTransAmount),
        advertiser: sent.userNo,
        nickname: [...storable(sent.nickName)].slice(0, LONGEST_NICKNAME).join(""),
        isMerchant: sent.merchant,
        payTimeLimit: sent.payTimeLimit,
        methods: [...new Set(sent.methods)],
        isPromoted: promoted && wasServed({ market, page: 1 }),
      }]
    );
  return byId(offers);
}

/** The offers that are in the snapshot, by id; one that is there twice is here twice. */
export async function storedOffers(
  database: Database,
  batchId: string,
  exchange = "binance",
): Promise<KnownOffer[]> {
  const rows = await rowsOf(
    database,
    `select
       o.offer_external_id as id,
       f.currency_code || '/' || c.symbol || ' ' || o.trade_type as market,
       o.price::text as price,
       o.available_amount::text as available,
       o.tradable_quantity::text as tradable,
       o.min_limit::text as min,
       o.max_limit::text as max,
       a.advertiser_id as advertiser,
       a.nickname,
       a.is_merchant as "isMerchant",
       o.payment_time_limit_minutes as "payTimeLimit",
       (
         select coalesce(jsonb_agg(m.method_code order by l.position), '[]')
         from unnest(s.payment_method_ids) with ordinality as l (id, position)
         join p2p.dim_payment_methods m on m.payment_method_id = l.id
       ) as methods,
       o.is_promoted as "isPromoted"
     from p2p.fact_offers o
     join p2p.dim_fiat_currencies f using (fiat_id)
     join p2p.dim_cryptocurrencies c using (crypto_id)
     join p2p.dim_advertisers a using (advertiser_sk)
     join p2p.dim_payment_sets s using (payment_set_id)
     join p2p.dim_exchanges e on e.exchange_id = o.exchange_id
     where o.batch_id = $1
       and e.code = $2`,
    batchId,
    exchange,
  );
  return byId(rows.map((row) => ({ ...row }) as unknown as KnownOffer));
}

function byId(offers: KnownOffer[]): KnownOffer[] {
  return offers.sort((a, b) => a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
