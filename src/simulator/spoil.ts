import type { Awkwardness, Malformation } from "./fault.ts";
import type { Personality } from "./personality.ts";
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

/** What an exchange calls the things that are spoiled, and what is odd to it. */
export interface Vocabulary {
  /** The object that holds the ad; undefined where the item itself does. */
  readonly ad: string | undefined;
  readonly id: string;
  /** The object, or else the key, that names the advertiser. */
  readonly advertiser: string;
  readonly userNo: string;
  readonly nickName: string;
  readonly methods: string;
  readonly numbers:
    & Readonly<Record<Needed, string>>
    & Readonly<Partial<Record<SentNumber, string>>>;
  /** Keys that an offer may go without. */
  readonly optional: readonly string[];
  readonly unknown: Changes;
  readonly wrongTypes: (sent: SentOffer) => Changes;
  /** JSON of a list of payment methods of which none has an identifier. */
  readonly unidentified: string;
}

type Needed = "price" | "surplusAmount" | "minSingleTransAmount" | "maxSingleTransAmount";
type SentNumber = Needed | "tradableQuantity" | "dynamicMaxSingleTransAmount";

/** Texts of values to put in place of the usual ones, by key; none for a key that goes missing. */
type Changes = readonly (readonly [key: string, value: string | undefined])[];

/** Spoils the offers of an exchange. */
export function spoiler(words: Vocabulary): Pick<Personality, "malform" | "makeAwkward"> {
  return {
    malform: (text, how) => malform(words, text, how),
    makeAwkward: (text, sent, how) => makeAwkward(words, text, sent, how),
  };
}

function malform(words: Vocabulary, text: string, how: Malformation): string {
  const { price, surplusAmount, minSingleTransAmount: min, maxSingleTransAmount: max } =
    words.numbers;
  switch (how) {
    case "advNoMissing":
      return put(text, words.id, undefined);
    case "advNoEmpty":
      return put(text, words.id, `""`);
    case "advMissing":
      return words.ad === undefined ? "{}" : put(text, words.ad, undefined);
    case "itemString":
      return `"offer"`;
    case "itemNull":
      return "null";
    case "itemNumber":
      return "42";
    case "advertiserMissing":
      return put(text, words.advertiser, undefined);
    case "userNoMissing":
      return put(text, words.userNo, undefined);
    case "priceText":
      return put(text, price, `"abc"`);
    case "priceZero":
      return put(text, price, `"0"`);
    case "priceNegative":
      return put(text, price, `"-1"`);
    case "priceNull":
      return put(text, price, "null");
    case "priceMissing":
      return put(text, price, undefined);
    case "priceNaN":
      return put(text, price, `"NaN"`);
    case "priceHuge":
      return put(text, price, `"1e999999"`);
    case "surplusText":
      return put(text, surplusAmount, `"x"`);
    case "surplusMissing":
      return put(text, surplusAmount, undefined);
    case "minAboveMax":
      return put(put(text, min, `"1000"`), max, `"10"`);
    case "limitsText":
      return put(put(text, min, `"some"`), max, `"more"`);
  }
}

/** `119.03` as `11903E-2`: the same number, as Java's BigDecimal may write it. */
function exponent(digits: string): string {
  const [whole = "", part = ""] = digits.split(".");
  return `${(whole + part).replace(/^0+(?=\d)/, "")}E-${part.length}`;
}

const NUMBERS: readonly SentNumber[] = [
  "price",
  "surplusAmount",
  "tradableQuantity",
  "minSingleTransAmount",
  "maxSingleTransAmount",
  "dynamicMaxSingleTransAmount",
];

/** Numbers that change, by what they are to the reader. */
function numbersOf(how: Awkwardness, sent: SentOffer): Changes {
  switch (how) {
    case "numbersAsNumbers":
      return NUMBERS.map((name) => [name, sent[name]]);
    case "exponents":
      return NUMBERS.map((name) => [name, `"${exponent(sent[name])}"`]);
    case "tinyExponent":
      return [["surplusAmount", `"1E-8"`], ["tradableQuantity", `"1E-8"`]];
    case "longFraction":
      return NUMBERS.slice(0, 3).map((name) => {
        const digits = sent[name];
        const part = digits.split(".")[1] ?? "";
        const point = digits.includes(".") ? digits : `${digits}.`;
        return [name, `"${point}${"0".repeat(Math.max(0, 29 - part.length))}1"`];
      });
    default:
      return [];
  }
}

/** Everything else that changes, by its key. */
function changesOf(words: Vocabulary, how: Awkwardness, sent: SentOffer): Changes {
  switch (how) {
    case "optionalMissing":
      return words.optional.map((key) => [key, undefined]);
    case "unknownKeys":
      return words.unknown;
    case "wrongTypes":
      return words.wrongTypes(sent);
    case "methodsNull":
      return [[words.methods, "null"]];
    case "methodsMissing":
      return [[words.methods, undefined]];
    case "methodsEmpty":
      return [[words.methods, "[]"]];
    case "methodsWithoutIdentifier":
      return [[words.methods, words.unidentified]];
    case "nicknameLong":
      return [[words.nickName, `"${"Ж".repeat(3_000)}"`]];
    case "nicknameNul":
      return [[words.nickName, String.raw`"nul\u0000inside"`]];
    case "nicknameSurrogate":
      return [[words.nickName, String.raw`"half\ud83d"`]];
    case "advNoNumber":
      return [[words.id, sent.advNo]];
    default:
      return [];
  }
}

/** What a JSON value says when it stands for a number or a name: its characters without the quotes. */
function plain(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1) : value;
}

/** `sent` tells the digits that are in the text afterwards. */
function makeAwkward(
  words: Vocabulary,
  text: string,
  sent: SentOffer,
  how: Awkwardness,
): { text: string; sent: SentOffer } {
  const keys: Readonly<Record<string, string | undefined>> = words.numbers;
  const changed: Record<string, string> = {};
  let result = text;
  for (const [name, value] of numbersOf(how, sent)) {
    const key = keys[name];
    if (key !== undefined) result = put(result, key, value);
    if (value !== undefined) changed[name] = plain(value);
  }
  for (const [key, value] of changesOf(words, how, sent)) {
    result = put(result, key, value);
    if (key === words.nickName && value !== undefined) changed["nickName"] = JSON.parse(value);
  }
  const gone = how.startsWith("methods")
    ? { methods: [] }
    : how === "optionalMissing"
    ? { payTimeLimit: null }
    : {};
  return { text: result, sent: { ...sent, ...changed, ...gone } };
}
