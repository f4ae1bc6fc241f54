import { type Advertiser } from "./advertiser.ts";
import { advNo, type Offer, ownerOf, type Terms, termsOf } from "./book.ts";
import type { Layout } from "./layout.ts";
import type { PaymentMethod } from "./methods.ts";
import { hash, SALT } from "./random.ts";

/** Why an item stands out in its book: 1 best price, 2 featured, 8 promoted (paid). */
export type Privilege = 1 | 2 | 8 | null;

/** What an item says, as it says it: digits are the very characters of the answer. */
export interface SentOffer extends Terms {
  readonly advNo: string;
  readonly userNo: string;
  readonly nickName: string;
  readonly merchant: boolean;
  /** Minutes; null where the item does not say. */
  readonly payTimeLimit: number | null;
  /** In the order of the answer, repetitions included. */
  readonly methods: readonly string[];
  readonly advertiser: Advertiser;
}

/** The payment methods of a fiat with their JSON made once: usual form, and without names. */
export interface MethodText {
  readonly method: PaymentMethod;
  readonly usual: string;
  readonly bare: string;
}

/** The methods of an offer, and their JSON, repetitions included. */
export function methodsOf(
  layout: Layout,
  offer: Offer,
  texts: readonly MethodText[],
): [string[], string] {
  const { seed } = layout;
  const key = offer.market.firstSlot + offer.slot;
  const h = hash(seed, SALT.methods, key, offer.generation);
  // Small catalogues of a favourite each: 1 (often) to 5 methods, neighbours in the list.
  const count = 1 + Math.floor(5 * ((h & 0xffff) / 0x10000) ** 2);
  const ids: string[] = [];
  const parts: string[] = [];
  for (let i = 0; i < count; i++) {
    const text = texts[((h >>> 16) + i) % texts.length];
    if (text === undefined) break;
    ids.push(text.method.identifier);
    parts.push(text.usual);
  }
  const last = texts[((h >>> 16) + count - 1) % texts.length];
  if (count < 5 && h % 50 === 0 && last !== undefined) {
    ids.push(last.method.identifier);
    parts.push(last.bare);
  }
  return [ids, parts.join(",")];
}

const LOGO = `{"merchantLogo":"https://images.invalid/logo.png","merchantDescription":""}`;

function advertiserJson(who: Advertiser): string {
  const badges = !who.merchant
    ? "null"
    : who.userIdentity === "BLOCK_MERCHANT"
    ? `["Block"]`
    : who.pro
    ? `["Ordinary","Pro"]`
    : `["Ordinary"]`;
  return `{"userNo":"${who.userNo}","realName":null,"nickName":${
    JSON.stringify(who.nickName)
  },"margin":null,"marginUnit":null,"orderCount":null,"monthOrderCount":${who.monthOrderCount},` +
    `"monthFinishRate":${who.monthFinishRate},"positiveRate":${who.positiveRate},"advConfirmTime":null,"email":null,` +
    `"registrationTime":null,"mobile":null,"userType":"${
      who.merchant ? "merchant" : "user"
    }","tagIconUrls":[],"userGrade":${who.merchant ? 3 : 2},"userIdentity":"${who.userIdentity}",` +
    `"proMerchant":${
      who.pro ? LOGO : "null"
    },"badges":${badges},"vipLevel":${who.vipLevel},"isBlocked":false,"activeTimeInSecond":${who.activeTimeInSecond},` +
    `"merchantGroupMember":false,"redirectLink":null,"redirectDeeplink":null}`;
}

// The long stretches in which every offer of 2026 says the same.
const AFTER_METHODS =
  `"userTradeCountFilterTime":null,"userBuyTradeCountMin":null,"userBuyTradeCountMax":null,` +
  `"userSellTradeCountMin":null,"userSellTradeCountMax":null,"userAllTradeCountMin":null,"userAllTradeCountMax":null,` +
  `"userTradeCompleteRateFilterTime":null,"userTradeCompleteCountMin":null,"userTradeCompleteRateMin":null,` +
  `"userTradeVolumeFilterTime":null,"userTradeType":null,"userTradeVolumeMin":null,"userTradeVolumeMax":null,` +
  `"userTradeVolumeAsset":null,"createTime":null,"advUpdateTime":null,"fiatVo":null,"assetVo":null,"advVisibleRet":null,`;
