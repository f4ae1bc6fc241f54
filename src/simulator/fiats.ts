/** A fiat currency of the simulated exchange. */
export interface Fiat {
  readonly index: number;
  readonly code: string;
  /** ISO 3166, or `EU` */
  readonly country: string;
  /** Units of this currency for one US dollar, roughly. */
  readonly perUsd: number;
  readonly symbol: string;
  /** Digits after the point, as `fiat-list` gives them. */
  readonly scale: number;
  /** How busy its markets are: 2 a few huge books, 1 books of hundreds, 0 quiet. */
  readonly tier: 0 | 1 | 2;
  /** Whether `fiat-list` names it: a few live ones are missing there. */
  readonly listed: boolean;
}

// Code, country, rate, in the order in which the exchange lists them.
const TABLE = `
AFN AF 66|ALL AL 83|AOA AO 915|AZN AZ 1.7|BAM BA 1.68|BIF BI 2950|BND BN 1.29|BSD BS 1|
BWP BW 13.4|BYN BY 3|BZD BZ 2.01|CDF CD 2250|CNY CN 7.05|CRC CR 500|CVE CV 95|DJF DJ 178|
DKK DK 6.4|ERN ER 15|GMD GM 72|GNF GN 8650|GTQ GT 7.66|HNL HN 26.2|HTG HT 131|HUF HU 332|
IQD IQ 1400|ISK IS 126|JMD JM 160|JOD JO 0.709|KGS KG 87.4|KMF KM 423|KWD KW 0.307|
KYD KY 0.833|LRD LR 180|LYD LY 5.45|MDL MD 16.9|MGA MG 4450|MKD MK 53|MOP MO 8.01|MRU MR 39.8|
MWK MW 1735|MZN MZ 63.9|NAD NA 17.1|NIO NI 36.8|NOK NO 10.1|PGK PG 4.25|RSD RS 101|SCR SC 13.9|
SLE SL 23.5|SOS SO 571|SYP SY 11000|TJS TJ 9.2|TMT TM 19.5|TTD TT 6.78|YER YE 535|ZMW ZM 23|
ZWG ZW 26.4|VND VN 26350|UAH UA 42.3|EUR EU 0.861|COP CO 3780|BRL BR 5.33|ARS AR 1450|
PEN PE 3.37|ZAR ZA 17.1|MXN MX 18.3|HKD HK 7.78|GBP GB 0.757|KES KE 129|AUD AU 1.53|CAD CA 1.4|
VES VE 250|INR IN 89.5|IDR ID 16650|KZT KZ 512|USD US 1.01|JPY JP 156|THB TH 32.1|PHP PH 58.7|
TWD TW 31.4|SAR SA 3.75|BDT BD 122|EGP EG 47.6|AED AE 3.67|BGN BG 1.68|MAD MA 9.27|PLN PL 3.65|
PKR PK 281|RON RO 4.38|CHF CH 0.804|CZK CZ 20.8|SEK SE 9.46|TRY TR 42.4|UGX UG 3600|
LBP LB 89500|AMD AM 382|GEL GE 2.7|UYU UY 39.5|CLP CL 928|XAF CM 565|DZD DZ 130|PYG PY 6900|
BOB BO 11.8|LKR LK 308|PAB PA 1|NZD NZ 1.75|KHR KH 4010|LAK LA 21700|DOP DO 63|QAR QA 3.64|
BHD BH 0.377|OMR OM 0.385|TND TN 2.94|SDG SD 600|MNT MN 3550|UZS UZ 11950|NPR NP 143|
TZS TZ 2450|XOF SN 565|RWF RW 1455|NGN NG 1450|GHS GH 11.2
`;

const UNLISTED = ["NGN", "GHS"];
const HUGE = ["VES", "CNY", "UAH"];
const BUSY =
  `VND EUR COP BRL ARS PEN ZAR MXN HKD GBP KES AUD VES INR IDR KZT USD JPY THB PHP TWD SAR BDT
 EGP AED MAD PLN PKR RON TRY UGX AMD GEL CLP XAF DZD BOB LKR KHR LAK DOP QAR TND SDG UZS NPR XOF NGN GHS AZN`
    .split(/\s+/);
const NO_CENTS = [
  "BIF",
  "CLP",
  "DJF",
  "GNF",
  "JPY",
  "KMF",
  "PYG",
  "RWF",
  "UGX",
  "VND",
  "XAF",
  "XOF",
];
const SYMBOLS: Readonly<Record<string, string>> = {
  ARS: "$",
  AUD: "A$",
  BDT: "৳",
  BOB: "Bs.",
  BRL: "R$",
  CAD: "C$",
  CLP: "$",
  CNY: "¥",
  COP: "$",
  CRC: "₡",
  EUR: "€",
  GBP: "£",
  GEL: "₾",
  GHS: "₵",
  HKD: "HK$",
  INR: "₹",
  JPY: "¥",
  KHR: "៛",
  KZT: "₸",
  LAK: "₭",
  MNT: "₮",
  MXN: "$",
  NGN: "₦",
  PHP: "₱",
  PLN: "zł",
  PYG: "₲",
  THB: "฿",
  TRY: "₺",
  TWD: "NT$",
  UAH: "₴",
  USD: "$",
  VES: "Bs",
  VND: "₫",
};

/** Every fiat that has markets: the 119 that `fiat-list` named on 2025-12-03, and the live ones it does not name. */
export const FIATS: readonly Fiat[] = TABLE.replaceAll("\n", "").split("|").map((row, index) => {
  const [code = "", country = "", rate = ""] = row.split(" ");
  return {
    index,
    code,
    country,
    perUsd: Number(rate),
    symbol: SYMBOLS[code] ?? code,
    scale: NO_CENTS.includes(code) ? 0 : 2,
    tier: HUGE.includes(code) ? 2 : BUSY.includes(code) ? 1 : 0,
    listed: !UNLISTED.includes(code),
  };
});
