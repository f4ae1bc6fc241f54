// The course of a batch over a stand-in for the database and the network: claims, ending, stopping, loading.
import assert from "node:assert/strict";
import { type BatchOptions, type BatchOutcome, workOnBatch } from "../../src/extract/batch.ts";
import type {
  ClaimedMarket,
  FetchedPage,
  LostPage,
  NextStep,
} from "../../src/extract/batch_types.ts";
import { ExchangeClosed } from "../../src/extract/access.ts";
import { RequestFailure } from "../../src/extract/failure.ts";
import { Progress, type Stage } from "../../src/extract/progress.ts";
import { Metrics } from "../../src/serve/metrics.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

type Ask = (page: number, signal: AbortSignal) => Promise<unknown>;

const EMPTY = { items: 0, total: 0, offerIds: [] };

/** A queue of markets of one page each, and notes of what was called. */
class Scene {
  readonly clock = new FakeClock();
  readonly calls: string[] = [];
  /** What was called last when the database was asked for incidents. */
  readonly looks: string[] = [];
  readonly stop = new AbortController();
  /** Told to take_load as the reason for giving up. */
  readonly reasons: (string | undefined)[] = [];
  /** How long a lost database was waited for, as it changed. */
  readonly patience: number[] = [];
  due: { at: Date; intervalSeconds: number } | undefined;
  readonly queue: ClaimedMarket[];
  /** Answers of take_load; `load` once they are used up, or `fetch` while markets are left. */
  readonly steps: NextStep[] = [];
  joined: unknown = {
    outcome: "opened",
    batchId: "b",
    startedAt: new Date(0),
    marketsExpected: 3,
    secondsLeft: 60,
  };
  breaker: "closed" | "open" = "closed";
  ready: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  pagesStored = 0;
  ask: Ask = () => Promise.resolve(EMPTY);
  storePages: (pages: number) => Promise<void> = () => Promise.resolve();
  claimMarkets: () => Promise<void> = () => Promise.resolve();
  #claimed = new Map<number, ClaimedMarket>();

  constructor(markets: number) {
    this.queue = Array.from({ length: markets }, (_, i) => ({
      exchange: "test",
      marketId: i + 1,
      fiat: `F${i + 1}`,
      asset: "USDT",
      side: "BUY" as const,
      nextPage: 1,
      offersReported: undefined,
    }));
  }

  run(maxWorkers = 2): Promise<BatchOutcome> {
    const database = {
      alerts: { look: () => void this.looks.push(this.calls.at(-1) ?? "") },
      waitFor: (seconds: number) => this.patience.push(seconds),
    };
    const store = {
      database,
      metrics: new Metrics(),
      joinBatch: () => Promise.resolve(this.joined),
      claimMarkets: async (_: string, __: string, count: number) => {
        this.calls.push(`claim ${count}`);
        await this.claimMarkets();
        const claimed = this.queue.splice(0, count);
        for (const market of claimed) this.#claimed.set(market.marketId, market);
        return claimed;
      },
      storePages: async (_: string, pages: readonly (FetchedPage | LostPage)[]) => {
        await this.storePages(pages.length);
        this.pagesStored += pages.length;
        for (const { market } of pages) this.#claimed.delete(market.marketId);
        return pages.map((page) => "body" in page ? "stored" : "lost");
      },
      giveBack: () => {
        this.calls.push("give back");
        this.queue.unshift(...this.#claimed.values());
        this.#claimed.clear();
        return Promise.resolve();
      },
      takeLoad: (_: string, reason: string | undefined) => {
        this.reasons.push(reason);
        const usual = this.queue.length > 0 && reason === undefined ? "fetch" : "load";
        return Promise.resolve(this.steps.shift() ?? usual);
      },
      loadBatch: (batchId: string) => {
        this.calls.push(`load ${batchId}`);
        return Promise.resolve({ batchId, status: "completed" });
      },
      endedBatch: (batchId: string) => Promise.resolve({ batchId, loaderId: "other:7" }),
    };
    const presence = {
      register: () => Promise.resolve(),
      enter: () => Promise.resolve(),
      tell: (doing: string) => Promise.resolve(void this.calls.push(`tell ${doing}`)),
    };
    const exchange = {
      code: "test",
      rowsPerPage: 20,
      searchRequest: (_: unknown, page: number) => ({ body: page }),
      readPage: (document: unknown) => document,
    };
    const breaker = (): string => this.breaker;
    const fetcher = {
      get state() {
        return { breaker: breaker(), breakerReason: "time-outs", ratePerMinute: 60 };
      },
      ready: (signal: AbortSignal) => this.ready(signal),
      fetch: async (
        request: { body: number },
        read: (document: unknown) => unknown,
        signal: AbortSignal,
      ) => {
        signal.throwIfAborted();
        return { value: read(await this.ask(request.body, signal)), body: { bytes: 1 } };
      },
    };
    return workOnBatch({
      served: [{ exchange, fetcher }],
      store,
      presence,
      clock: this.clock,
      maxWorkers,
      deadlineSeconds: 60,
      due: this.due,
      progress: new NotedProgress(this.calls),
      signal: this.stop.signal,
    } as unknown as BatchOptions);
  }
}

/** Notes each stage among the calls. */
class NotedProgress extends Progress {
  constructor(readonly calls: string[]) {
    super(() => 0);
  }

