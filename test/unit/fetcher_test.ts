// Retries, waits, connections and statistics of the fetcher, against a real server.
import assert from "node:assert/strict";
import { AnswerError } from "../../src/exchange/answer.ts";
import { Fetcher, type Received } from "../../src/extract/fetcher.ts";
import { Metrics } from "../../src/serve/metrics.ts";
import { fixedRate } from "../support/rates.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { gzip, serveAnswers, serveBytes, type TestHttpServer } from "../support/faulty_server.ts";

interface Asking {
  readonly clock: FakeClock;
  readonly fetcher: Fetcher;
  ask(read?: (document: unknown) => unknown, signal?: AbortSignal): Promise<Received<unknown>>;
}

/** A fetcher whose waits pass at once, by a fake clock; its rate limit never makes it wait. */
function asking(
  { url }: TestHttpServer,
  { maxRetries = 3, chance = (): number => 0.5 } = {},
): Asking {
  const clock = new FakeClock({ skips: true, chance });
  const rate = fixedRate(60_000, 1000);
  const fetcher = new Fetcher({
    exchange: "test",
    rate,
    metrics: new Metrics(),
    clock,
    timeoutSeconds: 10,
    maxRetries,
  });
  const request = { method: "POST", url, body: { page: 1 } } as const;
  return {
    clock,
    fetcher,
    ask: (read = (document) => document, signal = new AbortController().signal) =>
      fetcher.fetch(request, read, signal),
  };
}

const status = (code: number, headers: Record<string, string> = {}) => () =>
  new Response("", { status: code, headers });

Deno.test("an answer comes with its value, body, status and attempt", async () => {
  await using server = serveAnswers((request) => {
    assert.equal(request.method, "POST");
    assert.equal(request.headers.get("content-type"), "application/json");
    assert.match(request.headers.get("user-agent") ?? "", /^p2p-ingest\/\d/);
    return new Response(' {"a": 12345678901234567890.10}');
  });
  const { ask, fetcher } = asking(server);
  const received = await ask((document) => Object.keys(document as object));
  assert.deepEqual(received.value, ["a"]);
  assert.equal(received.body.text, ' {"a": 12345678901234567890.10}', "as received");
  assert.deepEqual([received.status, received.attempt], [200, 1]);
  assert.deepEqual(server.requests, ['{"page":1}']);
  assert.deepEqual(fetcher.statistics, {
    requests: 1,
    retries: 0,
    answers: 1,
    refused: 0,
  });
});

Deno.test("what passes is asked again until it is there", async () => {
  const bad = [status(503), status(429), () => new Response("<html>"), () => new Response("{")];
  await using server = serveAnswers((_, count) => bad[count]?.() ?? Response.json({}));
  const { ask, fetcher } = asking(server, { maxRetries: 4 });
  assert.equal((await ask()).attempt, 5);
  assert.deepEqual(fetcher.statistics, {
    requests: 5,
    retries: 4,
    answers: 5,
    refused: 2,
  });
});

const refuse = (problem: "refused" | "unexpected_shape") => () => {
  throw new AnswerError(problem, "no");
};
const limits = [
  ["server_error", status(500), undefined, 4],
  ["rate_limited", status(429), undefined, 4],
  ["forbidden", status(403), undefined, 4],
  ["challenge", () => new Response("<html>"), undefined, 4],
  ["invalid_json", () => new Response(""), undefined, 4],
  ["refused", () => Response.json({}), refuse("refused"), 2],
  ["unexpected_shape", () => Response.json({}), refuse("unexpected_shape"), 2],
  ["http_error", status(404), undefined, 1],
  ["too_large", () => new Response(new Uint8Array(9e6)), undefined, 2],
] as const;
for (const [kind, answer, read, attempts] of limits) {
  Deno.test(`${kind} is asked ${attempts} times`, async () => {
    await using server = serveAnswers(answer);
    const { ask } = asking(server);
    await assert.rejects(ask(read), { kind, attempts });
    assert.equal(server.requests.length, attempts);
  });
  Deno.test(`${kind} with MAX_RETRIES=0 is asked once, without a wait`, async () => {
    await using server = serveAnswers(answer);
    const { ask, clock } = asking(server, { maxRetries: 0 });
    await assert.rejects(ask(read), { kind, attempts: 1 });
    assert.equal(server.requests.length, 1);
    assert.deepEqual(clock.waits, []);
  });
}

Deno.test("a fault that came before does not take the one retry of an answer that is no page", async () => {
  await using server = serveAnswers((_, count) =>
    count === 0 ? new Response("", { status: 500 }) : Response.json({ count })
  );
  const read = (document: unknown): unknown => {
    if ((document as { count: number }).count === 1) refuse("unexpected_shape")();
    return document;
  };
  assert.equal((await asking(server).ask(read)).attempt, 3);
});

Deno.test("a fault of the network is asked again", async () => {
  const good = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
  await using server = serveBytes((connection) => connection < 3 ? [good.slice(0, -1)] : [good]);
  assert.equal((await asking(server).ask()).attempt, 4);
});

