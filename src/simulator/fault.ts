import { UsageError } from "../errors.ts";

/** Ways in which one offer is not what it should be, so that it must be refused. */
export const MALFORMATIONS = [
  "advNoMissing",
  "advNoEmpty",
  "advMissing",
  "itemString",
  "itemNull",
  "itemNumber",
  "advertiserMissing",
  "userNoMissing",
  "priceText",
  "priceZero",
  "priceNegative",
  "priceNull",
  "priceMissing",
  "priceNaN",
  "priceHuge",
  "surplusText",
  "surplusMissing",
  "minAboveMax",
  "limitsText",
] as const;
export type Malformation = typeof MALFORMATIONS[number];

/** Ways in which one offer is unusual, and yet good. */
export const AWKWARDNESSES = [
  "numbersAsNumbers",
  "exponents",
  "tinyExponent",
  "optionalMissing",
  "unknownKeys",
  "wrongTypes",
  "methodsNull",
  "methodsMissing",
  "methodsEmpty",
  "methodsWithoutIdentifier",
  "nicknameLong",
  "nicknameNul",
  "nicknameSurrogate",
  "longFraction",
  "advNoNumber",
] as const;
export type Awkwardness = typeof AWKWARDNESSES[number];

/** Those that are the advertiser's: all offers of one have it, or none. */
export const NICKNAME_WAYS: readonly Awkwardness[] = AWKWARDNESSES.filter((way) =>
  way.startsWith("nickname")
);
/** Those that are the offer's own. */
export const OFFER_WAYS: readonly Awkwardness[] = AWKWARDNESSES.filter((way) =>
  !way.startsWith("nickname")
);

/** What goes wrong with one answer. Everything beside `kind` may be left out. */
export type Fault =
  | { readonly kind: "tooManyRequests"; readonly retryAfterSeconds?: number }
  | { readonly kind: "forbidden" }
  | { readonly kind: "serverError"; readonly status?: 500 | 502 | 503 }
  | { readonly kind: "challenge"; readonly status?: 200 | 202 }
  /**
   * `json` and `gzip`: a complete transfer of half a document, of half a compressed stream (for a client
   * that takes it); the others end the connection in the middle.
   */
  | { readonly kind: "truncated"; readonly how?: "contentLength" | "chunked" | "json" | "gzip" }
  | { readonly kind: "notJson" }
  /** On a connection that was used before, the repetition that clients send by themselves is reset as well. */
  | { readonly kind: "reset" }
  | { readonly kind: "timeout" }
  | { readonly kind: "slow"; readonly overMs?: number }
  | { readonly kind: "refused"; readonly code?: string; readonly message?: string }
  | { readonly kind: "wrongShape"; readonly how?: "null" | "object" | "string" | "missing" }
  /** 64 MiB unless told; `Infinity` never ends. */
  | { readonly kind: "oversized"; readonly bytes?: number }
  /** Every offer of the page is spoiled, in one way or in all ways in turn. `book()` does not know of it. */
  | { readonly kind: "malformedOffers"; readonly how?: Malformation }
  | { readonly kind: "awkwardOffers"; readonly how?: Awkwardness };

export type FaultName = Fault["kind"];

/** How often each happens, 0..1: of the requests, or for the last two of the offers. */
export type FaultRates = Readonly<Record<FaultName, number>>;

/** Modest rates of everything that goes wrong by request. */
const REQUEST_RATES = {
  tooManyRequests: 0.005,
  forbidden: 0.002,
  serverError: 0.01,
  challenge: 0.002,
  truncated: 0.01,
  notJson: 0.005,
  reset: 0.01,
  timeout: 0.001,
  slow: 0.005,
  refused: 0.005,
  wrongShape: 0.005,
  oversized: 0.0005,
};
/** The rates of `all`. */
export const MODEST_RATES: FaultRates = {
  ...REQUEST_RATES,
  malformedOffers: 0.01,
  awkwardOffers: 0.02,
};

function isName(text: string, names: object): text is FaultName {
  return Object.hasOwn(names, text);
}

/** The faults that befall whole answers. */
export const REQUEST_FAULTS: readonly FaultName[] = Object.keys(REQUEST_RATES)
  .filter((name) => isName(name, REQUEST_RATES));

/**
 * Reads the option `--faults`: `all` for a modest rate of everything, or `reset=0.02,refused=0.01`, or
 * both, where the later wins (`all,oversized=0`). Empty for none.
 * @throws UsageError that lists the names, for a name or a rate that cannot be
 */
export function parseFaults(text: string): Partial<FaultRates> {
  const rates: Partial<Record<FaultName, number>> = {};
  for (const entry of text.split(",").map((part) => part.trim()).filter((part) => part !== "")) {
    if (entry === "all") {
      Object.assign(rates, MODEST_RATES);
      continue;
    }
    const [name = "", value = "", ...rest] = entry.split("=").map((part) => part.trim());
    const rate = Number(value);
    if (!isName(name, MODEST_RATES)) {
      throw new UsageError(
        `There is no fault ${JSON.stringify(name)}.`,
        `Faults are: all, ${
          Object.keys(MODEST_RATES).join(", ")
        }; e.g. --faults reset=0.02,refused=0.01`,
      );
    }
    if (value === "" || rest.length > 0 || !(rate >= 0 && rate <= 1)) {
      throw new UsageError(
        `The rate of the fault ${name} must be a number from 0 to 1, not ${JSON.stringify(entry)}.`,
        "e.g. --faults reset=0.02,refused=0.01",
      );
    }
    rates[name] = rate;
  }
  return rates;
}

/**
 * Which fault a request meets, if any.
 * @param chance a random fraction, 0 ≤ chance < 1: each fault takes its rate of it
 */
export function faultByChance(rates: Partial<FaultRates>, chance: number): Fault | undefined {
  let below = 0;
  for (const kind of REQUEST_FAULTS) {
    below += rates[kind] ?? 0;
    if (chance < below) return { kind };
  }
  return undefined;
}
