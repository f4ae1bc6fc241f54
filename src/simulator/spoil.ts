import type { Awkwardness, Malformation } from "./fault.ts";
import type { SentOffer } from "./render.ts";

/** End of the JSON value that begins at `start`. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const char = text[i];
    if (char === '"') {
      for (i++; text[i] !== '"'; i++) if (text[i] === "\\") i++;
    } else if (char === "[" || char === "{") depth++;
    else if ((char === "]" || char === "}") && --depth < 0) return i;
    else if (char === "," && depth === 0) return i;
  }
  return text.length;
}

/** Replaces the value of the first key of that name by JSON text; `undefined` takes the key away too. */
function put(text: string, key: string, value: string | undefined): string {
  const at = text.indexOf(`"${key}":`);
  if (at < 0) throw new Error(`no key ${key} in an offer`);
  const start = at + key.length + 3;
  const end = endOfValue(text, start);
  if (value !== undefined) return text.slice(0, start) + value + text.slice(end);
  // With the comma after it, or where it is the last, the one before it.
  return text[end] === ","
    ? text.slice(0, at) + text.slice(end + 1)
    : text.slice(0, text[at - 1] === "," ? at - 1 : at) + text.slice(end);
}

/** Makes an offer one that must be refused. */
export function malform(text: string, how: Malformation): string {
  switch (how) {
    case "advNoMissing":
      return put(text, "advNo", undefined);
    case "advNoEmpty":
      return put(text, "advNo", `""`);
    case "advMissing":
      return put(text, "adv", undefined);
    case "itemString":
      return `"offer"`;
    case "itemNull":
      return "null";
    case "itemNumber":
      return "42";
    case "advertiserMissing":
      return put(text, "advertiser", undefined);
    case "userNoMissing":
      return put(text, "userNo", undefined);
    case "priceText":
      return put(text, "price", `"abc"`);
    case "priceZero":
      return put(text, "price", `"0"`);
    case "priceNegative":
      return put(text, "price", `"-1"`);
    case "priceNull":
      return put(text, "price", "null");
    case "priceMissing":
      return put(text, "price", undefined);
    case "priceNaN":
      return put(text, "price", `"NaN"`);
    case "priceHuge":
      return put(text, "price", `"1e999999"`);
    case "surplusText":
      return put(text, "surplusAmount", `"x"`);
    case "surplusMissing":
      return put(text, "surplusAmount", undefined);
    case "minAboveMax":
      return put(put(text, "minSingleTransAmount", `"1000"`), "maxSingleTransAmount", `"10"`);
    case "limitsText":
      return put(put(text, "minSingleTransAmount", `"some"`), "maxSingleTransAmount", `"more"`);
  }
}

/** `119.03` as `11903E-2`: the same number, as Java's BigDecimal may write it. */
function exponent(digits: string): string {
  const [whole = "", part = ""] = digits.split(".");
  return `${(whole + part).replace(/^0+(?=\d)/, "")}E-${part.length}`;
}

const OPTIONAL = [
  "classify",
  "priceScale",
  "fiatSymbol",
  "payTimeLimit",
  "advSystemLabelRet",
  "badges",
  "activeTimeInSecond",
];
const NUMBERS = [
  "price",
  "surplusAmount",
  "tradableQuantity",
  "minSingleTransAmount",
  "maxSingleTransAmount",
  "dynamicMaxSingleTransAmount",
] as const;

/** Texts of values to put in place of the usual ones; none for a key that goes missing. */
type Changes = readonly (readonly [key: string, value: string | undefined])[];

function changesOf(how: Awkwardness, sent: SentOffer): Changes {
  switch (how) {
    case "numbersAsNumbers":
      return NUMBERS.map((key) => [key, sent[key]]);
    case "exponents":
      return NUMBERS.map((key) => [key, `"${exponent(sent[key])}"`]);
    case "tinyExponent":
      return [["surplusAmount", `"1E-8"`], ["tradableQuantity", `"1E-8"`]];
    case "optionalMissing":
      return OPTIONAL.map((key) => [key, undefined]);
    case "unknownKeys":
      return [
        ["priceType", `null,"advFutureLabel":{"deep":[1,{"a":null}]}`],
        ["realName", `null,"futureScore":1e2`],
      ];
    case "wrongTypes":
      return [
        ["payTimeLimit", `"${sent.payTimeLimit}"`],
        ["monthFinishRate", `"${sent.advertiser.monthFinishRate}"`],
        ["monthOrderCount", `"${sent.advertiser.monthOrderCount}"`],
        ["takerAdditionalKycRequired", "false"],
        ["isTradable", `"true"`],
        ["badges", `"Ordinary"`],
      ];
    case "methodsNull":
      return [["tradeMethods", "null"]];
    case "methodsMissing":
      return [["tradeMethods", undefined]];
    case "methodsEmpty":
      return [["tradeMethods", "[]"]];
    case "methodsWithoutIdentifier":
      return [[
        "tradeMethods",
        `[{"payType":"BANK","tradeMethodName":"Bank"},null,"BANK",{"identifier":null}]`,
      ]];
    case "nicknameLong":
      return [["nickName", `"${"Ж".repeat(3_000)}"`]];
    case "nicknameNul":
      return [["nickName", String.raw`"nul\u0000inside"`]];
    case "nicknameSurrogate":
      return [["nickName", String.raw`"half\ud83d"`]];
    case "longFraction":
      return ["price", "surplusAmount", "tradableQuantity"].map((key) => {
        const digits =
          sent[key === "price" ? key : key === "surplusAmount" ? key : "tradableQuantity"];
        const part = digits.includes(".") ? digits.split(".")[1] ?? "" : "";
        const point = digits.includes(".") ? digits : `${digits}.`;
        return [key, `"${point}${"0".repeat(Math.max(0, 29 - part.length))}1"`];
      });
    case "advNoNumber":
      return [["advNo", sent.advNo]];
  }
}

/** What a JSON value says when it stands for a number or a name: its characters without the quotes. */
function plain(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1) : value;
}

/** Makes an offer unusual but good. `sent` tells the digits that are in the text afterwards. */
export function makeAwkward(
  text: string,
  sent: SentOffer,
  how: Awkwardness,
): { text: string; sent: SentOffer } {
  let result = text;
  const changed: Record<string, string> = {};
  for (const [key, value] of changesOf(how, sent)) {
    result = put(result, key, value);
    if (value !== undefined && (key === "nickName" || NUMBERS.some((name) => name === key))) {
      changed[key] = key === "nickName" ? String(JSON.parse(value)) : plain(value);
    }
  }
  const gone = how.startsWith("methods")
    ? { methods: [] }
    : how === "optionalMissing"
    ? { payTimeLimit: null }
    : {};
  return { text: result, sent: { ...sent, ...changed, ...gone } };
}