for (const chance of [0, 0.25, 0.999]) {
  Deno.test(`back-off doubles to 30 s, with full jitter (${chance})`, async () => {
    await using server = serveAnswers(status(500));
    const { ask, clock } = asking(server, { maxRetries: 7, chance: () => chance });
    await assert.rejects(ask());
    const ceilings = [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
    assert.deepEqual(clock.waits, ceilings.map((ceiling) => chance * ceiling));
  });
}

/** A header as it is sent: `+60` here stands for the date in so many seconds. */
function header(value: string): string {
  if (!/^[+]|^-60$/.test(value)) return value;
  return new Date(Date.now() + Number(value) * 1000).toUTCString();
}

const retryAfters: [value: string, least: number, most: number, attempts: number][] = [
  ["7", 7, 7, 2],
  [" 7 ", 7, 7, 2],
  ["0", 1, 1, 2],
  ["120", 120, 120, 2],
  ["121", 121, 121, 1],
  ["999999999", 3600, 3600, 1],
  ["+60", 50, 60, 2],
  ["+86400", 3600, 3600, 1],
  ["-60", 1, 1, 2],
  ["soon", 1, 1, 2],
  ["-5", 1, 1, 2],
  ["2.5", 2.5, 2.5, 2],
  ["99999999999999999999", 3600, 3600, 1],
  ["blocked 2099", 1, 1, 2],
  ["", 1, 1, 2],
];
for (const [value, least, most, attempts] of retryAfters) {
  Deno.test(`Retry-After: ${value} pauses everything for ${most} s`, async () => {
    await using server = serveAnswers((_, count) =>
      count === 0
        ? new Response("", { status: 429, headers: { "retry-after": header(value) } })
        : Response.json({})
    );
    const { ask, clock, fetcher } = asking(server, { maxRetries: 1, chance: () => 0 });
    const began = clock.now();
    if (attempts === 1) await assert.rejects(ask(), { kind: "rate_limited", attempts });
    else assert.equal((await ask()).attempt, attempts);
    await fetcher.ready(new AbortController().signal);
    await ask();
    const paused = (clock.now() - began) / 1000;
    assert(paused >= least && paused < most + 0.1, `${paused} s`);
  });
}

Deno.test("a Retry-After that no batch can wait for is given up at once", async () => {
  await using server = serveAnswers(status(429, { "retry-after": "3600" }));
  const { ask, clock } = asking(server);
  await assert.rejects(ask(), { kind: "rate_limited", retryAfterSeconds: 3600, attempts: 1 });
  assert.deepEqual(clock.waits, [], "no back-off before giving up");
});

Deno.test("connections are reused", async () => {
  const packed = await gzip(new TextEncoder().encode(JSON.stringify("offer".repeat(10_000))));
  await using server = serveAnswers((_, count) =>
    count % 2
      ? new Response(packed, { headers: { "content-encoding": "gzip" } })
      : Response.json({})
  );
  const { ask } = asking(server);
  for (let i = 0; i < 30; i++) await ask();
  assert.equal(server.connections.size, 1);
});

Deno.test("gzip is asked for and unpacked; bytes that are not UTF-8 are kept", async () => {
  const bytes = new Uint8Array([0x22, 0xe9, 0x22]); // "é" in Latin-1
  const packed = await gzip(bytes);
  await using server = serveAnswers((request) => {
    assert.match(request.headers.get("accept-encoding") ?? "", /gzip/);
    return new Response(packed, { headers: { "content-encoding": "gzip" } });
  });
  const { value, body } = await asking(server).ask();
  assert.equal(value, "\uFFFD");
  assert.deepEqual(body.original, bytes);
});

Deno.test("a byte order mark before the JSON does no harm", async () => {
  await using server = serveAnswers(() => new Response('\uFEFF{"a":1}'));
  assert.deepEqual((await asking(server).ask()).value, { a: 1 });
});

Deno.test("an abort ends a request that is under way, with its own reason", async () => {
  for (const answer of [[], ["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"]] as const) {
    await using server = serveBytes(() => [...answer, "stall"]);
    const stop = new AbortController();
    const asked = asking(server).ask(undefined, stop.signal);
    const isRejected = assert.rejects(asked, /enough/);
    while (server.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    setTimeout(() => stop.abort(new Error("enough")), 30); // what there is of the answer has come
    await isRejected;
    assert.equal(server.requests.length, 1, "and is not asked again");
  }
});

Deno.test("an abort ends the wait before the next try", async () => {
  await using server = serveAnswers(status(500));
  const clock = new FakeClock();
  const rate = fixedRate(60_000, 10);
  const fetcher = new Fetcher({
    exchange: "test",
    rate,
    metrics: new Metrics(),
    clock,
    timeoutSeconds: 10,
    maxRetries: 3,
  });
  const stop = new AbortController();
  const asked = fetcher.fetch({ method: "POST", url: server.url }, () => 0, stop.signal);
  while (clock.sleeping === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  stop.abort();
  await assert.rejects(asked, { name: "AbortError" });
});

Deno.test("every attempt takes a token of the rate limit", async () => {
  await using server = serveAnswers(status(500));
  const clock = new FakeClock({ skips: true, chance: () => 0 });
  const rate = fixedRate(60, 1);
  const fetcher = new Fetcher({
    exchange: "test",
    rate,
    metrics: new Metrics(),
    clock,
    timeoutSeconds: 10,
    maxRetries: 3,
  });
  const began = clock.now();
  const request = { method: "POST", url: server.url } as const;
  await assert.rejects(fetcher.fetch(request, () => 0, new AbortController().signal));
  assert.equal(clock.now() - began, 3000);
});
