import { gzipSync } from "node:zlib";
import { BINANCE } from "./binance.ts";
import { bookAt, type Offer } from "./book.ts";
import {
  type Awkwardness,
  AWKWARDNESSES,
  type Fault,
  type FaultRates,
  type Malformation,
  MALFORMATIONS,
  NICKNAME_WAYS,
  OFFER_WAYS,
} from "./fault.ts";
import { type Layout, layOut, type Market, type Side } from "./layout.ts";
import type { PaymentMethod } from "./methods.ts";
import type { Personality } from "./personality.ts";
import { hash, pick, SALT, unit } from "./random.ts";
import type { MethodText, Privilege, SentOffer } from "./render.ts";

/** One item of a book, as an answer at its own place carries it, and what a reader should make of it. */
export interface BookItem {
  /** The JSON text that is sent. */
  readonly text: string;
  /** The same parsed: numbers of 20 digits lose their last ones here. */
  readonly item: unknown;
  readonly state: "valid" | "awkward" | "malformed";
  readonly how?: Malformation | Awkwardness;
  /** What the item says, digit for digit; missing where it is malformed. */
  readonly sent?: SentOffer;
  /** Sent a second time, as the first item of page 1. */
  readonly promoted: boolean;
  readonly privilege: Privilege;
}

/** The simulated market at the present moment of its clock. */
export interface MarketModel {
  /** Every market, the empty ones included. */
  readonly markets: readonly Market[];
  /** The number of the present tick. */
  tick(): number;
  /** The whole book, best price for the taker first, each offer once; empty for a market that does not exist. */
  book(fiat: string, asset: string, side: Side): readonly BookItem[];
  /** The number of offers of the whole market. */
  offers(): number;
}

/** How an answer spoils all its offers. */
export type Spoiling = Extract<Fault, { kind: "malformedOffers" | "awkwardOffers" }>;

interface Book {
  readonly offers: readonly Offer[];
  readonly promoted: Offer | undefined;
  readonly best: Offer | undefined;
  readonly pages: Map<number, Uint8Array<ArrayBuffer>>;
}

interface Rendered {
  readonly text: string;
  readonly state: BookItem["state"];
  readonly how?: Malformation | Awkwardness;
  readonly sent?: SentOffer;
}

/** Books smaller than this have no promoted ad. */
const PROMOTED_FROM = 10;
/** Pages are kept up to this many bytes; a whole market of 50,000 offers is 20 MB gzipped, 150 MB plain. */
const MOST_KEPT = 128 * 1024 * 1024;
const encoder = new TextEncoder();

export interface WorldOptions {
  readonly seed: number;
  readonly offers: number;
  readonly tickSeconds: number;
  readonly now: () => number;
  readonly faults: Partial<FaultRates>;
  /** Default Binance. */
  readonly personality?: Personality;
}

/** The market with everything that is made once a tick: books, and the bytes of their pages. */
export class World implements MarketModel {
  readonly layout: Layout;
  readonly #personality: Personality;
  readonly #methods: readonly (readonly PaymentMethod[])[];
  readonly #texts: readonly (readonly MethodText[])[];
  readonly #books = new Map<number, Book>();
  #tick = NaN;
  #kept = 0;

