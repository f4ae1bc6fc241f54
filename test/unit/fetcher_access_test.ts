// What the fetcher makes of an exchange that refuses or fails, against a real server: rate, breaker, retry budget.
import assert from "node:assert/strict";
import { ExchangeClosed, type RememberedAccess } from "../../src/extract/access.ts";
import { AnswerError } from "../../src/exchange/answer.ts";
import { RequestFailure } from "../../src/extract/failure.ts";
import { Fetcher, type Received } from "../../src/extract/fetcher.ts";
import { Metrics } from "../../src/serve/metrics.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { serveAnswers, type TestHttpServer } from "../support/faulty_server.ts";

const RATE = {
  initialPerMinute: 60_000,
  minPerMinute: 10,
  maxPerMinute: 60_000,
  burst: 100,
  backoffFactor: 0.5,
};

interface Asking {
  readonly clock: FakeClock;
  readonly fetcher: Fetcher;
  /** @param what tells requests apart */
  ask(what?: unknown, signal?: AbortSignal): Promise<Received<unknown>>;
}

/** `{"code": 1}` is an answer that refuses. */
function read(document: unknown): unknown {
  if (JSON.stringify(document) === '{"code":1}') throw new AnswerError("refused", "code 1");
  return document;
}

function asking(
  { url }: TestHttpServer,
  { maxRetries = 0, skips = true, rate = RATE, remembered }: {
    maxRetries?: number;
    skips?: boolean;
    rate?: typeof RATE;
    remembered?: RememberedAccess;
  } = {},
): Asking {
  const clock = new FakeClock({ skips });
  const options = {
    exchange: "test",
    rate,
    metrics: new Metrics(),
    clock,
    timeoutSeconds: 10,
    maxRetries,
    remembered,
  };
  const fetcher = new Fetcher(options);
  return {
    clock,
    fetcher,
    ask: (what = 0, signal = new AbortController().signal) =>
      fetcher.fetch({ method: "POST", url, body: { what } }, read, signal),
  };
}

const status = (code: number, headers: Record<string, string> = {}) => () =>
  new Response("", { status: code, headers });

/** How each ended: its value's attempt, or the name of what was thrown. */
async function outcomes(asked: Promise<Received<unknown>>[]): Promise<string[]> {
  const settled = await Promise.allSettled(asked);
  return settled.map((one) =>
    one.status === "fulfilled" ? `${one.value.attempt}` : one.reason.name
  );
}

Deno.test("an exchange that only fails gets ten attempts, and then nothing", async () => {
  await using server = serveAnswers(status(500));
  const { ask, fetcher } = asking(server);
  for (let i = 0; i < 9; i++) await assert.rejects(ask(), { name: "RequestFailure" });
  assert.equal(fetcher.state.breaker, "closed");
  await assert.rejects(ask(), ExchangeClosed);
  assert.deepEqual([fetcher.state.breaker, fetcher.state.breakerReason], [
    "open",
    "HTTP 500 Internal Server Error",
  ]);
  for (let i = 0; i < 50; i++) await assert.rejects(ask(), ExchangeClosed);
  assert.equal(server.requests.length, 10);
  assert.equal(fetcher.statistics.requests, 10);
});

Deno.test("when it opens, who waits for the rate or for a retry is sent away and sends nothing", async () => {
  await using server = serveAnswers(status(500));
  const rate = { ...RATE, initialPerMinute: 60, maxPerMinute: 60, burst: 10 };
  const { ask, clock, fetcher } = asking(server, { skips: false, maxRetries: 3, rate });
  const asked = outcomes(Array.from({ length: 30 }, () => ask()));
  while (fetcher.state.breaker === "closed") await settle(); // ten go at once, twenty wait
  await clock.advance(9_000); // and the back-off of those that failed first is over
  const ended = await asked;
  assert.deepEqual(new Set(ended), new Set(["ExchangeClosed"]));
  assert.equal(server.requests.length, 10);
});

Deno.test("one probe after the open time; when it is well, everything goes on", async () => {
  let isWell = false;
  const gate = Promise.withResolvers<void>();
  await using server = serveAnswers(async () => {
    if (!isWell) return new Response("", { status: 503 });
    await gate.promise;
    return Response.json([]);
  });
  const { ask, clock, fetcher } = asking(server, { skips: false });
  await outcomes(Array.from({ length: 10 }, () => ask()));
  isWell = true;
  const ready = fetcher.ready(new AbortController().signal);
  await clock.advance(10_000);
  await ready;
  const asked = Array.from({ length: 20 }, () => ask());
  while (server.requests.length === 10) await settle();
  await settle();
  assert.equal(server.requests.length, 11, "the others wait for the probe");
  assert.equal(fetcher.state.breaker, "half_open");
  gate.resolve();
  await clock.advance(1000);
  const ended = await outcomes(asked);
  assert.deepEqual(new Set(ended), new Set(["1"]));
  assert.equal(fetcher.state.breaker, "closed");
});

