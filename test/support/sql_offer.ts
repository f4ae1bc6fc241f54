/** An item of a search page. */
export interface Item {
  readonly adv: Readonly<Record<string, unknown>>;
  readonly advertiser: Readonly<Record<string, unknown>>;
  readonly privilegeDesc: string | null;
  readonly privilegeType: number | null;
}

export interface OfferOptions {
  /** Number of the ad; another one each time if not given. */
  readonly id?: string;
  readonly price?: string;
  readonly amount?: string;
  /** Number of the advertiser. */
  readonly user?: string;
  readonly nick?: string | null;
  readonly promoted?: boolean;
  readonly methods?: readonly string[];
  /** What else stands in adv; replaces what is there. `undefined` takes a key away. */
  readonly adv?: Readonly<Record<string, unknown>>;
  readonly advertiser?: Readonly<Record<string, unknown>>;
}

let made = 0n;

/** An ad as they are in 2026; asset, fiat and side are those of the page it is put on. */
export function offer(options: OfferOptions = {}): Item {
  const { price = "36.50", amount = "100.00", user = "s1", nick = `nick of ${user}` } = options;
  const { promoted = false, methods = ["Zelle"] } = options;
  return {
    adv: {
      advNo: options.id ?? `${14_000_000_000_000_000_000n + made++}`,
      classify: "mass",
      price,
      surplusAmount: amount,
      tradableQuantity: amount,
      minSingleTransAmount: "10",
      maxSingleTransAmount: "4000",
      priceFloatingRatio: null,
      remarks: null,
      payTimeLimit: 15,
      isTradable: true,
      tradeMethods: methods.map((identifier) => ({
        payType: null,
        identifier,
        tradeMethodName: `Name of ${identifier}`,
      })),
      ...options.adv,
    },
    advertiser: {
      userNo: user,
      nickName: nick,
      monthOrderCount: 4840,
      monthFinishRate: 0.988,
      positiveRate: 0.98891888,
      registrationTime: null,
      userType: "user",
      userGrade: 2,
      userIdentity: "",
      vipLevel: null,
      activeTimeInSecond: 79,
      ...options.advertiser,
    },
    privilegeDesc: promoted ? "Promoted Ad" : null,
    privilegeType: promoted ? 8 : null,
  };
}
