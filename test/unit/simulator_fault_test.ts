import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { PATH } from "../../src/simulator/answers.ts";
import {
  AWKWARDNESSES,
  type Fault,
  faultByChance,
  MALFORMATIONS,
  MODEST_RATES,
  parseFaults,
  REQUEST_FAULTS,
} from "../../src/simulator/fault.ts";
import { type Simulator, startSimulator } from "../../src/simulator/server.ts";

const NOON = 1_800_000_000_000;
const BODY = JSON.stringify({ fiat: "VES", asset: "USDT", tradeType: "SELL", page: 1, rows: 20 });

/** Runs `body` against a simulator on which every request meets the fault. */
async function withFault(
  fault: Fault | undefined,
  body: (simulator: Simulator) => Promise<void>,
): Promise<void> {
  const simulator = await startSimulator({ offers: 3_000, now: () => NOON, faultFor: () => fault });
  try {
    await body(simulator);
    if (fault !== undefined) assert.ok((simulator.stats.byFault[fault.kind] ?? 0) > 0);
  } finally {
    await simulator.close();
  }
}

function ask(simulator: Simulator, signal?: AbortSignal): Promise<Response> {
  const init = signal === undefined ? {} : { signal };
  return fetch(simulator.url + PATH.search, { method: "POST", body: BODY, ...init });
}

