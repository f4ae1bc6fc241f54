import type { SpanContext } from "@opentelemetry/api";
import type { Exchange, PageEnvelope } from "../exchange/exchange.ts";
import { activeSpan, failSpan, inSpan } from "../tracing.ts";
import type { ClaimedMarket, FetchedPage, LostPage } from "./batch_types.ts";
import { RequestFailure } from "./failure.ts";
import type { Fetcher, Received } from "./fetcher.ts";

/** 10,000 offers, six times the largest market ever seen: beyond this, paging does not end by itself. */
export const MAX_PAGES = 500;

/** When work on markets ends. */
export interface Ending {
  /** No further page is begun. */
  readonly soon: AbortSignal;
  /** Pages under way are given up, too. */
  readonly now: AbortSignal;
}

/**
 * Fetches one market from its next page to its end, and hands every page on as it comes.
 *
 * The end is a page with fewer offers than fit, once the exchange's own total agrees, or an empty one. The total
 * alone is not believed: it moves, and page 1 may hold a promoted offer more. A lost page does not end the
 * market, two in a row do, and so does a lost first page.
 * @param handOn answers whether the market is still ours; if not, it is left
 * @throws {ExchangeClosed} when nothing may be sent: that is no lost page
 */
export async function fetchMarket(
  market: ClaimedMarket,
  exchange: Exchange,
  fetcher: Fetcher,
  handOn: (page: FetchedPage | LostPage) => Promise<boolean>,
  ending: Ending,
): Promise<void> {
  const seen = new Set<string>();
  let total = market.offersReported;
  let lostInARow = 0;
  let pagesWithoutNews = 0;

  for (let page = market.nextPage; !ending.soon.aborted; page++) {
    const answer = await ask(market, page, exchange, fetcher, ending.now);
    let endsMarket: boolean;
    let isOurs: boolean;
    if ("failure" in answer) {
      lostInARow++;
      endsMarket = page === 1 || lostInARow === 2 ||
        (total ?? Infinity) <= page * exchange.rowsPerPage;
      isOurs = await handOn(lost(market, page, endsMarket, answer));
    } else {
      const { received, span } = answer;
      const { items, offerIds } = received.value;
      total = received.value.total ?? total;
      lostInARow = 0;
      const known = seen.size;
      offerIds.forEach((id) => seen.add(id));
      pagesWithoutNews = seen.size > known ? 0 : pagesWithoutNews + 1;

      const isShort = items < exchange.rowsPerPage;
      endsMarket = items === 0 || (isShort && (total ?? 0) <= page * exchange.rowsPerPage);
      isOurs = await handOn({
        market,
        page,
        endsMarket,
        items,
        offersReported: total,
        parser: exchange.parser,
        observedAt: received.observedAt,
        attempt: received.attempt,
        status: received.status,
        durationMilliseconds: received.durationMilliseconds,
        body: received.body,
        span,
      });
    }
    if (endsMarket || !isOurs) return;
    // One page of nothing but repetitions can happen when the book slides by a whole page; two in a row do not.
    if (pagesWithoutNews === 2 || page >= MAX_PAGES) {
      const message = page >= MAX_PAGES
        ? `still going on after ${MAX_PAGES} pages`
        : "two pages in a row brought no new offer";
      const failure = new RequestFailure("page_loop", message);
      await handOn(lost(market, page + 1, true, { failure, span: activeSpan() }));
      return;
    }
  }
}

/** The span is where it was asked for. */
type Asked =
  & { readonly span: SpanContext | undefined }
  & (
    | { readonly received: Received<PageEnvelope> }
    | { readonly failure: RequestFailure }
  );

/** A page, or why there is none. */
async function ask(
  market: ClaimedMarket,
  page: number,
  exchange: Exchange,
  fetcher: Fetcher,
  signal: AbortSignal,
): Promise<Asked> {
  const { fiat, asset, side } = market;
  const attributes = { exchange: exchange.code, fiat, asset, side, page };
  return await inSpan("page", attributes, async (span): Promise<Asked> => {
    try {
      const received = await fetcher.fetch(
        exchange.searchRequest(market, page),
        (document) => exchange.readPage(document),
        signal,
      );
      span.setAttributes({
        attempt: received.attempt,
        "http.response.status_code": received.status,
        outcome: "ok",
        items: received.value.items,
      });
      return { received, span: activeSpan() };
    } catch (failure) {
      if (!(failure instanceof RequestFailure)) throw failure;
      span.setAttributes({ attempt: failure.attempts, outcome: failure.kind });
      if (failure.status !== undefined) {
        span.setAttribute("http.response.status_code", failure.status);
      }
      failSpan(span, failure.message);
      return { failure, span: activeSpan() };
    }
  });
}

function lost(
  market: ClaimedMarket,
  page: number,
  endsMarket: boolean,
  { failure, span }: { failure: RequestFailure; span: SpanContext | undefined },
): LostPage {
  return {
    market,
    page,
    endsMarket,
    kind: failure.kind,
    message: failure.message,
    retries: failure.attempts - 1,
    span,
  };
}