  override enter(stage: Stage, marketsExpected?: number): void {
    if (stage !== this.stage) this.calls.push(stage);
    super.enter(stage, marketsExpected);
  }
}

async function until(isSo: () => boolean): Promise<void> {
  for (let turn = 0; !isSo(); turn++) {
    assert(turn < 1000, "never came");
    await settle();
  }
}

/** Never answers; ends with the reason of the signal. */
const silent: Ask = (_, signal) =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason));
  });

Deno.test("every market is fetched, claimed as many a call as fetchers wait", async () => {
  const scene = new Scene(5);
  const outcome = await scene.run(2);
  assert.equal(outcome.outcome, "loaded");
  assert.equal(scene.pagesStored, 5);
  assert.equal(scene.calls[1], "claim 2");
  assert.deepEqual(scene.calls.filter((call) => !call.startsWith("claim")), [
    ...["fetching", "give back", "loading", "load b", "done", "tell idle"],
  ]);
  assert.deepEqual(scene.reasons, [undefined]);
  assert.equal(scene.clock.sleeping, 0, "nothing waits any more");
});

Deno.test("what is gone in no time is claimed more at once, what lasts is claimed as it is needed", async () => {
  const scene = new Scene(700);
  let isSlow = false;
  scene.ask = async () => {
    if (isSlow) await scene.clock.sleep(1000);
    return EMPTY;
  };
  scene.joined = { ...scene.joined as object, secondsLeft: 1000 };
  scene.claimMarkets = () => Promise.resolve(void (isSlow = scene.queue.length < 400));
  const running = scene.run(4);
  await scene.clock.advance(200_000);
  await running;
  const claims = scene.calls.filter((call) => call.startsWith("claim")).map((call) =>
    Number(call.slice(6))
  );
  assert.deepEqual(claims.slice(0, 6), [4, 8, 16, 32, 64, 100]);
  assert(claims.slice(-20, -1).every((count) => count <= 4), `${claims}`);
});

Deno.test("fetchers that find the queue empty wait for the one claim that is under way", async () => {
  const scene = new Scene(20);
  await scene.run(20);
  assert.deepEqual(scene.calls.filter((call) => call.startsWith("claim")), [
    "claim 20",
    "claim 40",
  ]);
});

for (const outcome of ["held", "done", "late", "paused"] as const) {
  Deno.test(`no batch to work on: ${outcome}`, async () => {
    const scene = new Scene(1);
    scene.joined = { outcome, detail: "because" };
    assert.deepEqual(await scene.run(), { outcome, detail: "because" });
    assert.deepEqual(scene.calls, ["tell idle"], "join_batch said that it fetches");
  });
}

