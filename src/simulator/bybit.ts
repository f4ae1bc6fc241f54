import { advNo, ownerOf, termsOf } from "./book.ts";
import { FIATS } from "./fiats.ts";
import type { Market } from "./layout.ts";
import type { World } from "./market.ts";
import { catalogue } from "./methods.ts";
import type { Body, Personality, Search } from "./personality.ts";
import { hash, SALT } from "./random.ts";
import { methodsOf, type SentOffer } from "./render.ts";
import { spoiler } from "./spoil.ts";

/** Paths of the calls that the exchange answers. */
export const BYBIT_PATH = {
  search: "/fiat/otc/item/online",
  config: "/fiat/p2p/config/initial",
  payments: "/fiat/otc/configuration/queryAllPaymentList",
} as const;

/** As documented for the call with a key; nobody wrote down what happens to who asks for more. */
const MOST_ROWS = 30;
const TICK_MILLISECONDS = 30_000;

function answerText(code: number, message: string, result: string): string {
  return `{"ret_code":${code},"ret_msg":${
    JSON.stringify(message)
  },"result":${result},"ext_code":"","ext_info":{},"time_now":"1741761340.014127"}`;
}

function success(result: string): string {
  return answerText(0, "SUCCESS", result);
}

/** Pages and sizes are text; a number is taken as well. */
function whole(value: unknown, least: number, most: number): number | undefined {
  const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isInteger(number) && number >= least && number <= most
    ? number
    : undefined;
}

function readSearch(body: Body): Search | undefined {
  const fiat = body?.get("currencyId");
  const asset = body?.get("tokenId");
  const side = String(body?.get("side"));
  const page = whole(body?.get("page") ?? "1", 1, 1_000_000);
  const rows = whole(body?.get("size") ?? "10", 1, MOST_ROWS);
  if (typeof fiat !== "string" || typeof asset !== "string") return undefined;
  if ((side !== "0" && side !== "1") || page === undefined || rows === undefined) return undefined;
  return { fiat, asset, side: side === "1" ? "BUY" : "SELL", page, rows };
}

function symbolInfo({ fiat, asset, id }: Market): string {
  return `{"id":"${
    id + 1
  }","exchangeId":"301","orgId":"9001","tokenId":"${asset.symbol}","currencyId":"${fiat.code}","status":1,` +
    `"lowerLimitAlarm":90,"upperLimitAlarm":110,"itemDownRange":"70","itemUpRange":"130","currencyMinQuote":"2",` +
    `"currencyMaxQuote":"46500","currencyLowerMaxQuote":"2","tokenMinQuote":"1","tokenMaxQuote":"50000",` +
    `"kycCurrencyLimit":"900","itemSideLimit":3,"buyFeeRate":"0","sellFeeRate":"0","orderAutoCancelMinute":15,` +
    `"orderFinishMinute":10,"tradeSide":9,"currency":{"id":"${
      fiat.index + 1
    }","exchangeId":"0","orgId":"9001","currencyId":"${fiat.code}","scale":${fiat.scale}},` +
    `"token":{"id":"1","exchangeId":"0","orgId":"9001","tokenId":"${asset.symbol}","scale":${asset.scale},"sequence":1},` +
    `"buyAd":null,"sellAd":null}`;
}

const PREFERENCES =
  `{"hasUnPostAd":0,"isKyc":1,"isEmail":0,"isMobile":0,"hasRegisterTime":0,"registerTimeThreshold":0,` +
  `"orderFinishNumberDay30":60,"completeRateDay30":"95","nationalLimit":"","hasOrderFinishNumberDay30":1,` +
  `"hasCompleteRateDay30":1,"hasNationalLimit":0}`;

/** Every pair once, whichever of its sides there are. */
function configuration(world: World): string {
  const pairs = new Map(world.markets.map((market) => [
    `${market.fiat.code}/${market.asset.symbol}`,
    market,
  ]));
  const currencies = FIATS.map((fiat) => ({ id: String(fiat.index + 1), currencyId: fiat.code }));
  return success(
    `{"symbols":[${[...pairs.values()].map(symbolInfo).join(",")}],"currencies":${
      JSON.stringify(currencies)
    }}`,
  );
}

/** Names of all methods, and those of each fiat by number: the latter is JSON within a string. */
function paymentList(world: World): string {
  const byFiat = FIATS.map((fiat) => [fiat.code, world.methodsOf(fiat.index)] as const);
  const names = new Map(byFiat.flatMap(([, list]) => list.map((m) => [m.identifier, m.name])));
  return success(JSON.stringify({
    currencyPaymentIdMap: JSON.stringify(Object.fromEntries(
      byFiat.map(([fiat, list]) => [fiat, list.map((method) => Number(method.identifier))]),
    )),
    paymentConfigVo: [...names].map(([paymentType, paymentName]) => ({
      paymentType,
      paymentName,
      paymentDialect: `payment_field_${paymentType}`,
    })),
  }));
}

