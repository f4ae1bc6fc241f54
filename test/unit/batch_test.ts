// The course of a batch over a stand-in for the database and the network: claims, lease, stopping.
import assert from "node:assert/strict";
import { LEASE } from "../../src/deadlines.ts";
import { PausedError } from "../../src/errors.ts";
import { parseMarketFilter } from "../../src/exchange/market_filter.ts";
import { type BatchOptions, runBatch } from "../../src/extract/batch.ts";
import type { ClaimedMarket, LoadedBatch } from "../../src/extract/batch_types.ts";
import { RequestFailure } from "../../src/extract/failure.ts";
import { Progress } from "../../src/extract/progress.ts";
import { FakeClock } from "../support/fake_clock.ts";

type Ask = (page: number, signal: AbortSignal) => Promise<unknown>;

/** A queue of markets of one page each, and notes of what was called. */
class Scene {
  readonly clock = new FakeClock();
  readonly calls: string[] = [];
  readonly stop = new AbortController();
  readonly ended: string[] = [];
  readonly queue: ClaimedMarket[];
  pagesStored = 0;
  ask: Ask = () => Promise.resolve({ items: 0, total: 0, offerIds: [] });
  openBatch: () => unknown = () => ({ batchId: "b", startedAt: new Date(0), marketsExpected: 3 });
  renewLease: () => Promise<boolean> = () => Promise.resolve(true);
  releaseLease: () => Promise<void> = () => Promise.resolve();
  storePages: (pages: number) => Promise<void> = () => Promise.resolve();
  claimMarkets: () => Promise<void> = () => Promise.resolve();
  requireNotPaused: () => Promise<void> = () => Promise.resolve();
  abandoned: (string | undefined)[] = [];

  constructor(markets: number) {
    this.queue = Array.from(
      { length: markets },
      (_, i) => ({ marketId: i + 1, fiat: `F${i + 1}`, asset: "USDT", side: "BUY" as const }),
    );
  }

  run(maxWorkers = 2, deadlineSeconds = 60): Promise<LoadedBatch> {
    const store = {
      knownFiats: () => Promise.resolve([{ fiat: "*", isFresh: true }]),
      adoptAbandonedBatch: () => Promise.resolve(this.abandoned.shift()),
      requireNotPaused: () => this.requireNotPaused(),
      openBatch: () => Promise.resolve(this.openBatch()),
      claimMarkets: async (_: string, count: number) => {
        this.calls.push(`claim ${count}`);
        await this.claimMarkets();
        return this.queue.splice(0, count);
      },
      renewLease: () => {
        this.calls.push("renew");
        return this.renewLease();
      },
      storePages: async (_: string, pages: readonly { body?: unknown }[]) => {
        await this.storePages(pages.length);
        this.pagesStored += pages.length;
        return pages.map((page) => page.body === undefined ? "lost" : "stored");
      },
      releaseLease: (batchId: string) => {
        this.calls.push(`release ${batchId}`);
        return this.releaseLease();
      },
      endFetching: (_: string, reason: string) => {
        this.ended.push(reason);
        return Promise.resolve();
      },
      loadBatch: (batchId: string) => {
        this.calls.push(`load ${batchId}`);
        return Promise.resolve({ batchId, status: "completed" });
      },
    };
    const exchange = {
      rowsPerPage: 20,
      searchRequest: (_: unknown, page: number) => ({ body: page }),
      readPage: (document: unknown) => document,
    };
    const fetcher = {
      fetch: async (
        request: { body: number },
        read: (document: unknown) => unknown,
        signal: AbortSignal,
      ) => {
        signal.throwIfAborted();
        return { value: read(await this.ask(request.body, signal)), body: { bytes: 1 } };
      },
    };
    return runBatch({
      exchange,
      fetcher,
      store,
      clock: this.clock,
      filter: parseMarketFilter("*/*"),
      maxWorkers,
      deadlineSeconds,
      progress: new Progress(() => 0, (stage) => this.calls.push(stage)),
      signal: this.stop.signal,
    } as unknown as BatchOptions);
  }
}

/** Never answers; ends with the reason of the signal. */
const silent: Ask = (_, signal) =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason));
  });

Deno.test("every market is fetched, claimed as many a call as there are workers", async () => {
  const scene = new Scene(5);
  const loaded = await scene.run(2);
  assert.equal(loaded.batchId, "b");
  assert.equal(scene.pagesStored, 5);
  assert.deepEqual(
    scene.calls.filter((call) => call.startsWith("claim")),
    Array(4).fill("claim 2"),
  );
  assert.deepEqual(scene.calls.filter((call) => !call.startsWith("claim")), [
    ...["discovering", "fetching", "loading", "load b", "done"],
  ]);
  assert.deepEqual(scene.ended, [], "nothing was left");
  assert.equal(scene.clock.sleeping, 0, "the heartbeat has stopped");
});