Deno.test("a probe that is aborted decides nothing", async () => {
  const arrived = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  await using server = serveAnswers(async (_, count) => {
    if (count < 10) return new Response("", { status: 500 });
    arrived.resolve();
    if (count === 10) await gate.promise;
    return Response.json([]);
  });
  const { ask, clock, fetcher } = asking(server);
  await outcomes(Array.from({ length: 10 }, () => ask()));
  await clock.sleep(10_000);
  const before = new AbortController();
  const unsent = ask(0, before.signal);
  before.abort(new Error("stopped"));
  await assert.rejects(unsent, /stopped/);
  const stop = new AbortController();
  const probe = ask(0, stop.signal);
  await arrived.promise;
  stop.abort(new Error("stopped"));
  await assert.rejects(probe, /stopped/);
  assert.equal(fetcher.state.breaker, "open");
  assert.equal((await ask()).attempt, 1, "the next one probes at once");
  assert.equal(fetcher.state.breaker, "closed");
  gate.resolve();
});

Deno.test("what a failed probe asked for is not handed back: it may be why it failed", async () => {
  await using server = serveAnswers((_, count) =>
    new Response("", { status: count < 11 ? 500 : 429 })
  );
  const { ask, clock, fetcher } = asking(server);
  await outcomes(Array.from({ length: 10 }, () => ask()));
  await clock.sleep(10_000);
  await assert.rejects(ask(), { name: "RequestFailure", kind: "server_error", attempts: 1 });
  assert.equal(fetcher.state.breaker, "open");
  await clock.sleep(20_000);
  await assert.rejects(ask(), { name: "ExchangeClosed", retryInSeconds: 40 });
  assert.equal(server.requests.length, 12);
});

Deno.test("after a good probe requests go out one by one", async () => {
  await using server = serveAnswers((_, count) =>
    count < 10 ? new Response("", { status: 500 }) : Response.json([])
  );
  const rate = { ...RATE, initialPerMinute: 60, maxPerMinute: 60, burst: 10 };
  const { ask, clock } = asking(server, { rate });
  await outcomes(Array.from({ length: 10 }, () => ask()));
  await clock.sleep(60_000);
  await ask();
  await ask();
  const began = clock.now();
  await ask();
  assert(clock.now() - began >= 999, "not out of the burst");
});

Deno.test("HTTP 200 with an error code is a failure of the exchange when it says so to every market", async () => {
  await using server = serveAnswers(() => Response.json({ code: 1 }));
  const { ask, fetcher } = asking(server);
  for (let market = 0; market < 10; market++) {
    await assert.rejects(ask(market), { name: "RequestFailure", kind: "refused" });
  }
  assert.equal(fetcher.state.breaker, "open");
  assert.equal(fetcher.state.breakerReason, "code 1");
});

Deno.test("one market that is always refused never opens it", async () => {
  await using server = serveAnswers(() => Response.json({ code: 1 }));
  const { ask, fetcher } = asking(server, { maxRetries: 3 });
  for (let i = 0; i < 30; i++) await assert.rejects(ask("illegal"), { kind: "refused" });
  assert.equal(fetcher.state.breaker, "closed");
});

Deno.test("nor does it in turn with one that is answered", async () => {
  await using server = serveAnswers((_, count) =>
    Response.json(server.requests[count]?.includes("good") ? [] : { code: 1 })
  );
  const { ask, fetcher } = asking(server, { maxRetries: 1 });
  for (let i = 0; i < 30; i++) {
    await assert.rejects(ask("illegal"), { kind: "refused" });
    await ask("good");
  }
  assert.equal(fetcher.state.breaker, "closed");
});

Deno.test("a request that was answered in between counts again when it is refused", async () => {
  await using server = serveAnswers((_, count) =>
    Response.json(count % 2 === 1 ? [] : { code: 1 })
  );
  const { ask, fetcher } = asking(server);
  for (let i = 0; i < 21; i++) await outcomes([ask("flips")]);
  assert.equal(fetcher.state.breaker, "open");
});

Deno.test("a volley of 429 is one failure and one cut, and loses nothing that retries can get", async () => {
  const volley = 20;
  await using server = serveAnswers((_, count) =>
    count < volley ? new Response("", { status: 429 }) : Response.json([])
  );
  const { ask, clock, fetcher } = asking(server, { maxRetries: 1, skips: false });
  const asked = outcomes(Array.from({ length: volley }, () => ask()));
  while (fetcher.state.refused < volley) await settle();
  assert.equal(fetcher.state.ratePerMinute, RATE.initialPerMinute / 2);
  assert.equal(fetcher.state.pausedSeconds, 1);
  assert.equal(fetcher.state.breaker, "closed");
  await clock.advance(5000);
  assert.deepEqual(new Set(await asked), new Set(["2"]));
});

