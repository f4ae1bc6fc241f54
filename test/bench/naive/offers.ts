import type { Page } from "./pages.ts";

/** An offer as a program reads it that parses JSON itself. Amounts stay text: they have more digits than a double. */
export interface Offer {
  readonly id: string;
  readonly price: string;
  readonly amount: string;
  readonly tradable: string | null;
  readonly minLimit: string | null;
  readonly maxLimit: string | null;
  readonly completionRate: number | null;
  readonly positiveRate: number | null;
  readonly floatRate: string | null;
  readonly orders: number | null;
  readonly payMinutes: number | null;
  readonly isPromoted: boolean;
  readonly isAvailable: boolean | null;
  readonly terms: string | null;
  readonly methods: readonly Method[];
  readonly advertiser: Advertiser;
}

export interface Method {
  readonly code: string;
  readonly name: string | null;
}

export interface Advertiser {
  readonly userNo: string;
  readonly nickname: string | null;
  readonly isMerchant: boolean;
  readonly userType: string | null;
  readonly grade: number | null;
  readonly identity: string | null;
  readonly vip: number | null;
}

/** As far as the fields are read here. */
interface Item {
  readonly adv: {
    readonly advNo: string;
    readonly price: string;
    readonly surplusAmount: string;
    readonly tradableQuantity?: string;
    readonly minSingleTransAmount?: string;
    readonly maxSingleTransAmount?: string;
    readonly priceFloatingRatio?: string | null;
    readonly payTimeLimit?: number | null;
    readonly isTradable?: boolean;
    readonly remarks?: string | null;
    readonly tradeMethods: readonly { identifier: string; tradeMethodName?: string | null }[];
  };
  readonly advertiser: {
    readonly userNo: string;
    readonly nickName?: string;
    readonly userType?: string;
    readonly userGrade?: number;
    readonly userIdentity?: string;
    readonly vipLevel?: number | null;
    readonly monthOrderCount?: number;
    readonly monthFinishRate?: number;
    readonly positiveRate?: number;
  };
  readonly privilegeType?: number | null;
}

/** The offers of a page, each once, by their id: writers that go by the same order do not lock each other out. */
export function offersOf(page: Page): Offer[] {
  const { data }: { data: Item[] } = JSON.parse(page.body.text);
  const offers = new Map<string, Offer>();
  for (const item of data) {
    const offer = offerOf(item);
    const before = offers.get(offer.id);
    offers.set(offer.id, { ...offer, isPromoted: offer.isPromoted || before?.isPromoted === true });
  }
  return [...offers.values()].sort((a, b) => a.id < b.id ? -1 : 1);
}

function offerOf({ adv, advertiser, privilegeType }: Item): Offer {
  const methods = new Map(adv.tradeMethods.map(({ identifier, tradeMethodName }) => [
    identifier,
    { code: identifier, name: tradeMethodName ?? null },
  ]));
  return {
    id: adv.advNo,
    price: adv.price,
    amount: adv.surplusAmount,
    tradable: adv.tradableQuantity ?? null,
    minLimit: adv.minSingleTransAmount ?? null,
    maxLimit: adv.maxSingleTransAmount ?? null,
    completionRate: percent(advertiser.monthFinishRate),
    positiveRate: percent(advertiser.positiveRate),
    floatRate: adv.priceFloatingRatio ?? null,
    orders: advertiser.monthOrderCount ?? null,
    payMinutes: adv.payTimeLimit ?? null,
    isPromoted: privilegeType === 8,
    isAvailable: adv.isTradable ?? null,
    terms: adv.remarks || null,
    methods: [...methods.values()].filter(({ code }) => code !== ""),
    advertiser: {
      userNo: advertiser.userNo,
      nickname: advertiser.nickName ?? null,
      isMerchant: advertiser.userType === "merchant",
      userType: advertiser.userType ?? null,
      grade: advertiser.userGrade ?? null,
      identity: advertiser.userIdentity ?? null,
      vip: advertiser.vipLevel ?? null,
    },
  };
}

const percent = (share: number | undefined): number | null =>
  share === undefined ? null : share * 100;