Deno.test("a claim that fails ends the batch with that error, and nothing is loaded", async () => {
  const scene = new Scene(5);
  const broken = new Error("the database is gone");
  scene.claimMarkets = () => Promise.reject(broken);
  await assert.rejects(scene.run(3), broken);
  assert(!scene.calls.includes("load b"));
  assert.deepEqual(scene.calls.slice(-2), ["give back", "tell idle"], "nobody waits for it");
  assert.equal(scene.clock.sleeping, 0);
});

Deno.test("a page that cannot be stored ends the batch, also while others wait for answers", async () => {
  const scene = new Scene(3);
  const full = new Error("the disk is full");
  let asked = 0;
  // The first market is paged on; the others wait for an answer that never comes.
  scene.ask = (page, signal) =>
    page > 1 || ++asked === 1
      ? Promise.resolve({ items: 20, total: 999, offerIds: [crypto.randomUUID()] })
      : silent(page, signal);
  scene.storePages = () => Promise.reject(full);
  await assert.rejects(scene.run(3), full);
  assert(!scene.calls.includes("load b"));
});

Deno.test("told to stop: pages in hand are waited for a moment, the rest goes back, and it is said why", async () => {
  const scene = new Scene(50);
  let asked = 0;
  const slow = Promise.withResolvers<unknown>();
  scene.ask = (page, signal) => {
    if (++asked < 10) return Promise.resolve(EMPTY);
    if (asked === 11) scene.stop.abort();
    return asked === 10 ? slow.promise : silent(page, signal);
  };
  const running = scene.run(2);
  await until(() => scene.stop.signal.aborted);
  slow.resolve(EMPTY);
  await until(() => scene.pagesStored === 10);
  assert.equal(scene.pagesStored, 10, "the answer that came in time is stored");
  await scene.clock.advance(2001);
  assert.equal((await running).outcome, "loaded");
  assert.equal(asked, 11, "no other page is begun");
  assert.deepEqual(scene.reasons, ["the worker was told to stop"]);
  assert.deepEqual(scene.calls.slice(-5), [
    ...["give back", "tell stopping", "loading", "load b", "done"],
  ]);
});

Deno.test("told to stop while others can go on: it leaves the batch to them", async () => {
  const scene = new Scene(3);
  scene.ask = silent;
  scene.steps.push("others");
  scene.stop.abort();
  const running = scene.run();
  await scene.clock.advance(2001);
  const outcome = await running;
  assert.equal(outcome.outcome, "left");
  assert(!scene.calls.includes("load b"));
});

Deno.test("the deadline ends fetching, not the batch", async () => {
  const scene = new Scene(5);
  scene.ask = silent;
  scene.steps.push("wait", "load");
  const running = scene.run(2);
  await scene.clock.advance(60_000 + 2000 + 1000);
  assert.equal((await running).outcome, "loaded");
  assert.deepEqual(scene.reasons, [undefined, undefined], "the database knows of the deadline");
});

Deno.test("a batch whose time is over is only loaded", async () => {
  const scene = new Scene(5);
  scene.joined = { ...scene.joined as object, outcome: "joined", secondsLeft: -3 };
  scene.steps.push("load");
  const outcome = await scene.run();
  assert(outcome.outcome === "loaded" && outcome.wasOver);
  assert(!scene.calls.some((call) => call.startsWith("claim")));
});

Deno.test("it waits for others, and fetches what a dead one leaves behind", async () => {
  const scene = new Scene(1);
  scene.steps.push("wait", "wait", "fetch", "wait", "closed");
  const running = scene.run();
  await scene.clock.advance(1500);
  assert.equal(scene.pagesStored, 1);
  scene.queue.push({ ...scene.queue[0], marketId: 9, nextPage: 2 } as ClaimedMarket);
  await scene.clock.advance(2500);
  const outcome = await running;
  assert.equal(scene.pagesStored, 2);
  assert.deepEqual(outcome, {
    outcome: "left",
    batchId: "b",
    ended: { batchId: "b", loaderId: "other:7" },
  });
});

