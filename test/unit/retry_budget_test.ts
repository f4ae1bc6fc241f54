import assert from "node:assert/strict";
import { RetryBudget } from "../../src/extract/retry_budget.ts";

function spendAll(budget: RetryBudget): number {
  let spent = 0;
  while (budget.spend()) spent++;
  return spent;
}

Deno.test("a small reserve, and then one retry for five new requests", () => {
  const budget = new RetryBudget(3);
  assert.equal(spendAll(budget), 10);
  for (let i = 0; i < 26; i++) budget.earn();
  assert.equal(spendAll(budget), 5);
});

Deno.test("all retries of one request are always there at first", () => {
  assert.equal(spendAll(new RetryBudget(20)), 20);
});

Deno.test("a long time without failure does not gather retries without end", () => {
  const budget = new RetryBudget(3);
  for (let i = 0; i < 100_000; i++) budget.earn();
  assert.equal(spendAll(budget), 20);
});
