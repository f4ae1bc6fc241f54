import type { Market, Side } from "./layout.ts";
import { FIATS } from "./fiats.ts";
import type { World } from "./market.ts";
import type { Body, Search, WrongShape } from "./personality.ts";

/** Paths of the calls that the exchange answers. */
export const PATH = {
  search: "/bapi/c2c/v2/friendly/c2c/adv/search",
  fiats: "/bapi/c2c/v1/friendly/c2c/trade-rule/fiat-list",
  config: "/bapi/c2c/v2/friendly/c2c/portal/config",
  filters: "/bapi/c2c/v2/public/c2c/adv/filter-conditions",
} as const;

const MOST_ROWS = 20;
const ILLEGAL = "illegal parameter";

/** How the application itself refuses: with HTTP status 200. */
export function refusal(code = "000002", message = ILLEGAL): string {
  return JSON.stringify({ code, message, messageDetail: null, data: null, success: false });
}

function success(data: unknown): string {
  return JSON.stringify({
    code: "000000",
    message: null,
    messageDetail: null,
    data,
    success: true,
  });
}

/** Reads the body of a search; undefined for one that the exchange calls illegal. */
export function readSearch(body: Body): Search | undefined {
  const fiat = body?.get("fiat");
  const asset = body?.get("asset");
  const side = body?.get("tradeType");
  const page = body?.get("page");
  const rows = body?.get("rows");
  if (typeof fiat !== "string" || typeof asset !== "string") return undefined;
  if (side !== "BUY" && side !== "SELL") return undefined;
  if (typeof page !== "number" || !Number.isInteger(page) || page < 1) return undefined;
  if (typeof rows !== "number" || !Number.isInteger(rows) || rows < 1 || rows > MOST_ROWS) {
    return undefined;
  }
  return { fiat, asset, side, page, rows };
}

/** A page of offers, each in JSON. */
export function page(items: readonly string[], total: number): string {
  return `{"code":"000000","message":null,"messageDetail":null,"data":[${
    items.join(",")
  }],"total":${total},"success":true}`;
}

/** Success without a list of offers. */
export function wrongShape(how: WrongShape): string {
  const data = {
    null: `"data":null,`,
    object: `"data":{"list":[]},`,
    string: `"data":"none",`,
    missing: "",
  }[how];
  return `{"code":"000000","message":null,"messageDetail":null,${data}"total":0,"success":true}`;
}

/** `fiat-list`: all fiats but a few live ones. */
export function fiatList(): string {
  return success(
    FIATS.filter((fiat) => fiat.listed).map((fiat) => ({
      currencyCode: fiat.code,
      countryCode: fiat.country,
      currencyScale: fiat.scale,
      currencySymbol: fiat.symbol,
      iconUrl: null,
    })),
  );
}

interface Area {
  readonly area: string;
  readonly proMerchantFilterAvailable: boolean;
  readonly tradeSides: readonly unknown[];
}

function area(
  name: string,
  markets: readonly Market[],
  described: boolean,
  methods: readonly string[],
): Area {
  const side = (wanted: Side): unknown => ({
    side: wanted,
    assets: markets.filter((market) => market.side === wanted).map(({ asset }) => ({
      asset: asset.symbol,
      description: described ? asset.name : null,
      iconUrl: null,
    })),
    convertAssets: [],
    tradeMethods: methods.map((identifier) => ({ identifier })),
  });
  return { area: name, proMerchantFilterAvailable: false, tradeSides: [side("BUY"), side("SELL")] };
}

/**
 * `portal/config`: the assets of a fiat, in the area named `P2P`, which is not always the first. The other
 * areas hold fewer assets, and one that no market has. The payment methods are not to be trusted.
 */
export function portalConfig(world: World, body: Body): string {
  const code = body?.get("fiat");
  if (typeof code !== "string" || code === "") return refusal();
  const fiat = FIATS.find((known) => known.code === code);
  if (fiat === undefined) {
    return success({ fiat: code, areas: [], filterDefaultValues: { publisherType: "" } });
  }
  const own = world.markets.filter((market) => market.fiat === fiat);
  const stale = own.slice(0, 4).map((market) => ({
    ...market,
    asset: market.asset.symbol === "BTC"
      ? { ...market.asset, symbol: "SHIB", name: "SHIBA INU" }
      : market.asset,
  }));
  const methods = world.methodsOf(fiat.index).map((method) => method.identifier);
  const p2p = area("P2P", own, false, methods.slice(-2));
  const express = area("EXPRESS", stale, true, ["RetiredPay", ...methods.slice(0, 2)]);
  const block = area("BLOCK", own.slice(0, 2), false, []);
  const areas = fiat.index % 3 === 0
    ? [p2p, express]
    : fiat.index % 3 === 1
    ? [express, p2p]
    : [express, block, p2p];
  return success({ fiat: code, areas, filterDefaultValues: { publisherType: "" } });
}

/** `filter-conditions`: the payment methods of a fiat. */
export function filterConditions(
  world: World,
  body: Body,
): string {
  const code = body?.get("fiat");
  if (typeof code !== "string" || code === "") return refusal();
  const fiat = FIATS.find((known) => known.code === code);
  const methods = fiat === undefined ? [] : world.methodsOf(fiat.index);
  return success({
    tradeMethods: methods.map((method) => ({
      identifier: method.identifier,
      tradeMethodName: method.name,
      tradeMethodShortName: method.shortName,
      tradeMethodBgColor: method.color,
    })),
  });
}
