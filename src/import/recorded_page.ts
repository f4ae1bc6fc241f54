import { AnswerError, isObject, type JsonObject, kindOf, shownValue } from "../exchange/answer.ts";
import { type Exchange, type Side, SIDES } from "../exchange/exchange.ts";
import { MAX_BODY_BYTES } from "../extract/body.ts";
import { parseTime } from "../time.ts";
import { memberText } from "./member_text.ts";

/** A body whose every quote is escaped takes twice its size. */
export const LONGEST_LINE_BYTES = 2 * MAX_BODY_BYTES;

/** A page that somebody recorded. */
export interface RecordedPage {
  /** The batch it belongs to. */
  readonly batchStart: Date;
  readonly observedAt: Date;
  readonly exchange: string;
  readonly fiat: string;
  readonly asset: string;
  readonly side: Side;
  readonly page: number;
  /** Offers that were asked for on a page, where the line says it. */
  readonly pageSize: number | undefined;
  /** What was asked for is less than the whole book. */
  readonly filteredBy: string | undefined;
  readonly parser: string;
  /** Why `body` is not what was recorded. */
  readonly alteration: string | undefined;
  /** The text of the answer. */
  readonly body: string;
}

export interface ReadingOptions {
  /** Exchanges whose answers can be read, by code. */
  readonly exchanges: ReadonlyMap<string, Exchange>;
  /** Lines that name no batch belong to the window of so many minutes that their time is in. */
  readonly windowMinutes: number | undefined;
  readonly now: Date;
}

/** Why a line is not a recorded page. */
export class LineError extends Error {
  override readonly name = "LineError";
}

/** Names under which recorders write a thing, ours first. */
const NAMES = {
  time: ["time", "observed_at", "fecha_utc"],
  side: ["side", "trade_type", "lado"],
  body: ["body", "response"],
  offers: ["offers", "data", "anuncios"],
} as const;

const SIDE_WORDS: Readonly<Record<string, Side>> = {
  BUY: "BUY",
  SELL: "SELL",
  COMPRA: "BUY",
  VENTA: "SELL",
};

const DEFAULT_EXCHANGE = "binance";
const MOST_PAGES = 10_000;
const CODE = /^[A-Z0-9]{1,20}$/;
/** Binance P2P began in 2019. */
const EARLIEST = Date.UTC(2019, 0, 1);
const CLOCK_DIFFERENCE = 60_000;
const DAY = 86_400_000;

/**
 * Reads a line.
 * @throws {LineError} with the reason
 */
export function readRecordedPage(text: string, options: ReadingOptions): RecordedPage {
  const line = objectOf(text);
  const exchangeCode = line["exchange"] ?? DEFAULT_EXCHANGE;
  const exchange = typeof exchangeCode === "string"
    ? options.exchanges.get(exchangeCode.toLowerCase())
    : undefined;
  if (exchange === undefined) {
    throw new LineError(
      `unknown exchange ${shown(exchangeCode)}; known: ${[...options.exchanges.keys()].join(", ")}`,
    );
  }
  const observedAt = timeOf(line, first(line, NAMES.time), "time", options.now);
  const side = sideOf(line);
  const page = countOf(line, "page", MOST_PAGES) ?? 1;
  const answer = answerOf(text, line, exchange);
  refuseOtherSide(side, answer.items);
  return {
    batchStart: batchStartOf(line, observedAt, options),
    observedAt,
    exchange: exchange.code,
    fiat: codeOf(line, "fiat", answer.items, "fiatUnit"),
    asset: codeOf(line, "asset", answer.items, "asset"),
    side,
    page,
    pageSize: countOf(line, "rows", 1000),
    filteredBy: filterOf(line),
    parser: exchange.parser,
    alteration: answer.alteration,
    body: answer.text,
  };
}

function objectOf(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (["{", "["].includes(text.trim())) {
      throw new LineError("an object must stand on one line, as jq -c writes it");
    }
    throw new LineError(`not JSON: ${error instanceof Error ? short(error.message) : error}`);
  }
  if (Array.isArray(value)) {
    throw new LineError("the line is a list instead of an object: jq -c '.[]' takes it apart");
  }
  if (!isObject(value)) throw new LineError(`the line is ${kindOf(value)} instead of an object`);
  return value;
}

/** The first of the names that the line has. */
function first(line: JsonObject, names: readonly string[]): string {
  const name = names.find((name) => line[name] !== undefined && line[name] !== null);
  if (name === undefined) throw new LineError(`no ${names[0]}`);
  return name;
}

function timeOf(line: JsonObject, name: string, what: string, now: Date): Date {
  const value = line[name];
  const time = typeof value === "number"
    ? new Date(value < 1e11 ? value * 1000 : value) // seconds, or milliseconds
    : typeof value === "string" && value.length > 10
    ? parseTime(value)
    : undefined;
  if (time === undefined || Number.isNaN(time.getTime())) {
    throw new LineError(`${what} is ${shown(value)}: wanted is one such as 2026-03-01T10:20:30Z`);
  }
  if (time.getTime() > now.getTime() + CLOCK_DIFFERENCE) {
    throw new LineError(`${what} ${shown(value)} has not come yet`);
  }
  if (time.getTime() < EARLIEST) {
    throw new LineError(`${what} ${shown(value)} is before there was anything to record`);
  }
  return time;
}

