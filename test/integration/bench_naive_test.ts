// What `deno task bench naive` compares stores the same: else its ratios would say nothing.
import { deepStrictEqual, ok, rejects } from "node:assert/strict";
import { race, type Way, waysOn } from "../bench/naive/ways.ts";
import { makePages } from "../bench/naive/pages.ts";
import { adminUrl, testDatabase } from "../support/database.ts";

Deno.test("every way stores the same offers of the same pages, again as another batch, and one that does not is found", async () => {
  const pages = makePages(2_000, 3).filter(({ market }) => ["VES", "UAH"].includes(market.fiat));
  const items = pages.reduce((sum, page) => sum + page.items, 0);
  await using compared = await waysOn(adminUrl(), pages, testDatabase);
  const { seconds, stored } = await race(compared.ways, pages, 2);
  deepStrictEqual([...seconds.values()].map(({ length }) => length), [2, 2, 2, 2]);
  ok(Number(stored.offers) > 100 && Number(stored.offers) < items, "promoted ads come twice");
  ok(Number(stored.methods) >= Number(stored.offers));

  const [project, other] = compared.ways;
  ok(project !== undefined && other !== undefined);
  const forgetful: Way = { ...other, store: (all) => other.store(all.slice(1)) };
  await rejects(race([project, forgetful], pages, 1), /^Error: void: arrays/);
});
