import {
  fiatList,
  filterConditions,
  page,
  PATH,
  portalConfig,
  readSearch,
  refusal,
  wrongShape,
} from "./answers.ts";
import { FIATS } from "./fiats.ts";
import { catalogue, methodJson } from "./methods.ts";
import type { Personality } from "./personality.ts";
import { renderOffer } from "./render.ts";
import { spoiler } from "./spoil.ts";

/** Binance P2P, as it was recorded in 2026. */
export const BINANCE: Personality = {
  searchPath: PATH.search,
  calls: {
    [PATH.search]: "POST",
    [PATH.fiats]: "POST",
    [PATH.config]: "POST",
    [PATH.filters]: "POST",
  },
  hasPromoted: true,
  readSearch,
  answer: (path, world, body) =>
    path === PATH.fiats
      ? fiatList()
      : path === PATH.config
      ? portalConfig(world, body)
      : filterConditions(world, body),
  page,
  refusal,
  wrongShape,
  endless: [
    `{"code":"000000","message":null,"messageDetail":null,"data":[`,
    `],"total":0,"success":true}`,
  ],
  methods: (seed) => FIATS.map((fiat) => catalogue(seed, fiat)),
  methodText: methodJson,
  renderOffer,
  ...spoiler({
    ad: "adv",
    id: "advNo",
    advertiser: "advertiser",
    userNo: "userNo",
    nickName: "nickName",
    methods: "tradeMethods",
    numbers: {
      price: "price",
      surplusAmount: "surplusAmount",
      tradableQuantity: "tradableQuantity",
      minSingleTransAmount: "minSingleTransAmount",
      maxSingleTransAmount: "maxSingleTransAmount",
      dynamicMaxSingleTransAmount: "dynamicMaxSingleTransAmount",
    },
    optional: [
      "classify",
      "priceScale",
      "fiatSymbol",
      "payTimeLimit",
      "advSystemLabelRet",
      "badges",
      "activeTimeInSecond",
    ],
    unknown: [
      ["priceType", `null,"advFutureLabel":{"deep":[1,{"a":null}]}`],
      ["realName", `null,"futureScore":1e2`],
    ],
    wrongTypes: (sent) => [
      ["payTimeLimit", `"${sent.payTimeLimit}"`],
      ["monthFinishRate", `"${sent.advertiser.monthFinishRate}"`],
      ["monthOrderCount", `"${sent.advertiser.monthOrderCount}"`],
      ["takerAdditionalKycRequired", "false"],
      ["isTradable", `"true"`],
      ["badges", `"Ordinary"`],
    ],
    unidentified: `[{"payType":"BANK","tradeMethodName":"Bank"},null,"BANK",{"identifier":null}]`,
  }),
};