/** Bybit P2P: documented keys, and those that public clients see since 2025. `side` is the ad's. */
export const BYBIT: Personality = {
  searchPath: BYBIT_PATH.search,
  calls: {
    [BYBIT_PATH.search]: "POST",
    [BYBIT_PATH.config]: "GET",
    [BYBIT_PATH.payments]: "POST",
  },
  hasPromoted: false,
  readSearch,
  answer: (path, world) => path === BYBIT_PATH.config ? configuration(world) : paymentList(world),
  page: (items, total) => success(`{"count":${total},"items":[${items.join(",")}]}`),
  refusal: (code = "10001", message = "Request parameter error.") =>
    answerText(Number(code), message, "null"),
  wrongShape: (how) =>
    success(
      {
        null: `{"count":1,"items":null}`,
        object: `{"count":1,"items":{"list":[]}}`,
        string: `{"count":1,"items":"none"}`,
        missing: "{}",
      }[how],
    ),
  endless: [`{"ret_code":0,"ret_msg":"SUCCESS","result":{"count":0,"items":[`, "]}}"],
  methods: (seed) => {
    const numbers = new Map<string, string>();
    return FIATS.map((fiat) =>
      catalogue(seed, fiat).map((method) => {
        const number = numbers.get(method.identifier) ?? String(numbers.size + 1);
        numbers.set(method.identifier, number);
        return { ...method, identifier: number };
      })
    );
  },
  methodText: (method) => JSON.stringify(method.identifier),
  renderOffer: (layout, offer, tick, texts) => {
    const { market } = offer;
    const who = ownerOf(layout, offer, tick);
    const terms = termsOf(layout, offer);
    const number = advNo(layout, offer);
    const [methods, methodsText] = methodsOf(layout, offer, texts);
    const h = hash(layout.seed, SALT.activity, market.firstSlot + offer.slot, offer.generation);
    const payTimeLimit = h % 10 < 8 ? 15 : 30;
    const tag = who.userIdentity === "BLOCK_MERCHANT" ? "BA" : who.merchant ? "VA" : "GA";
    const text =
      `{"id":"${number}","accountId":"0","userId":"0","nickName":${
        JSON.stringify(who.nickName)
      },"tokenId":"${market.asset.symbol}","tokenName":"","currencyId":"${market.fiat.code}","side":${
        market.side === "BUY" ? 1 : 0
      },"priceType":0,"price":"${terms.price}","premium":"0","lastQuantity":"${terms.surplusAmount}",` +
      `"quantity":"${terms.surplusAmount}","frozenQuantity":"0","executedQuantity":"0",` +
      `"minAmount":"${terms.minSingleTransAmount}","maxAmount":"${terms.maxSingleTransAmount}","remark":"",` +
      `"status":10,"createDate":"${
        (tick - offer.age) * TICK_MILLISECONDS
      }","payments":[${methodsText}],` +
      `"orderNum":0,"finishNum":0,"recentOrderNum":${who.monthOrderCount},"recentExecuteRate":${
        Math.round(Number(who.monthFinishRate) * 100)
      },"fee":"","isOnline":true,"lastLogoutTime":"1741749194","blocked":"N","makerContact":false,` +
      `"symbolInfo":${
        symbolInfo(market)
      },"tradingPreferenceSet":${PREFERENCES},"version":0,"authStatus":1,` +
      `"recommend":false,"recommendTag":"","authTag":["${tag}"],"userType":"${
        who.pro ? "ORG" : "PERSONAL"
      }","itemType":"ORIGIN","paymentPeriod":${payTimeLimit},"userMaskId":"${who.userNo}",` +
      `"verificationOrderSwitch":false,"verificationOrderLabels":[],"verificationOrderAmount":"0","ban":false,"baned":false}`;
    const sent: SentOffer = {
      ...terms,
      tradableQuantity: terms.surplusAmount, // one number stands for both
      advNo: number,
      userNo: who.userNo,
      nickName: who.nickName,
      merchant: who.merchant,
      payTimeLimit,
      methods,
      advertiser: who,
    };
    return { text, sent };
  },
  ...spoiler({
    ad: undefined,
    id: "id",
    advertiser: "userMaskId",
    userNo: "userMaskId",
    nickName: "nickName",
    methods: "payments",
    numbers: {
      price: "price",
      surplusAmount: "lastQuantity",
      minSingleTransAmount: "minAmount",
      maxSingleTransAmount: "maxAmount",
    },
    optional: ["tokenName", "status", "paymentPeriod", "symbolInfo", "fee", "version"],
    unknown: [["priceType", `0,"futureLabel":{"deep":[1,{"a":null}]}`], [
      "ban",
      `false,"score":1e2`,
    ]],
    wrongTypes: (sent) => [
      ["paymentPeriod", `"${sent.payTimeLimit}"`],
      ["recentOrderNum", `"${sent.advertiser.monthOrderCount}"`],
      ["recentExecuteRate", `"99"`],
      ["status", `"10"`],
      ["isOnline", `"true"`],
      ["authStatus", "null"],
    ],
    unidentified: `[null,"",{"id":14},[]]`,
  }),
};
