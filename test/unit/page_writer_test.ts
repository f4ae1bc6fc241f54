import assert from "node:assert/strict";
import type { BatchStore } from "../../src/extract/batch_store.ts";
import type { LostPage, StoreOutcome } from "../../src/extract/batch_types.ts";
import { PageWriter } from "../../src/extract/page_writer.ts";
import { settle } from "../support/fake_clock.ts";

type Statement = PromiseWithResolvers<StoreOutcome[]> & { readonly pages: readonly LostPage[] };

function page(marketId: number, number: number): LostPage {
  return {
    market: {
      exchange: "test",
      marketId,
      fiat: "VES",
      asset: "USDT",
      side: "BUY",
      nextPage: 1,
      offersReported: undefined,
    },
    page: number,
    endsMarket: false,
    kind: "timeout",
    message: "",
    retries: 0,
    span: undefined,
  };
}

/** A writer over a store whose statements wait until the test ends them. */
class Scene {
  /** Statements that were begun, in order. */
  readonly begun: Statement[] = [];
  readonly reported: string[] = [];
  readonly writer: PageWriter;
  #under = 0;
  mostAtOnce = 0;

  constructor(onOutcome: (outcome: StoreOutcome) => void = () => {}) {
    const storePages = (_: string, pages: readonly LostPage[]) => {
      const statement = { ...Promise.withResolvers<StoreOutcome[]>(), pages: [...pages] };
      this.begun.push(statement);
      this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#under);
      return statement.promise.finally(() => this.#under--);
    };
    const store = { storePages } as unknown as BatchStore;
    this.writer = new PageWriter(store, "batch", ({ market, page }, outcome) => {
      this.reported.push(`${market.marketId}/${page} ${outcome}`);
      onOutcome(outcome);
    });
  }

  /** Ends every statement, also those that begin because of it. */
  async endAll(outcome: StoreOutcome = "stored"): Promise<void> {
    for (let i = 0; i < this.begun.length; i++) {
      const statement = this.begun[i];
      statement?.resolve(statement.pages.map(() => outcome));
      await settle();
    }
  }

  /** Adds pages 1 to `count` of a market, and tells which were taken. */
  fill(marketId: number, count: number): { taken: number; failed: unknown[] } {
    const state = { taken: 0, failed: [] as unknown[] };
    for (let number = 1; number <= count; number++) {
      this.writer.add(page(marketId, number)).then(
        () => state.taken++,
        (error) => state.failed.push(error),
      );
    }
    return state;
  }
}

Deno.test("pages of one turn go out together, ten a statement", async () => {
  const scene = new Scene();
  scene.fill(2, 25);
  await settle();
  await scene.endAll();
  assert.deepEqual(scene.begun.map(({ pages }) => pages.length), [10, 10, 5]);
  await scene.writer.drain();
});

Deno.test("the pages of a market are stored in their order, one statement after the other", async () => {
  const scene = new Scene();
  scene.fill(1, 30);
  scene.fill(3, 30);
  await settle();
  assert.equal(scene.begun.length, 1, "both markets use the same lane");
  await scene.endAll();
  const stored = scene.begun.flatMap(({ pages }) => pages);
  for (const market of [1, 3]) {
    assert.deepEqual(
      stored.filter((page) => page.market.marketId === market).map(({ page }) => page),
      Array.from({ length: 30 }, (_, i) => i + 1),
    );
  }
});

Deno.test("two statements at once, and no more", async () => {
  const scene = new Scene();
  for (const market of [1, 2, 3, 4, 5]) scene.fill(market, 12);
  await settle();
  await scene.endAll();
  assert.equal(scene.mostAtOnce, 2);
});

Deno.test("outcomes are told once each, in order, only when committed", async () => {
  const scene = new Scene();
  scene.fill(1, 3);
  await settle();
  assert.deepEqual(scene.reported, []);
  scene.begun[0]?.resolve(["stored", "already", "unreadable"]);
  await scene.writer.drain();
  assert.deepEqual(scene.reported, ["1/1 stored", "1/2 already", "1/3 unreadable"]);
});

Deno.test("beyond sixty waiting pages the fetchers wait", async () => {
  const scene = new Scene();
  const even = scene.fill(2, 60);
  const odd = scene.fill(1, 20);
  await settle();
  assert.equal(even.taken + odd.taken, 60);
  scene.begun[0]?.resolve(Array(10).fill("stored"));
  await settle();
  assert.equal(even.taken + odd.taken, 60, "70 wait still: no room yet");
  scene.begun[1]?.resolve(Array(10).fill("stored"));
  await settle();
  assert.equal(even.taken + odd.taken, 80, "with 60 waiting all may go on");
  await scene.endAll();
  await scene.writer.drain();
});

Deno.test("drain waits for everything, and may be called on an idle writer", async () => {
  const scene = new Scene();
  await scene.writer.drain();
  scene.fill(1, 15);
  scene.fill(2, 15);
  let drained = false;
  const draining = scene.writer.drain().then(() => drained = true);
  await settle();
  assert(!drained);
  await scene.endAll();
  await draining;
  assert.equal(scene.reported.length, 30);
  await scene.writer.drain();
});

Deno.test("a failure reaches those who wait, those who come and drain; nobody hangs", async () => {
  const scene = new Scene();
  const waiting = scene.fill(2, 80);
  await settle();
  const broken = new Error("the disk is full");
  scene.begun[0]?.reject(broken);
  await settle();
  assert.equal(waiting.taken, 60);
  assert.deepEqual(new Set(waiting.failed), new Set([broken]));
  assert.equal(waiting.failed.length, 20);
  await assert.rejects(scene.writer.add(page(1, 1)), broken);
  await assert.rejects(scene.writer.drain(), broken);
  assert.equal(scene.begun.length, 1, "nothing more is stored");
});

Deno.test("a failure of one lane lets the other finish its statement, and begins no further", async () => {
  const scene = new Scene();
  scene.fill(1, 20);
  scene.fill(2, 20);
  await settle();
  const broken = new Error("lane 1");
  scene.begun[0]?.reject(broken);
  await settle();
  let ended = false;
  const draining = assert.rejects(scene.writer.drain(), broken).then(() => ended = true);
  await settle();
  assert(!ended, "a statement is still under way");
  scene.begun[1]?.resolve(Array(10).fill("stored"));
  await draining;
  assert.equal(scene.begun.length, 2);
  assert.equal(scene.reported.length, 10);
});

Deno.test("the first failure is the one that is told", async () => {
  const scene = new Scene();
  scene.fill(1, 1);
  scene.fill(2, 1);
  await settle();
  scene.begun[0]?.reject(new Error("first"));
  scene.begun[1]?.reject(new Error("second"));
  await assert.rejects(scene.writer.drain(), /first/);
});

Deno.test("a market that went to another worker is dropped, the others go on", async () => {
  const scene = new Scene();
  scene.fill(1, 2);
  scene.fill(3, 2);
  await settle();
  scene.begun[0]?.resolve(["stored", "not_ours", "stored", "stored"]);
  await scene.writer.drain();
  assert.deepEqual(scene.reported, ["1/1 stored", "3/1 stored", "3/2 stored"]);
  assert.equal(await scene.writer.add(page(1, 3)), false, "it is told when it comes again");
  assert.equal(scene.begun.length, 1);
  const again = scene.writer.add(page(3, 3));
  await settle();
  await scene.endAll();
  assert.equal(await again, true);

  scene.writer.begin(1); // claimed once more
  const claimed = scene.writer.add(page(1, 4));
  await scene.endAll();
  assert.equal(await claimed, true);
  await scene.endAll();
});

Deno.test("an answer with too few outcomes is a page that is not ours", async () => {
  const scene = new Scene();
  scene.fill(1, 2);
  await settle();
  scene.begun[0]?.resolve(["stored"]);
  await scene.writer.drain();
  assert.deepEqual(scene.reported, ["1/1 stored"]);
  assert.equal(await scene.writer.add(page(1, 3)), false);
});

Deno.test("a listener that fails does not hang the writer", async () => {
  const scene = new Scene(() => {
    throw new Error("listener");
  });
  scene.fill(1, 1);
  await settle();
  await scene.endAll();
  await assert.rejects(scene.writer.drain(), /listener/);
});
