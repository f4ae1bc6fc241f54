// Every way in which a request can fail, against real sockets: each becomes its FailureKind, none a bug.
import assert from "node:assert/strict";
import { AnswerError } from "../../src/exchange/answer.ts";
import type { FailureKind, RequestFailure } from "../../src/extract/failure.ts";
import { Fetcher } from "../../src/extract/fetcher.ts";
import { Metrics } from "../../src/serve/metrics.ts";
import { fixedRate } from "../support/rates.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { gzip, type RawAnswer, serveAnswers, serveBytes } from "../support/faulty_server.ts";

function fetcherWith(timeoutSeconds = 10): Fetcher {
  const clock = new FakeClock({ skips: true });
  const rate = fixedRate(600_000, 1000);
  return new Fetcher({
    exchange: "test",
    rate,
    metrics: new Metrics(),
    clock,
    timeoutSeconds,
    maxRetries: 0,
  });
}

async function failureOf(url: string, fetcher = fetcherWith()): Promise<RequestFailure> {
  const { signal } = new AbortController();
  const request = { method: "POST", url, body: {} } as const;
  try {
    await fetcher.fetch(request, (document) => document, signal);
  } catch (error) {
    assert(error instanceof Error);
    assert.equal(error.name, "RequestFailure", Deno.inspect(error));
    return error as RequestFailure;
  }
  throw new assert.AssertionError({ message: "the request did not fail" });
}

