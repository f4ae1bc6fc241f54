import type postgres from "postgres";
import { type Advertiser, type Method, type Offer, offersOf } from "./offers.ts";
import { type Batch, type Page, storeEach } from "./pages.ts";

/** Numbers of the rows that an offer refers to. */
interface References {
  readonly advertiser: number;
  readonly methods: readonly number[];
}

/**
 * The design most people would write: each offer's fiat, asset, advertiser and payment methods are looked up, and
 * inserted where they are new; then come the offer and its payment methods, row by row, a transaction a page.
 * As many pages at once as the driver has connections.
 */
export async function rowByRow(
  sql: postgres.Sql,
  pages: readonly Page[],
  connections: number,
): Promise<void> {
  await storeEach(pages, connections, (page, batch) => storePage(sql, page, batch));
}

async function storePage(sql: postgres.Sql, page: Page, batch: Batch): Promise<void> {
  const observedAt = new Date();
  const offers: { offer: Offer; fiat: number; asset: number; references: References }[] = [];
  for (const offer of offersOf(page)) {
    const fiat = await fiatNumber(sql, page.market.fiat);
    const asset = await assetNumber(sql, page.market.asset);
    const advertiser = await advertiserNumber(sql, offer.advertiser);
    const methods: number[] = [];
    for (const method of offer.methods) methods.push(await methodNumber(sql, method));
    offers.push({ offer, fiat, asset, references: { advertiser, methods } });
  }
  await sql.begin(async (tx) => {
    for (const { offer, fiat, asset, references } of offers) {
      await tx`
        insert into naive.offers as o values (
          ${batch.at}, ${observedAt}, ${batch.id}, ${references.advertiser}, ${offer.orders}, ${offer.payMinutes},
          ${asset}, ${fiat}, ${page.page}, ${offer.isPromoted}, ${offer.isAvailable}, ${page.market.side}, ${offer.id},
          ${offer.price}, ${offer.amount}, ${offer.tradable}, ${offer.minLimit}, ${offer.maxLimit},
          ${offer.completionRate}, ${offer.positiveRate}, ${offer.floatRate}, ${offer.terms}
        )
        on conflict (extraction_timestamp, offer_external_id)
        do update set is_promoted = o.is_promoted or excluded.is_promoted`;
      for (const method of references.methods) {
        await tx`
          insert into naive.offer_payment_methods values (${batch.at}, ${offer.id}, ${method})
          on conflict do nothing`;
      }
    }
  });
}

/** The number of a row, which is looked up, and inserted where it is new. Two may insert it at once: one of them does. */
async function numberOf(
  find: () => PromiseLike<readonly postgres.Row[]>,
  insert: () => PromiseLike<readonly postgres.Row[]>,
): Promise<number> {
  const [row] = await find();
  if (row !== undefined) return Number(row["n"]);
  const [inserted] = await insert();
  return inserted === undefined ? await numberOf(find, insert) : Number(inserted["n"]);
}

const fiatNumber = (sql: postgres.Sql, code: string): Promise<number> =>
  numberOf(
    () => sql`select fiat_id as n from naive.fiats where code = ${code}`,
    () =>
      sql`insert into naive.fiats (code) values (${code}) on conflict do nothing returning fiat_id as n`,
  );

const assetNumber = (sql: postgres.Sql, symbol: string): Promise<number> =>
  numberOf(
    () => sql`select asset_id as n from naive.assets where symbol = ${symbol}`,
    () =>
      sql`insert into naive.assets (symbol) values (${symbol}) on conflict do nothing returning asset_id as n`,
  );

const methodNumber = (sql: postgres.Sql, { code, name }: Method): Promise<number> =>
  numberOf(
    () => sql`select payment_method_id as n from naive.payment_methods where code = ${code}`,
    () =>
      sql`insert into naive.payment_methods (code, name) values (${code}, ${name})
        on conflict do nothing returning payment_method_id as n`,
  );

const advertiserNumber = (sql: postgres.Sql, advertiser: Advertiser): Promise<number> => {
  const { userNo, nickname, isMerchant, userType, grade, identity, vip } = advertiser;
  return numberOf(
    () => sql`select advertiser_id as n from naive.advertisers where user_no = ${userNo}`,
    () =>
      sql`insert into naive.advertisers
          (user_no, nickname, is_merchant, user_type, user_grade, user_identity, vip_level)
        values (${userNo}, ${nickname}, ${isMerchant}, ${userType}, ${grade}, ${identity}, ${vip})
        on conflict do nothing returning advertiser_id as n`,
  );
};
