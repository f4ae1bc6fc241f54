/**
 * What an answer says, read a second time and independently of src/ and of the SQL: whether it is a page, which items
 * stand on it, and which of those nobody may lose.
 */
import type { ExchangeCode } from "./base.ts";
import { storable } from "../../support/storable.ts";
import type { Answer } from "./mutate.ts";

/** A number of a document, with the characters that it was written with. */
class Digits {
  constructor(readonly source: string) {}
}

export interface ReadItem {
  /** As the database should name it; undefined where it has none, or an odd one. */
  readonly id: string | undefined;
  /** Of an item that is an offer by all rules: it must become a fact, with these digits. */
  readonly offer: Offer | undefined;
}

export interface Offer {
  readonly price: string;
  readonly amount: string;
  readonly min: string | null;
  readonly max: string | null;
  readonly advertiser: string;
  readonly nickname: string | undefined;
  /** Undefined where the list is no plain one. */
  readonly methods: readonly string[] | undefined;
}

export interface ReadPage {
  readonly items: readonly ReadItem[];
  /** jsonb may refuse it: it is too deep, or has a number that is too long. */
  readonly mayBeUnreadable: boolean;
}

/** Undefined: it is no page, and must not be taken for one. */
export function readAnswer({ exchange, status, body, fiat, asset }: Answer): ReadPage | undefined {
  if (status < 200 || status > 299) return undefined;
  const text = new TextDecoder().decode(body);
  let document: unknown;
  try {
    document = parse(text);
  } catch {
    return undefined;
  }
  const list = listOf(exchange, document);
  if (list === undefined) return undefined;
  const items = list.map((item): ReadItem => {
    const fields = exchange === "binance" ? binanceFields(item) : bybitFields(item);
    const id = idOf(fields.id);
    return { id, offer: id === undefined ? undefined : offerOf(fields, fiat, asset) };
  });
  return { items, mayBeUnreadable: depthOf(text) > 400 || /\d{1000}/.test(text) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text, (_key, value, context?: { source?: string }) => {
      return typeof value === "number" ? new Digits(context?.source ?? "?") : value;
    });
  } catch (error) {
    if (error instanceof RangeError) return withDigits(JSON.parse(text), 0); // too deep to be walked through
    throw error;
  }
}

/** As far down as an offer goes. The digits of its numbers are gone; those of the envelope are whole. */
function withDigits(value: unknown, level: number): unknown {
  if (typeof value === "number") return new Digits(level <= 2 ? String(value) : "?");
  if (level > 8 || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => withDigits(one, level + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, withDigits(one, level + 1)]),
  );
}

function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x5b || char === 0x7b) deepest = Math.max(deepest, ++depth);
    else if (char === 0x5d || char === 0x7d) depth--;
  }
  return deepest;
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Digits);
  return isObject ? value as Fields : {};
}

function listOf(exchange: ExchangeCode, document: unknown): readonly unknown[] | undefined {
  const answer = fieldsOf(document);
  if (exchange === "binance") {
    const { code, success, data } = answer;
    return code === "000000" && success !== false && Array.isArray(data) ? data : undefined;
  }
  const code = codeOf(answer["ret_code"]) ?? codeOf(answer["retCode"]);
  const result = answer["result"];
  if (code !== "0" || fieldsOf(result) !== result) return undefined;
  const { items, count } = result as Fields;
  if (Array.isArray(items)) return items;
  const isNothing = count instanceof Digits && Number(count.source) === 0;
  return (items === null || items === undefined) && isNothing ? [] : undefined;
}

/** A number as JavaScript has it: 1e-20000 is 0. */
function codeOf(value: unknown): string | undefined {
  if (value instanceof Digits) return String(Number(value.source));
  return typeof value === "string" ? value.replaceAll("\0", "") || undefined : undefined;
}

interface OfferFields {
  readonly [name: string]: unknown;
}

function binanceFields(item: unknown): OfferFields {
  const { adv, advertiser } = fieldsOf(item);
  const ad = fieldsOf(adv);
  const owner = fieldsOf(advertiser);
  return {
    id: ad["advNo"],
    asset: ad["asset"],
    fiat: ad["fiatUnit"],
    price: ad["price"],
    amount: ad["surplusAmount"],
    min: ad["minSingleTransAmount"],
    max: ad["maxSingleTransAmount"],
    advertiser: owner["userNo"],
    nickname: owner["nickName"],
    methods: Array.isArray(ad["tradeMethods"])
      ? ad["tradeMethods"].map((method) => fieldsOf(method)["identifier"])
      : undefined,
  };
}

