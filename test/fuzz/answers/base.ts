/** Healthy offers to begin with: of the simulator, and of recordings where CAPTURES_DIR names them. */
import { BINANCE } from "../../../src/simulator/binance.ts";
import { BYBIT } from "../../../src/simulator/bybit.ts";
import { World } from "../../../src/simulator/market.ts";
import type { Dice } from "../../support/random.ts";
import { copyOf, put, type Tree, treeOf } from "./tree.ts";

export type ExchangeCode = "binance" | "bybit";
export const EXCHANGES = ["binance", "bybit"] as const;

/** Where an exchange writes what an offer needs. */
export const KEYS = {
  binance: {
    id: ["adv", "advNo"],
    advertiser: ["advertiser", "userNo"],
    nickname: ["advertiser", "nickName"],
    asset: ["adv", "asset"],
    fiat: ["adv", "fiatUnit"],
    side: ["adv", "tradeType"],
    price: ["adv", "price"],
    amount: ["adv", "surplusAmount"],
    min: ["adv", "minSingleTransAmount"],
    max: ["adv", "maxSingleTransAmount"],
    methods: ["adv", "tradeMethods"],
  },
  bybit: {
    id: ["id"],
    advertiser: ["userMaskId"],
    nickname: ["nickName"],
    asset: ["tokenId"],
    fiat: ["currencyId"],
    side: ["side"],
    price: ["price"],
    amount: ["lastQuantity"],
    min: ["minAmount"],
    max: ["maxAmount"],
    methods: ["payments"],
  },
} as const;

/** Keys that a parser reads beside those; whole offers of 3 KB are one in ten, to have more of them. */
const ALSO_READ = new Set([
  "adv advertiser isTradable tradableQuantity priceFloatingRatio payTimeLimit remarks userType userGrade userIdentity",
  "vipLevel monthOrderCount monthFinishRate positiveRate registrationTime privilegeType",
  "status priceType premium paymentPeriod remark userId authTag recentOrderNum recentExecuteRate identifier",
  "tradeMethodName",
].flatMap((line) => line.split(" ")));

const READ = new Set([
  ...ALSO_READ,
  ...Object.values(KEYS).flatMap((keys) => Object.values(keys)).flat(),
]);

export interface Home {
  readonly exchange: ExchangeCode;
  readonly fiat: string;
  readonly asset: string;
  readonly side: "BUY" | "SELL";
}

export class BaseOffers {
  private constructor(readonly offers: Readonly<Record<ExchangeCode, readonly Tree[]>>) {}

  /** @param captures folder of recordings, in the shape of ../shared/captures */
  static async read(captures: string | undefined): Promise<BaseOffers> {
    const simulated = (personality: typeof BINANCE): unknown[] => {
      const options = {
        seed: 5,
        offers: 3000,
        tickSeconds: 30,
        now: () => 0,
        faults: {},
        personality,
      };
      const world = new World(options);
      return world.markets.slice(0, 200)
        .flatMap(({ fiat, asset, side }) => world.book(fiat.code, asset.symbol, side).slice(0, 2))
        .map(({ item }) => item);
    };
    const recorded = captures === undefined ? [] : await recordedItems(captures);
    return new BaseOffers({
      binance: [...simulated(BINANCE), ...recorded].map(treeOf),
      bybit: simulated(BYBIT).map(treeOf),
    });
  }

  /** An offer of that market, with an id and an advertiser of its own. */
  pick(dice: Dice, home: Home, id: string, advertiser: string): Tree {
    const { exchange, fiat, asset, side } = home;
    const base = this.offers[exchange][Math.floor(dice.next() * this.offers[exchange].length)] ??
      "{}";
    const offer = dice.next() < 0.1 ? copyOf(base) : onlyRead(base);
    const keys = KEYS[exchange];
    put(offer, keys.id, JSON.stringify(id));
    put(offer, keys.advertiser, JSON.stringify(advertiser));
    put(offer, keys.asset, JSON.stringify(asset));
    put(offer, keys.fiat, JSON.stringify(fiat));
    const own = side === "BUY" ? "SELL" : "BUY";
    put(
      offer,
      keys.side,
      exchange === "bybit" ? (side === "BUY" ? "1" : "0") : JSON.stringify(own),
    );
    return offer;
  }
}

function onlyRead(tree: Tree): Tree {
  if (typeof tree === "string") return tree;
  if (Array.isArray(tree)) return tree.map(onlyRead);
  const fields = tree.fields.filter(([key]) => READ.has(JSON.parse(key)));
  return { fields: fields.map(([key, value]) => [key, onlyRead(value)]) };
}

async function recordedItems(folder: string): Promise<unknown[]> {
  const items: unknown[] = [];
  for (const year of ["binance-2022", "binance-2026"]) {
    for await (const { name } of Deno.readDir(`${folder}/${year}`)) {
      const text = await Deno.readTextFile(`${folder}/${year}/${name}`);
      if (name.includes("adv-search")) items.push(...JSON.parse(text).data);
      if (!name.endsWith(".jsonl")) continue;
      for (const line of text.trim().split("\n")) items.push(...JSON.parse(line).anuncios);
    }
  }
  return items;
}