const AFTER_KYC =
  `"minFiatAmountForAdditionalKyc":null,"inventoryType":null,"offlineReason":null,` +
  `"voucherTemplate":null,"assetLogo":null,`;
const AFTER_QUANTITY = `"commissionRate":null,"takerCommissionRate":null,"minTakerFee":null,` +
  `"tradeMethodCommissionRates":null,"launchCountry":null,"abnormalStatusList":null,"closeReason":null,` +
  `"storeInformation":null,"allowTradeMerchant":null,"adTradeInstructionTagInfoRets":null,"isSafePayment":false,` +
  `"adAdditionalKycVerifyItems":null,"isStarTraderAdditionalKycExclusion":null,` +
  `"isStarTraderCounterpartyConditionsExclusion":null,"nonTradableRegions":null,"invisibleType":null,` +
  `"invisibleTitle":null,"invisibleReason":null,"privilegeType":null,"advSystemLabelRet":null,` +
  `"redirectLink":null,"redirectDeeplink":null}`;

function privilegeJson(privilege: Privilege): string {
  const paid = privilege === 8 ? `"Promoted Ad"` : privilege === 2 ? `"Featured Ad"` : "null";
  return `"privilegeDesc":${paid},"privilegeType":${privilege},"privilegeTypeAdTotalCount":${
    paid === "null" ? "null" : 1
  }`;
}

/**
 * The JSON text of one item of an answer, in the keys, the order and the types of 2026, and what it says.
 * The ad speaks for its owner, so its `tradeType` is the opposite of the side that was asked for.
 */
export function renderOffer(
  layout: Layout,
  offer: Offer,
  tick: number,
  texts: readonly MethodText[],
  privilege: Privilege,
): { text: string; sent: SentOffer } {
  const { market } = offer;
  const { fiat, asset } = market;
  const who = ownerOf(layout, offer, tick);
  const terms = termsOf(layout, offer);
  const number = advNo(layout, offer);
  const [methods, methodsText] = methodsOf(layout, offer, texts);
  const h = hash(layout.seed, SALT.activity, market.firstSlot + offer.slot, offer.generation);
  const payTimeLimit = h % 10 < 8 ? 15 : h % 10 === 8 ? 30 : h % 3 === 0 ? 60 : 45;
  const kyc = (h >>> 8) % 50 === 0 ? 1 : 0;
  const text =
    `{"adv":{"advNo":"${number}","classify":"${
      who.merchant ? "profession" : "mass"
    }","tradeType":"${
      market.side === "BUY" ? "SELL" : "BUY"
    }","asset":"${asset.symbol}","fiatUnit":"${fiat.code}","advStatus":null,"priceType":null,"priceFloatingRatio":null,` +
    `"rateFloatingRatio":null,"currencyRate":null,"price":"${terms.price}","initAmount":null,` +
    `"surplusAmount":"${terms.surplusAmount}","tradableQuantity":"${terms.tradableQuantity}",` +
    `"amountAfterEditing":null,"maxSingleTransAmount":"${terms.maxSingleTransAmount}",` +
    `"minSingleTransAmount":"${terms.minSingleTransAmount}","buyerKycLimit":null,"buyerRegDaysLimit":null,` +
    `"buyerBtcPositionLimit":null,"remarks":null,"autoReplyMsg":null,"payTimeLimit":${payTimeLimit},` +
    `"tradeMethods":[${methodsText}],${AFTER_METHODS}"takerAdditionalKycRequired":${kyc},${AFTER_KYC}` +
    `"assetScale":${asset.scale},"fiatScale":2,"priceScale":${market.priceScale},"fiatSymbol":${
      JSON.stringify(fiat.symbol)
    },"isTradable":true,"dynamicMaxSingleTransAmount":"${terms.dynamicMaxSingleTransAmount}",` +
    `"minSingleTransQuantity":"${terms.minSingleTransQuantity}",` +
    `"maxSingleTransQuantity":"${terms.maxSingleTransQuantity}",` +
    `"dynamicMaxSingleTransQuantity":"${terms.dynamicMaxSingleTransQuantity}",${AFTER_QUANTITY},` +
    `"advertiser":${advertiserJson(who)},${privilegeJson(privilege)}}`;
  const sent: SentOffer = {
    ...terms,
    advNo: number,
    userNo: who.userNo,
    nickName: who.nickName,
    merchant: who.merchant,
    payTimeLimit,
    methods,
    advertiser: who,
  };
  return { text, sent };
}
