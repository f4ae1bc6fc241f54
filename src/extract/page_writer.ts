import { activeContext, inSpan } from "../tracing.ts";
import type { BatchStore } from "./batch_store.ts";
import type { FetchedPage, LostPage, StoreOutcome } from "./batch_types.ts";

type Page = FetchedPage | LostPage;

/**
 * Statements under way at once. A market always uses the same lane, so that its pages are stored in the order
 * they were fetched, and so that two statements never wait for each other's rows.
 */
const LANES = 2;
/** Ten pages, 600 KB, a statement: measured as fast as COPY. */
const PAGES_A_STATEMENT = 10;
/** Pages that may wait in memory; beyond this the fetchers wait. */
const WAITING_PAGES = 60;

/** Stores pages as they come, several a statement, with bounded memory. */
export class PageWriter {
  readonly #lanes: Page[][] = Array.from({ length: LANES }, () => []);
  readonly #flushing: (Promise<void> | undefined)[] = Array.from({ length: LANES });
  /** Markets that went to another worker. */
  readonly #gone = new Set<number>();
  /** A statement has pages of several markets: it is the batch's, and linked with them. */
  readonly #batch = activeContext();
  #waiting = 0;
  #room: (() => void)[] = [];
  #failure: unknown;

  /** @param onOutcome told what became of each page of ours, once it is committed */
  constructor(
    readonly store: BatchStore,
    readonly batchId: string,
    readonly onOutcome: (page: Page, outcome: StoreOutcome) => void,
  ) {}

  /** A market was claimed, maybe once more. */
  begin(marketId: number): void {
    this.#gone.delete(marketId);
  }

  /**
   * Takes a page; returns when there is room for another.
   * @returns whether its market is still ours, as far as is known
   * @throws what made storing impossible, then and ever after
   */
  async add(page: Page): Promise<boolean> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#gone.has(page.market.marketId)) return false;
    const lane = page.market.marketId % LANES;
    this.#lanes[lane]?.push(page);
    this.#waiting++;
    this.#flushing[lane] ??= this.#flush(lane);
    while (this.#waiting > WAITING_PAGES && this.#failure === undefined) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
    }
    if (this.#failure !== undefined) throw this.#failure;
    return !this.#gone.has(page.market.marketId);
  }

  /** Waits until every page taken is committed. */
  async drain(): Promise<void> {
    while (this.#flushing.some((flush) => flush !== undefined)) await Promise.all(this.#flushing);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #flush(lane: number): Promise<void> {
    const queue = this.#lanes[lane] ?? [];
    // Pages that come in the same turn of the event loop go out together.
    await Promise.resolve();
    try {
      while (queue.length > 0 && this.#failure === undefined) {
        const pages = queue.slice(0, PAGES_A_STATEMENT);
        const outcomes = await inSpan(
          "store_pages",
          { pages: pages.length },
          () => this.store.storePages(this.batchId, pages),
          { parent: this.#batch, links: pages.map(({ span }) => span) },
        );
        queue.splice(0, pages.length);
        this.#makeRoom(pages.length);
        pages.forEach((page, i) => this.#report(page, outcomes[i] ?? "not_ours"));
      }
    } catch (error) {
      this.#failure ??= error;
    }
    this.#flushing[lane] = undefined;
    if (this.#failure !== undefined) this.#makeRoom(0);
  }

  /** A page of a market that went to another worker is dropped: that worker fetches it. */
  #report(page: Page, outcome: StoreOutcome): void {
    if (outcome === "not_ours") this.#gone.add(page.market.marketId);
    else this.onOutcome(page, outcome);
  }

  #makeRoom(pages: number): void {
    this.#waiting -= pages;
    const waiters = this.#room;
    this.#room = [];
    for (const resolve of waiters) resolve();
  }
}
