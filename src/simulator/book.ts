import { type Advertiser, advertiserAt } from "./advertiser.ts";
import type { Layout, Market } from "./layout.ts";
import { hash, SALT, unit, walk } from "./random.ts";

/** One offer at one tick: what can be said before anything is written out. */
export interface Offer {
  readonly market: Market;
  readonly slot: number;
  /** How many offers this slot has held before. */
  readonly generation: number;
  /** Ticks since it was published, and ticks it will stay. */
  readonly age: number;
  readonly life: number;
  readonly price: number;
}

/** The amounts and limits of an offer, written as the exchange writes them. */
export interface Terms {
  readonly price: string;
  readonly surplusAmount: string;
  readonly tradableQuantity: string;
  readonly minSingleTransAmount: string;
  readonly maxSingleTransAmount: string;
  readonly dynamicMaxSingleTransAmount: string;
  readonly minSingleTransQuantity: string;
  readonly maxSingleTransQuantity: string;
  readonly dynamicMaxSingleTransQuantity: string;
}

const DAY_SECONDS = 86_400;
/** No single order is allowed to be worth more, in US dollars. */
const LARGEST_ORDER = 30_000;
const ASSET_WALKS = 1_000;
const OWN_COIN = 9_999;

function isStable({ asset }: Market): boolean {
  return asset.usd > 0.99 && asset.usd < 1.01;
}

/** What one unit of the asset is worth at that tick, between the medians of both sides. */
function midPrice(seed: number, market: Market, tick: number): number {
  const { fiat, asset } = market;
  if (asset.symbol === fiat.code) return walk(seed, OWN_COIN, tick);
  const coin = isStable(market)
    ? asset.usd
    : asset.usd * walk(seed, ASSET_WALKS + asset.symbol.charCodeAt(0), tick);
  return coin * fiat.perUsd * walk(seed, fiat.index, tick);
}

/**
 * How far from the median of its side an advertiser asks, as a fraction of the price: mostly within a
 * percent, worse for the taker up to a third. Only in books that are deep enough some ask so much
 * better that the best prices of both sides cross.
 */
function deviation(market: Market, u: number): number {
  if (u < 0.5) {
    const better = -0.0035 * Math.log(1 - 2 * u * 0.999);
    return -Math.min(better, market.slots < 40 ? market.spread * 0.4 : 0.03);
  }
  const v = 2 * u - 1;
  return v < 0.97 ? -0.01 * Math.log(1 - v) : 0.04 + 10 * (v - 0.97);
}

function offerAt(
  seed: number,
  market: Market,
  slot: number,
  tick: number,
  awake: number,
): Offer | undefined {
  const key = market.firstSlot + slot;
  // One in eight comes for 15 minutes to 10 hours, the others stay for days; then the slot is empty for a while.
  const isBrief = hash(seed, SALT.life, key, 2) % 8 === 0;
  const life = Math.floor((isBrief ? 30 : 3_000) * Math.exp(3.69 * unit(seed, SALT.life, key)));
  const cycle = life + 1 + Math.floor(life * 0.25 * unit(seed, SALT.life, key, 1));
  const at = tick + hash(seed, SALT.phase, key) % cycle;
  const age = at % cycle;
  if (age >= life || unit(seed, SALT.day, key) > awake) return undefined;
  const generation = Math.floor(at / cycle);
  const offset = deviation(market, unit(seed, SALT.price, key, generation));
  // Its owner looks at the price again: of a stable coin every ten minutes to two days, so that about one price in
  // twelve differs after ten minutes (one in sixteen in the recordings of 2026); of others, which float, all the time.
  const patience = unit(seed, SALT.reprice, key, generation) ** 2;
  const every = isStable(market)
    ? 20 + Math.floor(5_000 * patience)
    : 2 + Math.floor(40 * patience);
  const repriced = tick - age % every;
  const noise = 0.001 * (unit(seed, SALT.reprice, key, repriced, 1) - 0.5);
  const sign = market.side === "BUY" ? 1 : -1;
  const factor = 1 + sign * (market.spread / 2 + offset + noise);
  const unitPrice = 10 ** market.priceScale;
  const price = Math.max(
    1,
    Math.round(midPrice(seed, market, repriced) * Math.max(factor, 0.3) * unitPrice),
  ) / unitPrice;
  return { market, slot, generation, age, life, price };
}

/**
 * The offers of one market, best price for the taker first: BUY ascending, SELL descending.
 * @param tickSeconds how long a tick is: the hour of the day decides how many advertisers are awake
 */
