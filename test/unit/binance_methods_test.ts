import assert from "node:assert/strict";
import { binance } from "../../src/exchange/binance.ts";
import type { Ask, PaymentMethod } from "../../src/exchange/exchange.ts";

const exchange = binance({ baseUrl: "http://x", search: "/s", pairs: undefined });

async function methodsOf(
  answers: Readonly<Record<string, unknown>>,
): Promise<{ methods: readonly PaymentMethod[]; problems: (string | undefined)[] }> {
  const ask: Ask = (request, read) => {
    const { fiat } = request.body as { fiat: string };
    assert.match(request.url, /filter-conditions$/);
    return Promise.resolve().then(() => read({ code: "000000", data: answers[fiat] }));
  };
  const found = await exchange.discoverPaymentMethods(ask, Object.keys(answers), 2);
  return { methods: found.methods, problems: found.problems.map(({ fiat }) => fiat) };
}

const method = (identifier: unknown, tradeMethodName: unknown) => ({ identifier, tradeMethodName });

Deno.test("the methods of several fiats, each once", async () => {
  const { methods } = await methodsOf({
    VES: { tradeMethods: [method("Zelle", "Zelle"), method("PagoMovil", "Pago Móvil")] },
    USD: { tradeMethods: [method("Zelle", "Zelle")] },
  });
  assert.deepEqual(methods, [
    { code: "Zelle", name: "Zelle" },
    { code: "PagoMovil", name: "Pago Móvil" },
  ]);
});

Deno.test("a name is not lost to a fiat that gives none, in whatever order they come", async () => {
  for (const names of [["Zelle", null], [null, "Zelle"], ["Zelle", ""], [undefined, "Zelle"]]) {
    const [first, second] = names.map((name) => ({ tradeMethods: [method("Zelle", name)] }));
    const { methods } = await methodsOf({ VES: first, USD: second });
    assert.deepEqual(methods, [{ code: "Zelle", name: "Zelle" }]);
  }
});

Deno.test("a fiat that fails does not take the others with it", async () => {
  const { methods, problems } = await methodsOf({
    AAA: null,
    BBB: [],
    VES: { tradeMethods: [method("Zelle", "Zelle")] },
  });
  assert.equal(methods.length, 1);
  assert.deepEqual(problems.sort(), ["AAA", "BBB"]);
});

Deno.test("methods of odd forms are left out", async () => {
  const tradeMethods = [null, {}, "Zelle", method("", "x"), method(7, "x"), method("A", { n: 1 })];
  const { methods, problems } = await methodsOf({ VES: { tradeMethods }, USD: {} });
  assert.deepEqual(methods, [{ code: "A", name: undefined }]);
  assert.deepEqual(problems, []);
});