function batchStartOf(line: JsonObject, observedAt: Date, options: ReadingOptions): Date {
  if (line["batch"] !== undefined && line["batch"] !== null) {
    const batch = timeOf(line, "batch", "batch", options.now);
    if (Math.abs(batch.getTime() - observedAt.getTime()) > DAY) {
      throw new LineError("time and batch lie more than a day apart");
    }
    return batch;
  }
  if (options.windowMinutes === undefined) return observedAt;
  const window = options.windowMinutes * 60_000;
  return new Date(Math.floor(observedAt.getTime() / window) * window);
}

function sideOf(line: JsonObject): Side {
  const value = line[first(line, NAMES.side)];
  const side = typeof value === "string" ? SIDE_WORDS[value.toUpperCase()] : undefined;
  if (side === undefined) {
    throw new LineError(`side is ${shown(value)} instead of ${SIDES.join(" or ")}`);
  }
  return side;
}

function countOf(line: JsonObject, name: string, most: number): number | undefined {
  const value = line[name];
  if (value === undefined || value === null) return undefined;
  const count = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof count !== "number" || !Number.isInteger(count) || count < 1 || count > most) {
    throw new LineError(`${name} is ${shown(value)} instead of a number from 1 to ${most}`);
  }
  return count;
}

/** Where the line does not name the fiat or asset, its offers do. */
function codeOf(
  line: JsonObject,
  name: "fiat" | "asset",
  items: readonly unknown[],
  adKey: string,
): string {
  const named = line[name] ?? undefined;
  const inOffers = valuesOf(items, adKey);
  if (named === undefined && inOffers.size !== 1) {
    throw new LineError(`no ${name}, and its offers do not agree on one`);
  }
  const value = named ?? [...inOffers][0];
  if (typeof value !== "string" || !CODE.test(value)) {
    throw new LineError(`${name} is ${shown(value)} instead of a code such as ${EXAMPLES[name]}`);
  }
  const [only] = inOffers;
  if (inOffers.size === 1 && typeof only === "string" && only !== value) {
    throw new LineError(`${name} is ${shown(value)}, but all of its offers are of ${shown(only)}`);
  }
  return value;
}

/** Whoever records what the ads say of themselves has the sides the wrong way round. */
function refuseOtherSide(side: Side, items: readonly unknown[]): void {
  const sides = valuesOf(items, "tradeType");
  if (sides.size !== 1 || !sides.has(side)) return;
  const other = SIDES.find((known) => known !== side);
  throw new LineError(
    `side is "${side}", but its offers are those that who asks for ${other} gets: tradeType in an ad speaks for its owner`,
  );
}

/** The different values that the ads have under a key. */
function valuesOf(items: readonly unknown[], adKey: string): Set<unknown> {
  return new Set(
    items.map((item) => isObject(item) && isObject(item["adv"]) ? item["adv"][adKey] : undefined),
  );
}

const EXAMPLES = { fiat: "VES", asset: "USDT" } as const;

/** A list, or one alone; `[]` and `""` ask for all, as for the exchange. */
function filterOf(line: JsonObject): string | undefined {
  const asked = line["payTypes"] ?? [];
  const methods = (Array.isArray(asked) ? asked : [asked]).filter((method) => method !== "");
  if (methods.length === 0) return undefined;
  return `payTypes ${printable(methods.map(wordOf).join(", ").slice(0, 200))}`;
}

/** Not String(): an object with a toString of its own throws there. */
function wordOf(value: unknown): string {
  return typeof value === "string" ? value : shownValue(value);
}

interface Answer {
  readonly text: string;
  readonly items: readonly unknown[];
  readonly alteration: string | undefined;
}

/** The answer of the exchange: whole, as an object or as the text of one, or the list of offers alone. */
function answerOf(text: string, line: JsonObject, exchange: Exchange): Answer {
  const name = [...NAMES.body, ...NAMES.offers].find((name) =>
    line[name] !== undefined && line[name] !== null
  );
  if (name === undefined) throw new LineError("no body, and no list of offers");
  const value = line[name];
  const [answer, recorded] = typeof value === "string"
    ? [answerIn(value), value]
    : [value, memberText(text, name) ?? ""];
  if (new TextEncoder().encode(recorded).length > MAX_BODY_BYTES) {
    throw new LineError(`the body is larger than ${MAX_BODY_BYTES} bytes`);
  }
  if (Array.isArray(answer)) {
    if (exchange.code !== DEFAULT_EXCHANGE) {
      throw new LineError(`of ${exchange.code} only whole answers can be read`);
    }
    return {
      text: `{"data": ${recorded}}`,
      items: answer,
      alteration: "only the list of offers was recorded",
    };
  }
  return { text: recorded, items: itemsOf(answer, exchange), alteration: undefined };
}

function answerIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new LineError("the body is text that is not JSON");
  }
}

/** @throws {LineError} where the exchange refused, or the answer is no page */
function itemsOf(answer: unknown, exchange: Exchange): readonly unknown[] {
  const isListAlone = exchange.code === DEFAULT_EXCHANGE && isObject(answer) &&
    answer["code"] === undefined &&
    answer["success"] === undefined && Array.isArray(answer["data"]);
  try {
    if (!isListAlone) exchange.readPage(answer);
  } catch (error) {
    if (!(error instanceof AnswerError)) throw error;
    throw new LineError(error.message);
  }
  return isObject(answer) && Array.isArray(answer["data"]) ? answer["data"] : [];
}

function shown(value: unknown): string {
  return short(shownValue(value));
}

/** What stands in a file goes to a terminal, and to the database: control characters do not. */
function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f]+/g, " ").toWellFormed();
}

function short(text: string): string {
  const line = printable(text);
  return line.length > 80 ? `${line.slice(0, 80)}…` : line;
}