Deno.test("429 whatever is sent: the pauses come first, and then the breaker", async () => {
  await using server = serveAnswers(status(429));
  const { ask, clock, fetcher } = asking(server);
  const began = clock.now();
  const ended: string[] = [];
  for (let i = 0; i < 12; i++) ended.push(...await outcomes([ask()]));
  assert.equal(ended.indexOf("ExchangeClosed"), 9);
  assert.equal(server.requests.length, 10);
  assert.equal(fetcher.state.breaker, "open");
  assert(clock.now() - began > 60_000, "ten refusals took a minute and more");
});

Deno.test("a long Retry-After sends everybody away until it is over, over a restart as well", async () => {
  await using server = serveAnswers((_, count) =>
    count === 0 ? status(429, { "retry-after": "1800" })() : Response.json([])
  );
  const rate = { ...RATE, initialPerMinute: 60, burst: 1 };
  const { ask, clock, fetcher } = asking(server, { skips: false, rate });
  const asked = outcomes([ask(), ask(), ask()]);
  assert.deepEqual(await asked, ["RequestFailure", "ExchangeClosed", "ExchangeClosed"]);
  await assert.rejects(ask(), ExchangeClosed);
  assert.equal(fetcher.state.pausedSeconds, 1800);
  assert.equal(fetcher.state.breaker, "closed");

  const memory: unknown = JSON.parse(JSON.stringify(fetcher.state.breakerMemory));
  const remembered = { ...fetcher.state, breakerMemory: memory, secondsAgo: 300 };
  const next = asking(server, { remembered, rate });
  assert.equal(next.fetcher.state.pausedSeconds, 1500);
  await assert.rejects(next.ask(), ExchangeClosed);

  const ready = fetcher.ready(new AbortController().signal);
  await clock.advance(1_799_000);
  assert.equal(server.requests.length, 1);
  await clock.advance(1000);
  await ready;
  const last = ask();
  await clock.advance(2000); // 30 a minute by now
  assert.equal((await last).attempt, 1);
});

Deno.test("a long pause of a 503 holds for the process as well", async () => {
  await using server = serveAnswers(status(503, { "retry-after": "40" }));
  const { ask, fetcher } = asking(server);
  await assert.rejects(ask(), { kind: "server_error" });
  assert.equal(fetcher.state.pausedSeconds, 40);
  assert.equal(fetcher.state.ratePerMinute, RATE.initialPerMinute, "its load is not ours to judge");
});

Deno.test("widespread failure: retries stop adding load, and attempts are told truthfully", async () => {
  await using server = serveAnswers((_, count) =>
    count % 3 === 0 ? new Response("", { status: 500 }) : Response.json([])
  );
  const { ask, fetcher } = asking(server, { maxRetries: 3 });
  const attempts: number[] = [];
  for (let i = 0; i < 300; i++) {
    await ask().catch((error) => {
      assert(error instanceof RequestFailure);
      attempts.push(error.attempts);
    });
  }
  const { requests, retries } = fetcher.statistics;
  assert.equal(fetcher.state.breaker, "closed");
  assert(retries <= 10 + 300 * 0.2 + 1, `${retries} retries`);
  assert(retries >= 300 * 0.2, `${retries} retries`);
  assert.equal(requests, 300 + retries);
  assert.equal(server.requests.length, requests);
  assert(attempts.length > 20 && attempts.every((count) => count === 1), `${attempts}`);
});

Deno.test("the rate comes back from what was remembered, and the breaker as it was", async () => {
  await using server = serveAnswers(status(500));
  const before = asking(server);
  await outcomes(Array.from({ length: 10 }, () => before.ask()));
  const { fetcher, clock, ask } = asking(server, {
    remembered: {
      ...before.fetcher.state,
      ratePerMinute: 313,
      ceilingPerMinute: 330,
      secondsAgo: 4,
    },
  });
  const { ratePerMinute, ceilingPerMinute, breaker } = fetcher.state;
  assert.deepEqual([Math.round(ratePerMinute / 10), ceilingPerMinute, breaker], [31, 330, "open"]);
  await assert.rejects(ask(), ExchangeClosed);
  await clock.sleep(6000);
  await assert.rejects(ask(), { name: "RequestFailure", attempts: 1 });
  await assert.rejects(ask(), ExchangeClosed);
  assert.equal(server.requests.length, 11, "only the probe");
});
