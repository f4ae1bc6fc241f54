import { type Fiat, FIATS } from "./fiats.ts";
import { hash, SALT, unit } from "./random.ts";

/** What the taker wants to do, as the request says it. */
export type Side = "BUY" | "SELL";

export const SIDES: readonly Side[] = ["BUY", "SELL"];

export interface Asset {
  readonly symbol: string;
  readonly name: string;
  /** US dollars for one. */
  readonly usd: number;
  /** Digits after the point of its amounts. */
  readonly scale: number;
}

/** One order book, and all of it that does not change with time. */
export interface Market {
  readonly id: number;
  readonly fiat: Fiat;
  readonly asset: Asset;
  readonly side: Side;
  /** Expected number of offers. */
  readonly size: number;
  /** Places for offers: more than `size`, because some are empty at any time. */
  readonly slots: number;
  /** Number of its first slot among the slots of the whole market. */
  readonly firstSlot: number;
  /** Distance of the medians of both sides, as a fraction of the price. */
  readonly spread: number;
  readonly priceScale: number;
  /** Number of advertisers who share all offers of this fiat. */
  readonly advertisers: number;
}

/** The whole market: which books there are and how large, from the seed alone. */
export interface Layout {
  readonly seed: number;
  readonly markets: readonly Market[];
  /** By `fiat/asset/side`. */
  readonly byName: ReadonlyMap<string, Market>;
  readonly totalSlots: number;
}

const ASSETS: readonly Asset[] = [
  { symbol: "USDT", name: "TetherUS", usd: 1, scale: 2 },
  { symbol: "BTC", name: "Bitcoin", usd: 91_000, scale: 8 },
  { symbol: "USDC", name: "USD Coin", usd: 1, scale: 2 },
  { symbol: "FDUSD", name: "First Digital USD", usd: 0.998, scale: 2 },
  { symbol: "BNB", name: "BNB", usd: 880, scale: 8 },
  { symbol: "ETH", name: "Ethereum", usd: 3_050, scale: 8 },
  { symbol: "DOGE", name: "Dogecoin", usd: 0.15, scale: 2 },
];
/** Without these no fiat is listed; the others are there or not. */
const EVERYWHERE = ["USDT", "BTC", "USDC", "BNB", "ETH"];
const OWN_COIN = ["UAH", "TRY", "KZT", "BRL", "EUR", "ARS", "NGN", "PLN", "VND", "ZAR"];

/** Offers in the books that are known to be huge, when the world holds 50,000. */
const HUGE: Readonly<Record<string, number>> = {
  "VES/USDT/SELL": 1_483,
  "CNY/USDT/SELL": 1_600,
  "UAH/USDT/SELL": 1_406,
};
const WORLD = 50_000;
/** Share of the slots that hold an offer at a random moment. */
const OCCUPIED = 0.79;

function assetsOf(seed: number, fiat: Fiat): Asset[] {
  const list = ASSETS.filter((asset, index) =>
    EVERYWHERE.includes(asset.symbol) || unit(seed, SALT.layout, fiat.index, index) < 0.55
  );
  if (OWN_COIN.includes(fiat.code)) {
    list.push({ symbol: fiat.code, name: fiat.code, usd: 1 / fiat.perUsd, scale: 2 });
  }
  return list;
}

/** Offers of a book relative to the others; 0 for an empty one. */
function weight(fiat: Fiat, asset: Asset, side: Side, u: number): number {
  const deep = side === "SELL" ? 1.5 : 1;
  if (asset.symbol === "USDT") {
    return deep *
      (fiat.tier === 2 ? 620 + 180 * u : fiat.tier === 1 ? 70 + 330 * u * u : 3 + 60 * u * u);
  }
  if (fiat.tier === 2) return deep * (20 + 120 * u);
  if (fiat.tier === 1) return deep * 26 * u * u;
  return u < 0.45 ? 0 : deep * 13 * (u - 0.45);
}

/** Digits after the point of a price of this size: about four that matter, as the exchange shows them. */
function priceScale(price: number): number {
  return price >= 5 ? 2 : price >= 0.5 ? 3 : price >= 0.05 ? 4 : 6;
}

/**
 * Lays out all markets.
 * @param offers approximate number of offers of the whole market
 */
export function layOut(seed: number, offers: number): Layout {
  const drafts: {
    fiat: Fiat;
    asset: Asset;
    side: Side;
    key: number;
    huge: number;
    weight: number;
  }[] = [];
  for (const fiat of FIATS) {
    assetsOf(seed, fiat).forEach((asset, index) => {
      for (const side of SIDES) {
        const key = (fiat.index * 16 + index) * 2 + (side === "BUY" ? 0 : 1);
        // A coin that trades on one side only, here and there.
        if (
          !EVERYWHERE.includes(asset.symbol) && side === "SELL" &&
          hash(seed, SALT.layout, key, 1) % 9 === 0
        ) {
          continue;
        }
        const huge = HUGE[`${fiat.code}/${asset.symbol}/${side}`] ?? 0;
        const share = huge > 0 ? 0 : weight(fiat, asset, side, unit(seed, SALT.layout, key, 2));
        drafts.push({ fiat, asset, side, key, huge, weight: share });
      }
    });
  }
  const hugeOffers = drafts.reduce((sum, draft) => sum + draft.huge, 0);
  const weights = drafts.reduce((sum, draft) => sum + draft.weight, 0);
  const perWeight = (WORLD - hugeOffers) / weights;

  const sizes = drafts.map((draft) => (draft.huge + draft.weight * perWeight) * offers / WORLD);
  const byFiat = new Map<string, number>();
  drafts.forEach((draft, i) =>
    byFiat.set(draft.fiat.code, (byFiat.get(draft.fiat.code) ?? 0) + (sizes[i] ?? 0))
  );
  const markets: Market[] = [];
  let firstSlot = 0;
  drafts.forEach(({ fiat, asset, side, key }, i) => {
    const size = sizes[i] ?? 0;
    // Rounded up or down by chance, so that small markets are empty or not instead of all alike.
    const slots = Math.floor(size / OCCUPIED + unit(seed, SALT.layout, key, 3));
    const pair = key >> 1;
    markets.push({
      id: markets.length,
      fiat,
      asset,
      side,
      size,
      slots,
      firstSlot,
      spread: 0.008 + 0.008 * unit(seed, SALT.layout, pair, 4),
      priceScale: priceScale(asset.usd * fiat.perUsd),
      advertisers: Math.max(1, Math.round((byFiat.get(fiat.code) ?? 0) / 2.7)),
    });
    firstSlot += slots;
  });
  const byName = new Map(markets.map((m) => [`${m.fiat.code}/${m.asset.symbol}/${m.side}`, m]));
  return { seed, markets, byName, totalSlots: firstSlot };
}