Deno.test("paused: what a worker had left is loaded first; the exchange is not asked", async () => {
  const scene = new Scene(1);
  const paused = new PausedError("paused");
  scene.abandoned = ["a"];
  scene.requireNotPaused = () => Promise.reject(paused);
  await assert.rejects(scene.run(), paused);
  assert.deepEqual(scene.calls, ["load a"], "not even its list of markets");
});

Deno.test("workers that find the queue empty wait for the one claim that is under way", async () => {
  const scene = new Scene(20);
  await scene.run(20);
  assert.deepEqual(scene.calls.filter((call) => call.startsWith("claim")), [
    "claim 20",
    "claim 20",
  ]);
});

Deno.test("a claim that fails ends the batch with that error, and nothing is loaded", async () => {
  const scene = new Scene(5);
  const broken = new Error("the database is gone");
  scene.claimMarkets = () => Promise.reject(broken);
  scene.releaseLease = () => Promise.reject(new Error("still gone"));
  await assert.rejects(scene.run(3), broken);
  assert(!scene.calls.includes("load b"));
  assert.equal(scene.calls.at(-1), "release b", "the next worker need not wait for the lease");
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

Deno.test("told to stop: what came is loaded, what is left is put down with its reason", async () => {
  const scene = new Scene(50);
  let asked = 0;
  scene.ask = (page, signal) => {
    if (++asked < 10) return Promise.resolve({ items: 0, total: 0, offerIds: [] });
    const answer = silent(page, signal);
    scene.stop.abort();
    return answer;
  };
  await scene.run(2);
  assert.deepEqual(scene.ended, ["the worker was told to stop"]);
  assert(scene.calls.includes("load b"));
});

Deno.test("the deadline ends fetching, not the batch", async () => {
  const scene = new Scene(5);
  scene.ask = silent;
  const alive = setTimeout(() => {}, 5000); // AbortSignal.timeout alone keeps no program running
  await scene.run(2, 0.05);
  clearTimeout(alive);
  assert.deepEqual(scene.ended, ["the deadline of 0.05 s came first"]);
  assert(scene.calls.includes("load b"));
});

Deno.test("forty markets lost in a row: the exchange is gone; one good page starts anew", async () => {
  const failing = (good: number): Scene => {
    const scene = new Scene(100);
    let asked = 0;
    scene.ask = () =>
      ++asked % good === 0
        ? Promise.resolve({ items: 0, total: 0, offerIds: [] })
        : Promise.reject(new RequestFailure("connection", "refused"));
    return scene;
  };
  const gone = failing(1000);
  await gone.run(1);
  assert.deepEqual(gone.ended, ["the exchange stopped answering (40 markets lost in a row)"]);
  assert(gone.pagesStored < 60);
  const there = failing(30);
  await there.run(1);
  assert.deepEqual(there.ended, []);
  assert.equal(there.pagesStored, 100);
});

Deno.test("the lease is renewed while fetching; a renewal that fails is tried again", async () => {
  const scene = new Scene(1);
  const answer = Promise.withResolvers<unknown>();
  scene.ask = () => answer.promise;
  let beats = 0;
  scene.renewLease = () =>
    ++beats === 2 ? Promise.reject(new Error("blip")) : Promise.resolve(true);
  const running = scene.run(1);
  await scene.clock.advance(LEASE.renewSeconds * 3000 + 1);
  assert.equal(beats, 3);
  answer.resolve({ items: 0, total: 0, offerIds: [] });
  await running;
});

Deno.test("a lease that is lost ends the batch without loading it", async () => {
  const scene = new Scene(1);
  scene.ask = silent;
  scene.renewLease = () => Promise.resolve(false);
  const failing = assert.rejects(scene.run(1), { name: "BatchError", exitCode: 75 });
  await scene.clock.advance(LEASE.renewSeconds * 1000 + 1);
  await failing;
  assert(!scene.calls.includes("load b"));
  assert.deepEqual(scene.ended, []);
});

Deno.test("another worker's batch is waited for one lease, then it is said who holds it", async () => {
  const scene = new Scene(1);
  const held = { heldBy: "other:7", startedAt: new Date(0), leaseEndsInSeconds: 5 };
  scene.openBatch = () => held;
  const failing = assert.rejects(scene.run(), {
    name: "BatchError",
    message: "a batch is running since 1970-01-01T00:00:00.000Z, held by other:7",
  });
  await scene.clock.advance(60_000);
  await failing;
});

Deno.test("the batch of a worker that died is loaded first", async () => {
  const scene = new Scene(0);
  scene.abandoned = ["dead"];
  await scene.run();
  assert.deepEqual(scene.calls.filter((call) => call.startsWith("load ")), ["load dead", "load b"]);
});
