import assert from "node:assert/strict";
import { PATH } from "../../src/simulator/answers.ts";
import { type Fault, REQUEST_FAULTS } from "../../src/simulator/fault.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { ask, askRaw, NOON, withFault } from "../support/simulator_faults.ts";

Deno.test("answers of a CDN are HTML: too many requests, forbidden, server errors, challenges", async () => {
  const cases: [Fault, number][] = [
    [{ kind: "tooManyRequests", retryAfterSeconds: 7 }, 429],
    [{ kind: "forbidden" }, 403],
    [{ kind: "serverError", status: 502 }, 502],
    [{ kind: "challenge", status: 200 }, 200],
    [{ kind: "challenge", status: 202 }, 202],
  ];
  for (const [fault, status] of cases) {
    await withFault(fault, async (simulator) => {
      const response = await ask(simulator);
      assert.equal(response.status, status);
      assert.equal(response.headers.get("content-type"), "text/html");
      assert.equal(response.headers.get("retry-after"), status === 429 ? "7" : null);
      assert.match(await response.text(), /^<!DOCTYPE html>/);
    });
  }
});

Deno.test("server errors take turns", async () => {
  await withFault({ kind: "serverError" }, async (simulator) => {
    const seen = new Set<number>();
    for (let i = 0; i < 3; i++) {
      const response = await ask(simulator);
      await response.body?.cancel();
      seen.add(response.status);
    }
    assert.deepEqual([...seen].sort(), [500, 502, 503]);
  });
});

Deno.test("a truncated answer breaks on the wire", async () => {
  for (const how of ["contentLength", "chunked", "gzip"] as const) {
    await withFault({ kind: "truncated", how }, async (simulator) => {
      const response = await ask(simulator);
      assert.equal(response.status, 200);
      await assert.rejects(response.text(), how);
    });
  }
  await withFault({ kind: "truncated", how: "contentLength" }, async (simulator) => {
    const [head = "", body = ""] = (await askRaw(simulator)).split("\r\n\r\n");
    const promised = Number(/content-length: (\d+)/i.exec(head)?.[1]);
    assert.ok(body.length > 0 && new TextEncoder().encode(body).length < promised);
  });
  await withFault({ kind: "truncated", how: "chunked" }, async (simulator) => {
    const text = await askRaw(simulator);
    assert.match(text, /transfer-encoding: chunked/i);
    assert.ok(text.includes(`"code":"000000"`) && !text.endsWith("0\r\n\r\n"));
  });
});

Deno.test("half a document can also come whole", async () => {
  for (const fault of [{ kind: "truncated", how: "json" }, { kind: "notJson" }] as const) {
    await withFault(fault, async (simulator) => {
      const text = await (await ask(simulator)).text();
      assert.throws(() => JSON.parse(text), SyntaxError);
    });
  }
});

Deno.test("a reset closes the connection without an answer", async () => {
  await withFault({ kind: "reset" }, async (simulator) => {
    await assert.rejects(ask(simulator), TypeError);
    assert.equal(await askRaw(simulator), "");
  });
});

Deno.test("a reset is noticed by clients that repeat a request on their own", async () => {
  const simulator = await startSimulator({
    offers: 500,
    now: () => NOON,
    faultFor: ({ number }) => number > 50 && number % 10 === 0 ? { kind: "reset" } : undefined,
  });
  try {
    let failures = 0;
    await Promise.all(Array.from({ length: 10 }, async (_, worker) => {
      for (let page = 1; page <= 20; page++) {
        const body = JSON.stringify({
          fiat: "VES",
          asset: "USDT",
          tradeType: "BUY",
          page,
          rows: worker + 1,
        });
        await fetch(simulator.url + PATH.search, { method: "POST", body }).then((r) => r.text())
          .catch(() => failures++);
      }
    }));
    const resets = simulator.stats.byFault.reset ?? 0;
    const repeats = simulator.stats.requests - 200;
    assert.ok(failures > 10, `${failures} failures`);
    assert.equal(
      failures,
      resets - repeats,
      "each reset that was not the first of two is an error",
    );
  } finally {
    await simulator.close();
  }
});

Deno.test("a timeout answers nothing until the client gives up", async () => {
  await withFault({ kind: "timeout" }, async (simulator) => {
    const controller = new AbortController();
    const asked = ask(simulator, controller.signal);
    while (simulator.stats.concurrent === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    controller.abort();
    await assert.rejects(asked, { name: "AbortError" });
    while (simulator.stats.concurrent > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  });
});

Deno.test("closing ends requests that would wait for ever", async () => {
  const simulator = await startSimulator({ offers: 100, faultFor: () => ({ kind: "timeout" }) });
  const asked = assert.rejects(ask(simulator), TypeError);
  while (simulator.stats.concurrent === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await simulator.close();
  await asked;
});

Deno.test("a slow answer comes in pieces, and is whole in the end", async () => {
  await withFault({ kind: "slow", overMs: 100 }, async (simulator) => {
    const response = await ask(simulator);
    let pieces = 0;
    let text = "";
    for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      pieces++;
      text += piece;
    }
    assert.ok(pieces > 3, `${pieces} pieces`);
    assert.equal(JSON.parse(text).success, true);
  });
});

Deno.test("the application refuses, or answers in another shape", async () => {
  await withFault({ kind: "refused" }, async (simulator) => {
    const response = await ask(simulator);
    assert.equal(response.status, 200);
    const answer = await response.json();
    assert.equal(answer.success, false);
    assert.notEqual(answer.code, "000000");
  });
  for (const how of ["null", "object", "string", "missing"] as const) {
    await withFault({ kind: "wrongShape", how }, async (simulator) => {
      const answer: Record<string, unknown> = await (await ask(simulator)).json();
      assert.equal(answer["code"], "000000");
      assert.ok(!Array.isArray(answer["data"]));
      assert.equal("data" in answer, how !== "missing");
    });
  }
});

Deno.test("an oversized answer goes on for as long as it is read", async () => {
  await withFault({ kind: "oversized", bytes: Infinity }, async (simulator) => {
    const response = await ask(simulator);
    let bytes = 0;
    for await (const piece of response.body ?? []) {
      bytes += piece.length;
      if (bytes > 4 * 1024 * 1024) break;
    }
    while (simulator.stats.concurrent > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  });
  await withFault({ kind: "oversized" }, async (simulator) => {
    let bytes = 0;
    for await (const piece of (await ask(simulator)).body ?? []) bytes += piece.length;
    assert.ok(bytes > 50_000_000, String(bytes));
  });
});

Deno.test("after all faults at once nothing is left open, and it answers as before", async () => {
  const cycle: (Fault | undefined)[] = REQUEST_FAULTS.filter((kind) => kind !== "timeout")
    .map((kind) =>
      kind === "slow"
        ? { kind, overMs: 20 }
        : kind === "oversized"
        ? { kind, bytes: 1e6 }
        : { kind }
    );
  let healthy = false;
  const simulator = await startSimulator({
    offers: 1_000,
    now: () => NOON,
    faultFor: ({ number }) => healthy ? undefined : cycle[number % cycle.length],
  });
  try {
    await Promise.all(Array.from({ length: 20 }, async () => {
      for (let i = 0; i < 10; i++) {
        await ask(simulator).then((r) => r.text()).catch(() => undefined);
      }
    }));
    assert.ok(simulator.stats.requests >= 200);
    while (simulator.stats.concurrent > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    healthy = true;
    assert.equal((await (await ask(simulator)).json()).success, true);
  } finally {
    await simulator.close();
  }
});
