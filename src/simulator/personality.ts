import type { Offer } from "./book.ts";
import type { Awkwardness, Fault, Malformation } from "./fault.ts";
import type { Layout, Side } from "./layout.ts";
import type { World } from "./market.ts";
import type { PaymentMethod } from "./methods.ts";
import type { MethodText, Privilege, SentOffer } from "./render.ts";

/** A page of a market, as a request asks for it. */
export interface Search {
  readonly fiat: string;
  readonly asset: string;
  readonly side: Side;
  /** From 1. */
  readonly page: number;
  readonly rows: number;
}

export type Body = ReadonlyMap<string, unknown> | undefined;

export type WrongShape = NonNullable<Extract<Fault, { kind: "wrongShape" }>["how"]>;

/** How one exchange speaks. The market behind it is the same for all, and so are its faults. */
export interface Personality {
  readonly searchPath: string;
  /** Every call that it answers, by path. */
  readonly calls: Readonly<Record<string, "GET" | "POST">>;
  /** Whether an ad may be paid to stand first on page 1. */
  readonly hasPromoted: boolean;
  /** Reads the body of a search; undefined for one that the exchange does not accept. */
  readSearch(body: Body): Search | undefined;
  /** The answer to any other call. */
  answer(path: string, world: World, body: Body): string;
  /** A page of a market. */
  page(items: readonly string[], total: number): string;
  /** How the application itself refuses: with HTTP status 200. */
  refusal(code?: string, message?: string): string;
  /** Success, with something else in the place of the list of offers. */
  wrongShape(how: WrongShape): string;
  /** What stands before and after an endless list of offers. */
  readonly endless: readonly [before: string, after: string];
  /** Payment methods of each fiat, by its index. */
  methods(seed: number): readonly (readonly PaymentMethod[])[];
  /** One method as an offer carries it, in JSON; `bare` without its names, where it has any. */
  methodText(method: PaymentMethod, bare: boolean): string;
  renderOffer(
    layout: Layout,
    offer: Offer,
    tick: number,
    methods: readonly MethodText[],
    privilege: Privilege,
  ): { text: string; sent: SentOffer };
  /** Makes an offer one that must be refused. */
  malform(text: string, how: Malformation): string;
  /** Makes an offer unusual but good. */
  makeAwkward(text: string, sent: SentOffer, how: Awkwardness): { text: string; sent: SentOffer };
}

/** A JSON object as a map of its keys; undefined for anything else. */
export function parseObject(body: string): Body {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return new Map<string, unknown>(Object.entries(value));
  } catch {
    return undefined;
  }
}
