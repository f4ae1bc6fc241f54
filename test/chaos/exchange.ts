/** The exchange of a schedule: the simulator, and what it should never answer. Everything that it sent is kept. */
import { createHash } from "node:crypto";
import { BINANCE } from "../../src/simulator/binance.ts";
import type { Fault } from "../../src/simulator/fault.ts";
import type { MarketModel } from "../../src/simulator/market.ts";
import type { SimulatedAnswer, SimulatedRequest } from "../../src/simulator/server.ts";
import type { Search } from "../../src/simulator/personality.ts";

/** Bodies that are pages, but not as the simulator makes them. */
export const ALTERATIONS = [
  "long ids",
  "thirty places",
  "moving prices",
  "moving totals",
  "repeated offers",
  "unknown keys",
] as const;
export type Alteration = typeof ALTERATIONS[number];

/** Answers that are no page. */
export const REFUSALS = [
  "empty body",
  "no content",
  "redirect away",
  "redirect round",
  "not found",
  "teapot",
  "bad gzip",
  "byte order mark",
  "deep nesting",
  "success with an error code",
] as const;
export type Refusal = typeof REFUSALS[number];

/** A page that was sent, or begun to be. */
export interface Sent {
  readonly text: string;
  /** Whether all its offers were spoiled so that none may be taken. */
  readonly isMalformed: boolean;
  /** Whether it is what an undisturbed exchange would have sent. */
  readonly isUsual: boolean;
}

/** What a request meets, if anything. */
export type Trouble = Fault | { readonly kind: "altered"; readonly how: Alteration } | {
  readonly kind: "nonsense";
  readonly how: Refusal;
};

/** Decides what a machine's requests meet, and keeps what was sent to anybody. */
export class Scribe {
  /** By market, page and checksum. */
  readonly sent = new Map<string, Sent>();
  /** How often each kind of trouble was met. */
  readonly met = new Map<string, number>();
  readonly #underWay = new WeakMap<SimulatedRequest, Trouble>();
  #answers = 0;

  constructor(readonly model: () => MarketModel) {}

  /** For `faultFor`; what the simulator does not know is left to `answerFor`. */
  faultFor(request: SimulatedRequest, trouble: Trouble | undefined): Fault | undefined {
    if (trouble === undefined) return undefined;
    const name = trouble.kind === "altered" || trouble.kind === "nonsense"
      ? trouble.how
      : trouble.kind;
    this.met.set(name, (this.met.get(name) ?? 0) + 1);
    this.#underWay.set(request, trouble);
    return trouble.kind === "altered" || trouble.kind === "nonsense" ? undefined : trouble;
  }

  /** For `pageText`: the text as it leaves, kept before its first byte does. */
  pageText(request: SimulatedRequest, usual: string): string {
    const { search } = request;
    if (search === undefined) return usual;
    const trouble = this.#underWay.get(request);
    const text = trouble?.kind === "altered" ? this.#alter(trouble.how, search, usual) : usual;
    const sha256 = createHash("sha256").update(text).digest("hex");
    const key = `${search.fiat}/${search.asset} ${search.side} ${search.page} ${sha256}`;
    const known = this.sent.get(key);
    this.sent.set(key, {
      text,
      isMalformed: known?.isMalformed ?? trouble?.kind === "malformedOffers",
      isUsual: known?.isUsual ??
        !["altered", "malformedOffers", "awkwardOffers"].includes(trouble?.kind ?? ""),
    });
    return text;
  }

  answerFor(request: SimulatedRequest, usual: () => string): SimulatedAnswer | undefined {
    const trouble = this.#underWay.get(request);
    return trouble?.kind === "nonsense" ? nonsense(trouble.how, usual) : undefined;
  }

  #alter(how: Alteration, search: Search, text: string): string {
    const number = ++this.#answers;
    switch (how) {
      case "long ids":
        return text.replaceAll(/"advNo":"(\d+)"/g, '"advNo":"98765432109876543210$1"');
      case "thirty places":
        return text.replaceAll(
          /"price":"(\d+)(?:\.(\d+))?"/g,
          (_, whole, part = "") => `"price":"${whole}.${part.padEnd(29, "0")}7"`,
        );
      case "moving prices":
        return text.replaceAll(
          /"price":"(\d+)(?:\.(\d+))?"/g,
          (_, whole, part = "") => `"price":"${whole}.${part}${String(number % 90 + 10)}"`,
        );
      case "moving totals":
        return text.replace(
          /"total":-?\d+/,
          () => `"total":${["0", "null", '"many"', "999999", "-1", "1e3", "20"][number % 7]}`,
        );
      case "unknown keys":
        return text.replaceAll('{"adv":{', '{"later":[{"x":1e400}],"adv":{"newKey":{"a":[null]},')
          .replace(/^\{/, '{"trace":"\\ud83d\\ude00",');
      case "repeated offers": {
        // The book has slid by three while it was read.
        const items = this.model().book(search.fiat, search.asset, search.side).map((i) => i.text);
        const from = (search.page - 1) * search.rows - (search.page > 1 ? 3 : 0);
        return BINANCE.page(items.slice(from, from + search.rows), items.length);
      }
    }
  }
}

function nonsense(how: Refusal, usual: () => string): SimulatedAnswer {
  switch (how) {
    case "empty body":
      return { status: 200, body: "" };
    case "no content":
      return { status: 204, body: "" };
    case "redirect away":
      return { status: 302, body: "", headers: { location: "http://127.0.0.1:1/elsewhere" } };
    case "redirect round":
      return {
        status: 307,
        body: "",
        headers: { location: "/bapi/c2c/v2/friendly/c2c/adv/search" },
      };
    case "not found":
      return { status: 404, body: '{"status":404,"error":"Not Found"}' };
    case "teapot":
      return { status: 418, body: "short and stout" };
    case "bad gzip":
      return { status: 200, body: usual(), headers: { "content-encoding": "gzip" } };
    case "byte order mark":
      return { status: 200, body: `\ufeff<html>${" ".repeat(2000)}`, headers: {} };
    case "deep nesting":
      return { status: 200, body: "[".repeat(100_000) };
    case "success with an error code":
      return { status: 200, body: usual().replace('"code":"000000"', '"code":"083999"') };
  }
}