Deno.test("a queue that says fetch and gives nothing is not asked in a circle", async () => {
  const scene = new Scene(0);
  scene.steps.push("fetch", "fetch", "load");
  const running = scene.run();
  await settle();
  assert.equal(scene.reasons.length, 1);
  await scene.clock.advance(2000);
  await running;
  assert.equal(scene.reasons.length, 3);
});

Deno.test("an exchange that is closed: its markets go back, it is waited for, then tried with one request", async () => {
  const scene = new Scene(6);
  const opened = Promise.withResolvers<void>();
  let asked = 0;
  let atOnce = 0;
  scene.ready = () => opened.promise;
  scene.ask = async () => {
    if (++asked === 3) {
      scene.breaker = "open";
      throw new ExchangeClosed("test", "time-outs", 10);
    }
    if (asked === 4) assert.equal(scene.calls.at(-1), "claim 1", "a probe is one market");
    assert(++atOnce <= (asked === 4 ? 1 : 2));
    await settle();
    atOnce--;
    if (asked > 3) scene.breaker = "closed";
    return EMPTY;
  };
  const running = scene.run(2);
  await until(() => scene.calls.includes("give back"));
  await scene.clock.advance(30_000);
  assert(scene.calls.includes("give back"));
  opened.resolve();
  assert.equal((await running).outcome, "loaded");
  assert.equal(scene.pagesStored, 6, "nothing was lost");

  assert.deepEqual(scene.reasons, [undefined]);
});

Deno.test("an exchange that stays closed ends the batch with the reason", async () => {
  const scene = new Scene(6);
  scene.breaker = "open";
  scene.joined = { ...scene.joined as object, secondsLeft: 1000 };
  scene.ready = (signal) => silent(1, signal).then(() => {});
  const running = scene.run(2);
  await scene.clock.advance(60_001);
  assert.equal((await running).outcome, "loaded");
  assert.deepEqual(scene.reasons, ["nothing is sent to test: time-outs"]);
  assert.equal(scene.queue.length, 6, "none of its markets was touched");
});

Deno.test("closed to us, while others go on: it waits with them, and helps again when it may", async () => {
  const scene = new Scene(2);
  scene.breaker = "open";
  let isReady = false;
  scene.ready = (signal) => isReady ? Promise.resolve() : silent(1, signal).then(() => {});
  scene.joined = { ...scene.joined as object, secondsLeft: 1000 };
  scene.steps.push("others", "others");
  const running = scene.run(2);
  await scene.clock.advance(60_500);
  assert.equal(scene.reasons.length, 1);
  isReady = true;
  scene.breaker = "closed";
  scene.ask = () => Promise.resolve(EMPTY);
  await scene.clock.advance(3000);
  assert.equal((await running).outcome, "loaded");
  assert.equal(scene.pagesStored, 2);
});

Deno.test("lost pages are no reason to stop", async () => {
  const scene = new Scene(100);
  scene.ask = () => Promise.reject(new RequestFailure("http_error", "HTTP 404"));
  await scene.run(3);
  assert.equal(scene.pagesStored, 100);
});

Deno.test("after a load the database is asked what people should know of", async () => {
  const scene = new Scene(1);
  await scene.run();
  assert.deepEqual(scene.looks, ["done"]);
});

Deno.test("a lost database is waited for from the first call of a batch that is due, to the last", async () => {
  const scene = new Scene(1);
  scene.due = { at: new Date(0), intervalSeconds: 600 };
  await scene.run();
  assert.deepEqual(scene.patience, [600, 600, 0]);
  scene.joined = { outcome: "done", detail: "" };
  await scene.run();
  assert.deepEqual(scene.patience.slice(3), [600, 0]);
});
