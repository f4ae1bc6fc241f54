/** Files as recorders write them, and the command that reads them. */
import { urlAs } from "./database.ts";
import { type Ended, Program, runProgram } from "./program.ts";
import { type MarketName, searchAnswer, type SqlFixture } from "./sql_fixture.ts";
import { type Item, offer } from "./sql_offer.ts";

export const BUY: MarketName = "VES/USDT BUY";
export const SELL: MarketName = "VES/USDT SELL";

export interface LineOptions {
  readonly page?: number;
  readonly batch?: string;
  /** Offers of the whole book; those on the page if not given. */
  readonly total?: number;
  readonly more?: Readonly<Record<string, unknown>>;
}

/** A line: a page of a book at a time. */
export function recorded(
  time: string,
  market: MarketName,
  items: readonly Item[],
  { page = 1, batch, total = items.length, more }: LineOptions = {},
): string {
  const [, fiat, asset, side] = /^(.+)\/(.+) (BUY|SELL)$/.exec(market) ?? [];
  const head = {
    time,
    ...(batch && { batch }),
    exchange: "binance",
    fiat,
    asset,
    side,
    page,
    ...more,
  };
  const body = searchAnswer(market, items)
    .replace(/"total":\d+/, `"total":${total}`);
  return `${JSON.stringify(head).slice(0, -1)},"body":${body}}`;
}

/** A folder of files that are gone after the test. */
export class Folder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async create(): Promise<Folder> {
    return new Folder(await Deno.makeTempDir({ prefix: "p2p-import-" }));
  }

  async file(name: string, content: string | readonly string[] | Uint8Array): Promise<string> {
    const path = `${this.path}/${name}`;
    await (content instanceof Uint8Array ? Deno.writeFile(path, content) : Deno.writeTextFile(
      path,
      typeof content === "string" ? content : content.join("\n") + "\n",
    ));
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** `p2p-ingest import …` with the rights of a worker. */
export function importing(
  sql: SqlFixture,
  args: readonly string[],
  stdin?: string,
): Promise<Ended> {
  return runProgram(["import", ...args], { DATABASE_URL: urlAs("worker", sql.url) }, stdin);
}

/** The same, as a process to watch. */
export function startImporting(sql: SqlFixture, args: readonly string[]): Program {
  return new Program(["import", ...args], { DATABASE_URL: urlAs("worker", sql.url) });
}

/** Its JSON document; the exit code must be this. */
export async function imported(
  sql: SqlFixture,
  args: readonly string[],
  code = 0,
): Promise<Record<string, unknown>> {
  const ended = await importing(sql, ["--json", ...args]);
  if (ended.code !== code) throw new Error(`exit ${ended.code}: ${ended.stderr}${ended.stdout}`);
  return JSON.parse(ended.stdout);
}

/** Twenty offers of a page. */
export function page(from: number, more: Parameters<typeof offer>[0] = {}): Item[] {
  return Array.from(
    { length: 20 },
    (_, i) => offer({ id: String(from + i), user: `s${from + i}`, price: `${40 + i}.50`, ...more }),
  );
}

/** Some batches with a bit of everything, ten minutes apart, in order. */
export function someHistory(): string[] {
  const nick = (name: string) => offer({ id: "900", user: "s900", nick: name });
  return [
    recorded("2026-03-01T10:00:00Z", BUY, page(1), { total: 23 }),
    recorded("2026-03-01T10:00:00Z", BUY, [offer({ id: "50" }), nick("A"), offer({ price: "0" })], {
      page: 2,
      total: 23,
    }),
    recorded("2026-03-01T10:00:00Z", SELL, [offer({ id: "60", promoted: true })]),
    recorded("2026-03-01T10:10:00Z", BUY, page(1, { amount: "7.10" }), { total: 60 }),
    recorded("2026-03-01T10:10:00Z", SELL, [nick("B"), offer({ id: "60" })]),
    recorded("2026-03-01T10:20:00Z", BUY, [nick("A"), offer({ id: "1", user: "s2" })]),
    recorded("2026-03-01T10:20:00Z", "EUR/BTC SELL", []),
    recorded("2026-03-01T10:30:00Z", SELL, [nick("C")]),
  ];
}
