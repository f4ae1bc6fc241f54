/** Compares what is stored with every byte that the exchange sent. */
import type { Database, Row } from "../../src/database/connection.ts";
import { rowsOf } from "../support/batches.ts";
import { plainDigits } from "../support/truth.ts";
import type { Sent } from "./exchange.ts";
import type { Broken } from "./invariants.ts";

/** What a reader must find in an offer, digit for digit. */
interface SentOffer {
  readonly id: string;
  readonly price: string;
  readonly available: string;
  readonly tradable: string;
  readonly min: string;
  readonly max: string;
  readonly advertiser: string;
  /** In the last month. */
  readonly orders: number | null;
  /** Percent. */
  readonly completion: number | null;
  readonly positive: number | null;
}

type Json = { readonly [key: string]: unknown };

/** JSON with numbers as the text that stood there. */
const parseDigits = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
) => Json;

function numberOf(value: unknown, times: number): number | null {
  return value === undefined || value === null ? null : Number((Number(value) * times).toFixed(9));
}

const read = new WeakMap<Sent, readonly SentOffer[]>();

function offersOf(sent: Sent): readonly SentOffer[] {
  const known = read.get(sent);
  if (known !== undefined) return known;
  const { data } = parseDigits(
    sent.text,
    (_, value, { source }) => typeof value === "number" ? source : value,
  );
  const offers = sent.isMalformed ? [] : (data as { adv: Json; advertiser: Json }[]).map(
    ({ adv, advertiser }): SentOffer => ({
      id: String(adv["advNo"]),
      price: plainDigits(String(adv["price"])),
      available: plainDigits(String(adv["surplusAmount"])),
      tradable: plainDigits(String(adv["tradableQuantity"])),
      min: plainDigits(String(adv["minSingleTransAmount"])),
      max: plainDigits(String(adv["maxSingleTransAmount"])),
      advertiser: String(advertiser["userNo"]),
      orders: numberOf(advertiser["monthOrderCount"], 1),
      completion: numberOf(advertiser["monthFinishRate"], 100),
      positive: numberOf(advertiser["positiveRate"], 100),
    }),
  );
  read.set(sent, offers);
  return offers;
}

const PAGES = `
  select s.batch_id, encode(s.body_sha256, 'hex') as sha256, s.page_number,
    f.currency_code || '/' || c.symbol || ' ' || m.trade_type as market,
    r.status
  from p2p.stg_responses s
  join p2p.ops_batch_runs r using (batch_id)
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  where r.status <> 'running'`;

function keyOf(row: Row): string {
  return `${row["market"]} ${row["page_number"]} ${row["sha256"]}`;
}

const FACTS = `
  select o.batch_id, o.offer_external_id as id, o.price::text as price, o.available_amount::text as available,
    o.tradable_quantity::text as tradable, o.min_limit::text as min, o.max_limit::text as max,
    a.advertiser_id as advertiser, o.total_orders_count as orders, o.completion_rate::float8 as completion,
    o.positive_rate::float8 as positive,
    f.currency_code || '/' || c.symbol || ' ' || o.trade_type as market
  from p2p.fact_offers o
  join p2p.dim_advertisers a using (advertiser_sk)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)`;

function same(sent: SentOffer, stored: Row): boolean {
  return (Object.keys(sent) as (keyof SentOffer)[]).every((key) => sent[key] === stored[key]);
}

/** Pages of which one is not what its text says. Each text is asked for once: the same text is stored as the same body. */
const OTHER_BODIES = `
  with sent as (
    select decode(one ->> 'sha256', 'hex') as sha256, one ->> 'text' as text
    from jsonb_array_elements($1::text::jsonb) as one
  )
  select s.batch_id, s.market_id, s.page_number, 'is not its text' as why
  from sent
  join lateral (
    select *
    from p2p.stg_responses s
    where s.body_sha256 = sent.sha256
      and s.alteration is null
    limit 1
  ) as s on s.body <> sent.text::jsonb
  union all
  select min(s.batch_id::text)::uuid, s.market_id, s.page_number, 'one text, several bodies'
  from p2p.stg_responses s
  group by s.body_sha256, s.market_id, s.page_number
  having count(distinct s.body) > 1`;

/** How many texts are compared. */
const MOST_TEXTS = 100;

async function otherBodies(
  database: Database,
  served: ReadonlyMap<string, Sent>,
): Promise<Row[]> {
  // jsonb holds no U+0000, nor a half of a surrogate pair.
  const plain = [...served].filter(([, { text }]) => !/\\u(0000|d[89a-f])/i.test(text));
  const step = Math.max(1, plain.length / MOST_TEXTS);
  const some = Array.from(
    { length: Math.min(plain.length, MOST_TEXTS) },
    (_, i) => plain[Math.floor(i * step)],
  ).flatMap((one) => one === undefined ? [] : [one]);
  const texts = some.map(([key, { text }]) => ({ sha256: key.split(" ").at(-1), text }));
  return await rowsOf(database, OTHER_BODIES, JSON.stringify(texts));
}

/** Every page that is stored was sent so; every offer of them is a fact, with the digits of one of its readings; and nothing else is. */
export async function brokenByServed(
  database: Database,
  served: ReadonlyMap<string, Sent>,
): Promise<Broken[]> {
  const pages = Map.groupBy(await rowsOf(database, PAGES), (row) => String(row["batch_id"]));
  const facts = Map.groupBy(await rowsOf(database, FACTS), (row) => String(row["batch_id"]));
  const unsent: Row[] = [];
  const lost: Row[] = [];
  const invented: Row[] = [];
  for (const [batch, rows] of pages) {
    const readings = new Map<string, SentOffer[]>();
    for (const row of rows) {
      const sent = served.get(keyOf(row));
      if (sent === undefined) unsent.push(row);
      else {for (const offer of offersOf(sent)) {
          const known = readings.get(offer.id);
          if (known === undefined) readings.set(offer.id, [offer]);
          else known.push(offer);
        }}
    }
    const stored = facts.get(batch) ?? [];
    const ids = new Set(stored.map((row) => String(row["id"])));
    for (const [id, [offer]] of readings) if (!ids.has(id)) lost.push({ batch, ...offer });
    for (const row of stored) {
      const possible = readings.get(String(row["id"])) ?? [];
      if (!possible.some((offer) => same(offer, row))) invented.push({ ...row, sent: possible[0] });
    }
  }
  for (const [batch, rows] of facts) {
    if (!pages.has(batch)) invented.push({ batch, offers: rows.length });
  }
  return [
    { invariant: "every page that is stored was sent so", rows: unsent },
    {
      invariant: "a stored page says what its text says",
      rows: await otherBodies(database, served),
    },
    { invariant: "every good offer of a stored page is a fact", rows: lost },
    { invariant: "every fact was sent, digit for digit", rows: invented },
  ].filter(({ rows }) => rows.length > 0);
}

/** Markets and batches of which every page was as the exchange usually sends it. */
export async function undisturbed(
  database: Database,
  served: ReadonlyMap<string, Sent>,
): Promise<string[]> {
  const disturbed = new Set<string>();
  const all = new Set<string>();
  for (const row of await rowsOf(database, PAGES)) {
    const batch = String(row["batch_id"]);
    all.add(batch);
    if (served.get(keyOf(row))?.isUsual !== true) disturbed.add(batch);
  }
  return [...all].filter((batch) => !disturbed.has(batch));
}