  constructor(private readonly options: WorldOptions) {
    this.layout = layOut(options.seed, options.offers);
    this.#personality = options.personality ?? BINANCE;
    this.#methods = this.#personality.methods(options.seed);
    this.#texts = this.#methods.map((methods) =>
      methods.map((method) => ({
        method,
        usual: this.#personality.methodText(method, false),
        bare: this.#personality.methodText(method, true),
      }))
    );
  }

  get markets(): readonly Market[] {
    return this.layout.markets;
  }

  tick(): number {
    return Math.floor(this.options.now() / 1_000 / this.options.tickSeconds);
  }

  offers(): number {
    return this.markets.reduce((sum, market) => sum + this.#book(market).offers.length, 0);
  }

  market(fiat: string, asset: string, side: Side): Market | undefined {
    return this.layout.byName.get(`${fiat}/${asset}/${side}`);
  }

  methodsOf(fiatIndex: number): readonly PaymentMethod[] {
    return this.#methods[fiatIndex] ?? [];
  }

  book(fiat: string, asset: string, side: Side): readonly BookItem[] {
    const market = this.market(fiat, asset, side);
    if (market === undefined) return [];
    const book = this.#book(market);
    return book.offers.map((offer) => {
      const privilege = this.#privilege(book, offer);
      const rendered = this.#render(offer, privilege);
      const item: unknown = JSON.parse(rendered.text);
      return { ...rendered, item, promoted: offer === book.promoted, privilege };
    });
  }

  /** How many offers page `page` (from 1) of `rows` holds. */
  countOn(market: Market, page: number, rows: number): number {
    const book = this.#book(market);
    const own = Math.max(0, Math.min(rows, book.offers.length - (page - 1) * rows));
    return own + (page === 1 && book.promoted !== undefined ? 1 : 0);
  }

  /** The answer to a search: the JSON text of a page, its offers spoiled on request. */
  pageText(market: Market, page: number, rows: number, spoiling?: Spoiling): string {
    const book = this.#book(market);
    const items = book.offers.slice((page - 1) * rows, page * rows)
      .map((offer, i) => this.#render(offer, this.#privilege(book, offer), spoiling, i).text);
    if (page === 1 && book.promoted !== undefined) {
      items.unshift(this.#render(book.promoted, 8, spoiling, items.length).text);
    }
    // The number of offers is counted anew for each answer, and they come and go.
    const count = book.offers.length;
    const drift = hash(this.options.seed, SALT.total, market.id, this.#tick, page) % 5 - 2;
    const total = count < PROMOTED_FROM ? count : count + drift;
    return this.#personality.page(items, total);
  }

  /** The same as bytes, kept until the next tick. */
  pageBytes(market: Market, page: number, rows: number, gzip: boolean): Uint8Array<ArrayBuffer> {
    const { pages } = this.#book(market);
    const key = (page * 32 + rows) * 2 + (gzip ? 1 : 0);
    const known = pages.get(key);
    if (known !== undefined) return known;
    const plain = encoder.encode(this.pageText(market, page, rows));
    const bytes = gzip ? new Uint8Array(gzipSync(plain, { level: 1 })) : plain;
    if (this.#kept + bytes.length <= MOST_KEPT) {
      this.#kept += bytes.length;
      pages.set(key, bytes);
    }
    return bytes;
  }

  #book(market: Market): Book {
    const tick = this.tick();
    if (tick !== this.#tick) {
      this.#tick = tick;
      this.#books.clear();
      this.#kept = 0;
    }
    const known = this.#books.get(market.id);
    if (known !== undefined) return known;
    const offers = bookAt(this.layout, market, tick, this.options.tickSeconds);
    const { seed } = this.options;
    let promoted: Offer | undefined;
    const mayPromote = this.#personality.hasPromoted && offers.length >= PROMOTED_FROM;
    if (mayPromote && unit(seed, SALT.promoted, market.id, tick) < 0.6) {
      const from = 1 + hash(seed, SALT.promoted, market.id, tick, 1) % (offers.length - 1);
      promoted = offers.slice(from).find((offer) => this.#malformation(offer) === undefined);
    }
    const praised = unit(seed, SALT.promoted, market.id, tick, 2) < 0.3;
    const best = promoted === undefined && praised ? offers[0] : undefined;
    const book = { offers, promoted, best, pages: new Map<number, Uint8Array<ArrayBuffer>>() };
    this.#books.set(market.id, book);
    return book;
  }

  #privilege(book: Book, offer: Offer): Privilege {
    if (offer === book.best) return 1;
    const key = offer.market.firstSlot + offer.slot;
    return unit(this.options.seed, SALT.featured, key, offer.generation) < 0.004 ? 2 : null;
  }

  /** How an offer is malformed for its whole life, if it is. */
  #malformation(offer: Offer): Malformation | undefined {
    const key = offer.market.firstSlot + offer.slot;
    const rate = this.options.faults.malformedOffers;
    return this.#byChance(SALT.malformed, key, offer.generation, rate, MALFORMATIONS);
  }

  /** How an offer is awkward: by the name of its owner, which is then so everywhere, or by itself. */
  #awkwardness(offer: Offer, userNo: string): Awkwardness | undefined {
    const rate = this.options.faults.awkwardOffers ?? 0;
    const owner = Number.parseInt(userNo.slice(1, 9), 16);
    const key = offer.market.firstSlot + offer.slot;
    const byName = rate * NICKNAME_WAYS.length / AWKWARDNESSES.length;
    return this.#byChance(SALT.awkward, owner, -1, byName, NICKNAME_WAYS) ??
      this.#byChance(SALT.awkward, key, offer.generation, rate - byName, OFFER_WAYS);
  }

  #byChance<T>(
    salt: number,
    a: number,
    b: number,
    rate: number | undefined,
    ways: readonly T[],
  ): T | undefined {
    if (!rate || unit(this.options.seed, salt, a, b) >= rate) return undefined;
    return pick(ways, unit(this.options.seed, salt, a, b, 1));
  }

  #render(offer: Offer, privilege: Privilege, spoiling?: Spoiling, place = 0): Rendered {
    const texts = this.#texts[offer.market.fiat.index] ?? [];
    const usual = this.#personality.renderOffer(this.layout, offer, this.#tick, texts, privilege);
    const bad = spoiling?.kind === "malformedOffers"
      ? spoiling.how ?? MALFORMATIONS[place % MALFORMATIONS.length]
      : this.#malformation(offer);
    if (bad !== undefined) {
      return { text: this.#personality.malform(usual.text, bad), state: "malformed", how: bad };
    }
    const odd = spoiling?.kind === "awkwardOffers"
      ? spoiling.how ?? AWKWARDNESSES[place % AWKWARDNESSES.length]
      : this.#awkwardness(offer, usual.sent.userNo);
    if (odd === undefined) return { ...usual, state: "valid" };
    return {
      ...this.#personality.makeAwkward(usual.text, usual.sent, odd),
      state: "awkward",
      how: odd,
    };
  }
}