export function bookAt(layout: Layout, market: Market, tick: number, tickSeconds: number): Offer[] {
  const day = (tick * tickSeconds / DAY_SECONDS + market.fiat.index / 121) % 1;
  const awake = 0.9 + 0.1 * Math.sin(2 * Math.PI * day);
  const offers: Offer[] = [];
  for (let slot = 0; slot < market.slots; slot++) {
    const offer = offerAt(layout.seed, market, slot, tick, awake);
    if (offer !== undefined) offers.push(offer);
  }
  const sign = market.side === "BUY" ? 1 : -1;
  return offers.sort((a, b) => sign * (a.price - b.price) || a.slot - b.slot);
}

/** Number that stays with an offer for its life; no other offer of any time has it. */
function serial(layout: Layout, offer: Offer): number {
  return offer.generation * layout.totalSlots + offer.market.firstSlot + offer.slot;
}

/** The 20 digits (a few have 17 to 19) that name an offer: unique, and in no order. */
export function advNo(layout: Layout, offer: Offer): string {
  const { seed } = layout;
  const number = serial(layout, offer);
  // Two rounds of a Feistel network: scattered, but never two the same.
  let high = Math.floor(number / 1e8) % 1e7;
  let low = number % 1e8;
  high = (high + hash(seed, SALT.advNo, low)) % 1e7;
  low = (low + hash(seed, SALT.advNo, high, 1)) % 1e8;
  const digits = String(high).padStart(7, "0") + String(low).padStart(8, "0");
  const kind = hash(seed, SALT.advNo, low, 2);
  // 1.2 to 1.39 with 20 digits: above 2⁶³, below 2⁶⁴.
  if (kind % 32 !== 0) return `1${2_000 + (kind >>> 8) % 2_000}${digits}`;
  const head = String(10 + (kind >>> 8) % 90);
  return head + ["", "7", "31"][(kind >>> 5) % 3] + digits;
}

/** The advertiser of an offer: about three offers each, over all assets and sides of a fiat. */
export function ownerOf(layout: Layout, offer: Offer, tick: number): Advertiser {
  const { market } = offer;
  const key = market.firstSlot + offer.slot;
  const share = unit(layout.seed, SALT.owner, key, offer.generation) ** 1.25;
  const index = Math.floor(share * market.advertisers);
  return advertiserAt(layout.seed, market.fiat.index, index, index / market.advertisers, tick);
}

/** Rounds an amount of money to two digits that matter, as people write limits. */
function round2(value: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(value, 1))) - 1);
  return Math.max(1, Math.round(value / step) * step);
}

/** The amounts of an offer at its age: they shrink as others trade with it. */
export function termsOf(layout: Layout, offer: Offer): Terms {
  const { market, price, age, life } = offer;
  const { seed } = layout;
  const { asset, fiat } = market;
  const key = market.firstSlot + offer.slot;
  const size = unit(seed, SALT.amount, key, offer.generation);
  const sold = unit(seed, SALT.amount, key, offer.generation, 1);
  const pace = 20 + Math.floor(250 * sold); // one in five is smaller after ten minutes, as in the recordings
  const left = 1 - 0.95 * sold * (age - age % pace) / life;
  const first = 20 * Math.exp(8.3 * size * size) / asset.usd;
  const units = 10 ** asset.scale;
  const tradable = Math.max(1, Math.floor(first * left * units)) / units;
  // The maker of a sale holds his fee back.
  const fee = 0.001 + 0.0025 * unit(seed, SALT.amount, key, offer.generation, 2);
  const surplus = market.side === "BUY"
    ? (Math.floor(tradable * (1 + fee) * units) + 1) / units
    : tradable;

  const u = unit(seed, SALT.limits, key, offer.generation);
  const max = round2(Math.min(first * price * (0.2 + 1.2 * u), LARGEST_ORDER * fiat.perUsd));
  const min = Math.min(
    max,
    round2(max * Math.exp(-5 * unit(seed, SALT.limits, key, offer.generation, 1))),
  );
  const quantity = (money: number): number => Math.floor(money / price * units) / units;
  const maxQuantity = quantity(max);
  return {
    price: price.toFixed(market.priceScale),
    surplusAmount: surplus.toFixed(asset.scale),
    tradableQuantity: tradable.toFixed(asset.scale),
    minSingleTransAmount: String(min),
    maxSingleTransAmount: String(max),
    dynamicMaxSingleTransAmount: String(Math.min(max, Math.floor(tradable * price))),
    minSingleTransQuantity: quantity(min).toFixed(asset.scale),
    maxSingleTransQuantity: maxQuantity.toFixed(asset.scale),
    dynamicMaxSingleTransQuantity: Math.min(maxQuantity, tradable).toFixed(asset.scale),
  };
}
