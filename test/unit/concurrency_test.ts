import assert from "node:assert/strict";
import { mapConcurrently } from "../../src/extract/concurrency.ts";
import { settle } from "../support/fake_clock.ts";

/** Maps with calls that end only when told, and counts those under way. */
function held() {
  const release = new Map<number, PromiseWithResolvers<string>>();
  const map = (item: number) => {
    const call = Promise.withResolvers<string>();
    release.set(item, call);
    return call.promise;
  };
  const end = (item: number) => {
    release.get(item)?.resolve(`r${item}`);
    release.delete(item);
    return settle();
  };
  return { release, map, end };
}

Deno.test("results stand in the order of the items, whatever ends first", async () => {
  const { map, end } = held();
  const results = mapConcurrently([1, 2, 3], 3, map);
  for (const item of [3, 1, 2]) await end(item);
  assert.deepEqual(await results, ["r1", "r2", "r3"]);
});

Deno.test("no more calls than the limit are under way; the next begins when one ends", async () => {
  const { release, map, end } = held();
  const results = mapConcurrently([1, 2, 3, 4, 5], 2, map);
  assert.deepEqual([...release.keys()], [1, 2]);
  await end(2);
  assert.deepEqual([...release.keys()], [1, 3]);
  for (const item of [1, 3, 4, 5]) await end(item);
  assert.equal((await results).length, 5);
});

Deno.test("no items: no calls", async () => {
  assert.deepEqual(await mapConcurrently([], 5, () => Promise.reject(new Error())), []);
});

Deno.test("a limit beyond the items is no more than them", async () => {
  let calls = 0;
  await mapConcurrently(["a", "b"], 100, () => Promise.resolve(++calls));
  assert.equal(calls, 2);
});

Deno.test("undefined among the items is an item", async () => {
  const mapped = await mapConcurrently([undefined, undefined], 1, (x) => Promise.resolve([x]));
  assert.deepEqual(mapped, [[undefined], [undefined]]);
});

Deno.test("one failure is the failure of all", async () => {
  const fail = (item: number) =>
    item === 2 ? Promise.reject(new Error("two")) : Promise.resolve(item);
  await assert.rejects(mapConcurrently([1, 2, 3], 2, fail), /two/);
});