function bybitFields(item: unknown): OfferFields {
  const ad = fieldsOf(item);
  return {
    id: ad["id"],
    asset: ad["tokenId"],
    fiat: ad["currencyId"],
    price: ad["price"],
    amount: ad["lastQuantity"],
    min: ad["minAmount"],
    max: ad["maxAmount"],
    advertiser: maskOf(ad),
    nickname: ad["nickName"],
    methods: ad["payments"],
  };
}

/** Since 2025 everybody's userId is 0, and userMaskId tells them apart. */
function maskOf(ad: Fields): unknown {
  const mask = ad["userMaskId"] ?? "";
  if (mask !== "") return mask;
  return textOf(ad["userId"]) === "0" ? undefined : ad["userId"];
}

function offerOf(fields: OfferFields, fiat: string, asset: string): Offer | undefined {
  const advertiser = idOf(fields["advertiser"]);
  const price = numberOf(fields["price"]);
  const amount = numberOf(fields["amount"]);
  const [min, max] = [limitOf(fields["min"]), limitOf(fields["max"])];
  const isHome = isOr(fields["fiat"], fiat) && isOr(fields["asset"], asset);
  if (advertiser === undefined || !isHome) return undefined;
  if (price === undefined || amount === undefined || min === undefined || max === undefined) {
    return undefined;
  }
  if (/^[-0.]*$/.test(price) || price.startsWith("-") || amount.startsWith("-")) return undefined;
  if (min?.startsWith("-") || max?.startsWith("-")) return undefined;
  if (min !== null && max !== null && compare(min, max) > 0) return undefined;
  const nickname = typeof fields["nickname"] === "string"
    ? storable(fields["nickname"])
    : undefined;
  return { price, amount, min, max, advertiser, nickname, methods: methodsOf(fields["methods"]) };
}

/** As load_dimensions keeps them. */
const MOST_METHODS = 500;

function methodsOf(list: unknown): readonly string[] | undefined {
  if (!Array.isArray(list)) return undefined;
  const codes = list.filter((code) => code !== "").map(textOf);
  return codes.some((code) => code === undefined || [...code].length > 200)
    ? undefined
    : [...new Set(codes.map(String))].slice(0, MOST_METHODS);
}

function isOr(value: unknown, expected: string): boolean {
  return value === undefined || value === null || value === expected;
}

/** Text that could be any other JSON value is none. */
function idOf(value: unknown): string | undefined {
  const id = textOf(value);
  return id === undefined || [...id].length > 100 || /^([{[]|true$|false$)/.test(id)
    ? undefined
    : id;
}

/** A text, or a number as jsonb writes it; undefined for all that is odd. */
function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value === "" ? undefined : storable(value);
  return value instanceof Digits ? decimalOf(value.source) : undefined;
}

/** Null where there is none; undefined where it cannot be read. */
function limitOf(value: unknown): string | null | undefined {
  return value === undefined || value === null ? null : numberOf(value);
}

function numberOf(value: unknown): string | undefined {
  const source = value instanceof Digits ? value.source : value;
  if (typeof source !== "string" || source.length > 60) return undefined;
  const plain = decimalOf(source);
  // As a JSON number it is written out by jsonb before its length is looked at.
  return value instanceof Digits && (plain ?? "").length > 60 ? undefined : plain;
}

/** The digits of a number as PostgreSQL writes them; undefined where it is none that a parser reads. */
function decimalOf(text: string): string | undefined {
  const [, sign, whole = "", part = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d\d?))?$/.exec(text) ?? [];
  if (sign === undefined) return undefined;
  const scale = Math.max(0, part.length - Number(exponent));
  const digits = whole + part + "0".repeat(Math.max(0, Number(exponent) - part.length));
  const padded = digits.padStart(scale + 1, "0");
  const before = padded.slice(0, padded.length - scale).replace(/^0+(?=\d)/, "");
  const after = scale === 0 ? "" : `.${padded.slice(padded.length - scale)}`;
  return `${/[1-9]/.test(digits) ? sign : ""}${before}${after}`;
}

function compare(a: string, b: string): number {
  const scale = Math.max(...[a, b].map((text) => text.split(".")[1]?.length ?? 0));
  const [x = 0n, y = 0n] = [a, b].map((text) => {
    const [whole = "", part = ""] = text.split(".");
    return BigInt(whole + part.padEnd(scale, "0"));
  });
  return x < y ? -1 : x > y ? 1 : 0;
}
