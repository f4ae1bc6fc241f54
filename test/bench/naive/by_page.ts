import type postgres from "postgres";
import { offersOf } from "./offers.ts";
import { type Batch, type Page, storeEach } from "./pages.ts";

const ADVERTISERS = `
  insert into naive.advertisers (user_no, nickname, is_merchant, user_type, user_grade, user_identity, vip_level)
  select *
  from unnest($1::text[], $2::text[], $3::text[]::boolean[], $4::text[], $5::integer[], $6::text[], $7::integer[]) as a (user_no)
  where not exists (select from naive.advertisers known where known.user_no = a.user_no)
  order by a.user_no
  on conflict do nothing`;

const METHODS = `
  insert into naive.payment_methods (code, name)
  select *
  from unnest($1::text[], $2::text[]) as m (code)
  where not exists (select from naive.payment_methods known where known.code = m.code)
  order by m.code
  on conflict do nothing`;

const MARKET = `
  with fiat as (
    insert into naive.fiats (code)
    select $1 where not exists (select from naive.fiats where code = $1)
    on conflict do nothing
  )
  insert into naive.assets (symbol)
  select $2 where not exists (select from naive.assets where symbol = $2)
  on conflict do nothing`;

const OFFERS = `
  insert into naive.offers as o
  select
    $1::timestamptz, $2::timestamptz, $3::uuid, a.advertiser_id, p.orders, p.pay_minutes, c.asset_id, f.fiat_id,
    $4::smallint, p.is_promoted, p.is_available, $5::text, p.id, p.price, p.amount, p.tradable, p.min_limit, p.max_limit,
    p.completion_rate, p.positive_rate, p.float_rate, p.terms
  from unnest(
    $8::text[], $9::text[], $10::integer[], $11::integer[], $12::text[]::boolean[], $13::text[]::boolean[], $14::numeric[],
    $15::numeric[], $16::numeric[], $17::numeric[], $18::numeric[], $19::numeric[], $20::numeric[], $21::numeric[],
    $22::text[]
  ) as p (
    id, user_no, orders, pay_minutes, is_promoted, is_available, price, amount, tradable, min_limit, max_limit,
    completion_rate, positive_rate, float_rate, terms
  )
  join naive.advertisers a using (user_no)
  join naive.fiats f on f.code = $6
  join naive.assets c on c.symbol = $7
  order by p.id
  on conflict (extraction_timestamp, offer_external_id)
  do update set is_promoted = o.is_promoted or excluded.is_promoted`;

const LINKS = `
  insert into naive.offer_payment_methods
  select $1::timestamptz, l.id, m.payment_method_id
  from unnest($2::text[], $3::text[]) as l (id, code)
  join naive.payment_methods m using (code)
  order by l.id, m.payment_method_id
  on conflict do nothing`;

/**
 * A better design, and still one that parses in the program: five statements a page, of arrays, each by itself.
 * (The driver takes no array that begins with a boolean for one: they go as text.)
 */
export async function byPage(
  sql: postgres.Sql,
  pages: readonly Page[],
  connections: number,
): Promise<void> {
  await storeEach(pages, connections, (page, batch) => storePage(sql, page, batch));
}

async function storePage(sql: postgres.Sql, page: Page, batch: Batch): Promise<void> {
  const { fiat, asset, side } = page.market;
  const run = (text: string, parameters: unknown[]): Promise<unknown> =>
    sql.unsafe(text, parameters as postgres.ParameterOrJSON<never>[], { prepare: true });
  const offers = offersOf(page);
  const people = [...new Map(offers.map(({ advertiser: a }) => [a.userNo, a])).values()];
  const methods = [
    ...new Map(offers.flatMap((o) => o.methods).map((m) => [m.code, m])).values(),
  ];
  const links = offers.flatMap(({ id, methods }) => methods.map(({ code }) => ({ id, code })));
  await run(MARKET, [fiat, asset]);
  await run(ADVERTISERS, [
    people.map((a) => a.userNo),
    people.map((a) => a.nickname),
    people.map((a) => String(a.isMerchant)),
    people.map((a) => a.userType),
    people.map((a) => a.grade),
    people.map((a) => a.identity),
    people.map((a) => a.vip),
  ]);
  await run(METHODS, [methods.map((m) => m.code), methods.map((m) => m.name)]);
  await run(OFFERS, [
    batch.at,
    new Date(),
    batch.id,
    page.page,
    side,
    fiat,
    asset,
    offers.map((o) => o.id),
    offers.map((o) => o.advertiser.userNo),
    offers.map((o) => o.orders),
    offers.map((o) => o.payMinutes),
    offers.map((o) => String(o.isPromoted)),
    offers.map((o) => o.isAvailable?.toString() ?? null),
    offers.map((o) => o.price),
    offers.map((o) => o.amount),
    offers.map((o) => o.tradable),
    offers.map((o) => o.minLimit),
    offers.map((o) => o.maxLimit),
    offers.map((o) => o.completionRate),
    offers.map((o) => o.positiveRate),
    offers.map((o) => o.floatRate),
    offers.map((o) => o.terms),
  ]);
  await run(LINKS, [batch.at, links.map((l) => l.id), links.map((l) => l.code)]);
}
