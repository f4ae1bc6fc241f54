// The numbers of a book, computed apart from the database and without rounding.

/** A fraction of whole numbers. */
export class Ratio {
  constructor(readonly over: bigint, readonly under: bigint = 1n) {
    if (under === 0n) throw new RangeError("division by zero");
  }

  static of(text: string): Ratio {
    const [whole = "", digits = ""] = text.split(".");
    return new Ratio(BigInt(whole + digits), 10n ** BigInt(digits.length));
  }

  plus(that: Ratio): Ratio {
    return new Ratio(this.over * that.under + that.over * this.under, this.under * that.under);
  }

  minus(that: Ratio): Ratio {
    return this.plus(new Ratio(-that.over, that.under));
  }

  times(that: Ratio): Ratio {
    return new Ratio(this.over * that.over, this.under * that.under);
  }

  by(that: Ratio): Ratio {
    const sign = that.over < 0n ? -1n : 1n;
    return new Ratio(this.over * that.under * sign, this.under * that.over * sign);
  }

  compare(that: Ratio): number {
    const difference = this.minus(that).over;
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }

  /** Rounded half away from zero, as numeric does. */
  text(digits: number): string {
    const scaled = this.over * 10n ** BigInt(digits);
    const size = scaled < 0n ? -scaled : scaled;
    const rounded = (2n * size + this.under) / (2n * this.under);
    const padded = rounded.toString().padStart(digits + 1, "0");
    const sign = scaled < 0n && rounded > 0n ? "-" : "";
    return sign + padded.slice(0, -digits) + "." + padded.slice(-digits);
  }
}

export interface Quote {
  readonly price: string;
  readonly amount: string;
}

export const DIGITS = 10;

const ZERO = new Ratio(0n);
const sum = (all: readonly Ratio[]): Ratio => all.reduce((a, b) => a.plus(b), ZERO);
const mean = (all: readonly Ratio[]): Ratio => sum(all).by(new Ratio(BigInt(all.length)));

/** Columns of fact_market_depth, those of one book. */
export function bookNumbers(
  side: "BUY" | "SELL",
  quotes: readonly Quote[],
): Record<string, string | null> {
  const offers = quotes.map(({ price, amount }) => ({
    price: Ratio.of(price),
    amount: Ratio.of(amount),
  }));
  const prices = offers.map(({ price }) => price).sort((a, b) => a.compare(b));
  // Best for the taker first; of equal prices the largest amount first.
  const sign = side === "BUY" ? 1 : -1;
  const best = offers.toSorted((a, b) =>
    sign * a.price.compare(b.price) || b.amount.compare(a.amount)
  ).slice(0, 10);
  const volume = sum(offers.map(({ amount }) => amount));
  const middle = prices.slice(Math.ceil(prices.length / 2) - 1, Math.floor(prices.length / 2) + 1);
  const average = prices.length > 0 ? mean(prices) : ZERO;
  const show = (when: boolean, value: () => Ratio): string | null =>
    when ? value().text(DIGITS) : null;
  const any = offers.length > 0;
  return {
    total_offers_count: String(offers.length),
    total_available_volume: volume.text(DIGITS),
    weighted_avg_price: show(
      volume.over > 0n,
      () => sum(offers.map(({ price, amount }) => price.times(amount))).by(volume),
    ),
    median_price: show(any, () => mean(middle)),
    min_price: show(any, () => prices[0] ?? ZERO),
    max_price: show(any, () => prices.at(-1) ?? ZERO),
    // Compared as variance: roots are not exact.
    variance: show(any, () => mean(prices.map((p) => p.minus(average).times(p.minus(average))))),
    top10_total_volume: show(any, () => sum(best.map(({ amount }) => amount))),
    top10_avg_price: show(any, () => mean(best.map(({ price }) => price))),
  };
}

/** Columns of fact_market_depth, those of both books of an asset and fiat. */
export function spreadNumbers(
  buy: readonly Quote[],
  sell: readonly Quote[],
): Record<string, string | null> {
  const sorted = (quotes: readonly Quote[]): Ratio[] =>
    quotes.map(({ price }) => Ratio.of(price)).sort((a, b) => a.compare(b));
  const ask = sorted(buy)[0];
  const bid = sorted(sell).at(-1);
  const both = ask !== undefined && bid !== undefined;
  return {
    best_bid: bid?.text(DIGITS) ?? null,
    best_ask: ask?.text(DIGITS) ?? null,
    spread_absolute: both ? ask.minus(bid).text(DIGITS) : null,
    spread_percentage: both
      ? ask.minus(bid).times(new Ratio(200n)).by(ask.plus(bid)).text(DIGITS)
      : null,
  };
}