const html = { "content-type": "text/html" };
const answers: [title: string, answer: () => Response, kind: FailureKind, message: RegExp][] = [
  ["429", () => new Response("slow down", { status: 429 }), "rate_limited", /^HTTP 429 Too Many/],
  ["403", () => new Response("<html>", { status: 403, headers: html }), "forbidden", /^HTTP 403/],
  ["500", () => new Response("", { status: 500 }), "server_error", /^HTTP 500/],
  ["503", () => new Response("{}", { status: 503 }), "server_error", /^HTTP 503/],
  ["404", () => new Response("", { status: 404 }), "http_error", /^HTTP 404/],
  ["400 with JSON", () => Response.json({}, { status: 400 }), "http_error", /^HTTP 400/],
  ["HTML with 200", () => new Response("\n <!DOCTYPE html>"), "challenge", /HTTP 200 with HTML/],
  ["HTML with 202", () => new Response("<a>", { status: 202 }), "challenge", /HTTP 202 with HTML/],
  ["text as HTML", () => new Response("wait", { headers: html }), "challenge", /HTML/],
  ["an empty body", () => new Response(""), "invalid_json", /not JSON \(0 characters\)/],
  ["204", () => new Response(null, { status: 204 }), "invalid_json", /\(0 characters\)/],
  ["half a document", () => new Response('{"a":[1,'), "invalid_json", /\(8 characters\): "{\\"a/],
  ["control characters", () => new Response("\u0000\n\x1b[2J"), "invalid_json", /"\\u0000\\n/],
];
for (const [title, answer, kind, message] of answers) {
  Deno.test(`${title} is ${kind}`, async () => {
    await using server = serveAnswers(answer);
    const failure = await failureOf(server.url);
    assert.equal(failure.kind, kind);
    assert.match(failure.message, message);
    assert.doesNotMatch(failure.message, /\n/);
    assert.equal(failure.attempts, 1);
  });
}

for (const status of [301, 302, 303, 307, 308]) {
  Deno.test(`a redirect (${status}) is not followed and names its target`, async () => {
    await using other = serveAnswers(() => Response.json({ data: "of somebody else" }));
    await using server = serveAnswers(() =>
      new Response(null, { status, headers: { location: other.url } })
    );
    const failure = await failureOf(server.url);
    assert.equal(failure.kind, "http_error");
    assert.match(failure.message, new RegExp(`HTTP ${status} .*redirected to ${other.url}`));
    assert.equal(other.requests.length, 0);
  });
}

const OK = "HTTP/1.1 200 OK\r\n";
const packed = await gzip(new TextEncoder().encode(JSON.stringify("offers ".repeat(5000))));
const spoiled = packed.with(packed.length - 6, 255 - (packed.at(-6) ?? 0));
const zipped = (bytes: Uint8Array): RawAnswer => [
  `${OK}content-encoding: gzip\r\ncontent-length: ${bytes.length}\r\n\r\n`,
  bytes,
];
const faults: [title: string, answer: RawAnswer][] = [
  ["closed without a word", []],
  ["not HTTP", ["SSH-2.0-OpenSSH_9.2\r\n\r\n"]],
  ["cut within the headers", [`${OK}content-le`]],
  ["cut within the body", [`${OK}content-length: 100\r\n\r\n{"data"`]],
  ["cut between chunks", [`${OK}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n`]],
  ["a chunk that is none", [`${OK}transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n`]],
  ["a length that is none", [`${OK}content-length: many\r\n\r\n{}`]],
  ["endless headers", [`${OK}x: ${"a".repeat(900_000)}\r\n\r\n`]],
  ["gzip that is none", zipped(new TextEncoder().encode('{"data": []}'))],
  ["gzip cut short", zipped(packed.subarray(0, -10))],
  ["gzip with a wrong checksum", zipped(spoiled)],
];
for (const [title, answer] of faults) {
  Deno.test(`${title} is connection`, async () => {
    await using server = serveBytes(() => answer);
    const failure = await failureOf(server.url);
    assert.equal(failure.kind, "connection");
    assert.notEqual(failure.message, "fetch failed", "the reason is told");
    assert.doesNotMatch(failure.message, /\n/);
  });
}

Deno.test("nobody listening, an unknown host, TLS that is none: connection", async () => {
  const closed = serveBytes(() => []);
  await closed[Symbol.asyncDispose]();
  assert.match((await failureOf(closed.url)).message, /refused/i);
  assert.match((await failureOf("http://no-such-host.invalid/")).message, /lookup|resolve|dns/i);
  await using plain = serveBytes(() => ["HTTP/1.1 400 Bad Request\r\n\r\n"]);
  assert.equal((await failureOf(plain.url.replace("http:", "https:"))).kind, "connection");
});

for (
  const [title, answer] of [
    ["before the headers", ["stall"]],
    ["within the body", [`${OK}content-length: 100\r\n\r\n{"data":`, "stall"]],
  ] as [string, RawAnswer][]
) {
  Deno.test(`silence ${title} is timeout`, async () => {
    await using server = serveBytes(() => answer);
    const failure = await failureOf(server.url, fetcherWith(0.1));
    assert.equal(failure.kind, "timeout");
    assert.equal(failure.message, "no whole answer within 0.1 s");
  });
}

Deno.test("a body that drips is cut off by the time-out, however steadily it comes", async () => {
  const drip = new TextEncoder().encode(" ");
  let timer: ReturnType<typeof setInterval> | undefined;
  await using server = serveAnswers(() =>
    new Response(
      new ReadableStream({
        start: (controller) => {
          timer = setInterval(() => controller.enqueue(drip), 10);
        },
        cancel: () => clearInterval(timer),
      }),
    )
  );
  assert.equal((await failureOf(server.url, fetcherWith(0.15))).kind, "timeout");
});

Deno.test("a refusal whose body never ends is told at once", async () => {
  await using server = serveBytes(
    () => ["HTTP/1.1 503 Busy\r\ncontent-length: 9\r\n\r\nabc", "stall"],
  );
  assert.equal((await failureOf(server.url)).kind, "server_error");
});

Deno.test("a reader's AnswerError becomes its kind", async () => {
  await using server = serveAnswers(() => Response.json({}));
  for (const problem of ["refused", "unexpected_shape"] as const) {
    const read = () => {
      throw new AnswerError(problem, "the reason");
    };
    const asked = fetcherWith().fetch(
      { method: "POST", url: server.url },
      read,
      new AbortController().signal,
    );
    await assert.rejects(asked, { name: "RequestFailure", kind: problem, message: "the reason" });
  }
});

Deno.test("a bug in a reader stays a bug, and is not taken for a fault of the network", async () => {
  await using server = serveAnswers(() => Response.json({}));
  for (const bug of [new TypeError("x is not a function"), new RangeError("too deep")]) {
    const read = () => {
      throw bug;
    };
    const request = { method: "POST", url: server.url } as const;
    const asked = fetcherWith().fetch(request, read, new AbortController().signal);
    await assert.rejects(asked, bug);
  }
  assert.equal(server.requests.length, 2);
});