/** What comes over a bare connection, until the other end closes it. */
async function askRaw(simulator: Simulator): Promise<string> {
  const { hostname, port } = new URL(simulator.url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const request =
    `POST ${PATH.search} HTTP/1.1\r\nhost: x\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
  await connection.write(new TextEncoder().encode(request));
  let text = "";
  const buffer = new Uint8Array(65_536);
  const decoder = new TextDecoder();
  for (;;) {
    const count = await connection.read(buffer).catch(() => null);
    if (count === null) return text;
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
  }
}

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

Deno.test("every malformed offer is one, in the text that is sent", async () => {
  for (const how of MALFORMATIONS) {
    await withFault({ kind: "malformedOffers", how }, async (simulator) => {
      const { data } = await (await ask(simulator)).json();
      assert.ok(data.length >= 20);
      for (const item of data) assert.ok(isMalformed(item), `${how}: ${JSON.stringify(item)}`);
    });
  }
});

function at(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

/** The rule of the test, not of the simulator: what nobody could store. */
function isMalformed(item: unknown): boolean {
  const adv = at(item, "adv");
  if (!at(adv, "advNo") || !at(at(item, "advertiser"), "userNo")) return true;
  const number = (key: string): number => Number(at(adv, key) ?? NaN);
  const [price, surplus] = [number("price"), number("surplusAmount")];
  const ordered = number("minSingleTransAmount") <= number("maxSingleTransAmount");
  return !(price > 0 && price < Infinity) || !(surplus >= 0) || !ordered;
}

Deno.test("every awkward offer is good, and unlike the usual text", async () => {
  await withFault(undefined, async (simulator) => {
    const usual = simulator.market.book("VES", "USDT", "SELL").map((item) => item.text);
    for (const how of AWKWARDNESSES) {
      await withFault({ kind: "awkwardOffers", how }, async (other) => {
        const text = await (await ask(other)).text();
        const { data } = JSON.parse(text);
        for (const item of data) assert.ok(!isMalformed(item), how);
        assert.ok(!text.includes(usual[0] ?? ""), how);
        const marks: Partial<Record<typeof how, RegExp>> = {
          nicknameNul: /\\u0000/,
          nicknameSurrogate: /\\ud83d"/,
          exponents: /"price":"\d+E-\d"/,
          tinyExponent: /"surplusAmount":"1E-8"/,
          longFraction: /"price":"\d+\.\d{30}"/,
          advNoNumber: /"advNo":\d{17,20},/,
          numbersAsNumbers: /"price":[\d.]+,/,
          wrongTypes: /"payTimeLimit":"\d+"/,
          methodsMissing: /^(?!.*tradeMethods)/,
        };
        assert.match(text, marks[how] ?? /^/);
      });
    }
  });
});

Deno.test("by rate, offers are spoiled for their whole life, and book() tells which and how", async () => {
  let now = NOON;
  const faults = { malformedOffers: 0.2, awkwardOffers: 0.2 };
  const simulator = await startSimulator({ offers: 20_000, now: () => now, faults });
  try {
    const book = simulator.market.book("VES", "USDT", "SELL");
    const count = (state: string): number => book.filter((item) => item.state === state).length;
    assert.ok(Math.abs(count("malformed") / book.length - 0.2) < 0.08);
    assert.ok(Math.abs(count("awkward") / book.length - 0.16) < 0.08);
    const { data } = JSON.parse(await (await ask(simulator)).text());
    const promoted = book.some((item) => item.promoted) ? 1 : 0;
    assert.deepEqual(data.slice(promoted), book.slice(0, 20).map((item) => item.item));
    for (const { item, state, how, sent, text, promoted } of book) {
      assert.equal(isMalformed(item), state === "malformed", how);
      assert.equal(sent === undefined, state === "malformed");
      if (state === "malformed") assert.ok(!promoted);
      else assert.ok(sent && text.includes(sent.advNo) && text.includes(sent.price), how);
    }
    const names = new Map<string, string>();
    for (const { sent } of book) {
      if (sent === undefined) continue;
      assert.equal(
        names.get(sent.userNo) ?? sent.nickName,
        sent.nickName,
        "one advertiser, one name",
      );
      names.set(sent.userNo, sent.nickName);
    }
    assert.ok([...names.values()].includes("nul\0inside"));
    now += 30_000;
    const later = new Map(
      simulator.market.book("VES", "USDT", "SELL").map((item) => [item.sent?.advNo, item.how]),
    );
    for (const { sent, how } of book) {
      if (sent !== undefined && later.has(sent.advNo)) assert.equal(later.get(sent.advNo), how);
    }
  } finally {
    await simulator.close();
  }
});

Deno.test("each rate takes its share of the chances", () => {
  const chances = Array.from({ length: 1_000 }, (_, i) => (i + 0.5) / 1_000);
  const kinds = chances.map((chance) => faultByChance({ reset: 0.1, refused: 0.05 }, chance)?.kind);
  assert.equal(kinds.filter((kind) => kind === "reset").length, 100);
  assert.equal(kinds.filter((kind) => kind === "refused").length, 50);
  assert.equal(faultByChance({ malformedOffers: 1 }, 0), undefined);
});

Deno.test("by rate, the same requests fail for the same seed, and faultFor wins", async () => {
  const faults = { forbidden: 0.3, serverError: 0.2 };
  const run = async (seed: number): Promise<number[]> => {
    const faultFor = ({ number }: { number: number }): Fault | undefined =>
      number === 1 ? { kind: "tooManyRequests" } : undefined;
    const simulator = await startSimulator({
      offers: 500,
      seed,
      now: () => NOON,
      faults,
      faultFor,
    });
    try {
      const statuses: number[] = [];
      for (let i = 0; i < 100; i++) {
        const response = await ask(simulator);
        await response.body?.cancel();
        statuses.push(response.status);
      }
      return statuses;
    } finally {
      await simulator.close();
    }
  };
  const statuses = await run(1);
  assert.equal(statuses[0], 429);
  assert.ok(Math.abs(statuses.filter((status) => status === 403).length - 30) < 15);
  assert.ok(Math.abs(statuses.filter((status) => status >= 500).length - 20) < 15);
  assert.deepEqual(await run(1), statuses);
  assert.notDeepEqual(await run(2), statuses);
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

Deno.test("--faults: all, single rates, the later wins; a wrong name or rate lists what there is", () => {
  assert.deepEqual(parseFaults(""), {});
  assert.deepEqual(parseFaults("all"), MODEST_RATES);
  assert.deepEqual(parseFaults(" reset=0.02, refused=1 "), { reset: 0.02, refused: 1 });
  assert.deepEqual(parseFaults("all,timeout=0"), { ...MODEST_RATES, timeout: 0 });
  for (
    const wrong of [
      "rest=0.1",
      "reset",
      "reset=",
      "reset=2",
      "reset=-1",
      "reset=x",
      "reset=0=1",
      "toString=1",
    ]
  ) {
    assert.throws(
      () => parseFaults(wrong),
      (error) => error instanceof UsageError && (error.hint ?? "").includes("--faults reset"),
      wrong,
    );
  }
  assert.throws(
    () => parseFaults("rest=0.1"),
    (error) =>
      error instanceof UsageError &&
      Object.keys(MODEST_RATES).every((n) => error.hint?.includes(n)),
  );
});
