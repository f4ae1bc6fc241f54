// The server of metrics, health and the page, asked by real connections.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { text as bodyOf } from "node:stream/consumers";
import type { LogRecord } from "@logtape/logtape";
import { systemClock } from "../../src/extract/clock.ts";
import { type HttpServer, type Routes, serveHttp, text } from "../../src/serve/http_server.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { recordLog } from "../support/log_records.ts";
import { eventually } from "../support/program.ts";

const never = new AbortController().signal;
const ROUTES: Routes = {
  "/hello": () => text(200, "hello", { "content-type": "text/plain" }),
  "/broken": () => {
    throw new Error("oh");
  },
};

function server(host = "127.0.0.1", port = 0, clock = systemClock): HttpServer {
  return serveHttp({ host, port, routes: ROUTES, signal: never, clock });
}

/** The status that a raw request gets. */
async function statusOf(url: string | undefined, ...lines: string[]): Promise<number> {
  const socket = connect(Number(new URL(url ?? "").port), "127.0.0.1");
  socket.end([...lines, "Connection: close", "", ""].join("\r\n"));
  return Number((await bodyOf(socket)).split(" ")[1]);
}

async function logged(work: () => Promise<void>): Promise<readonly LogRecord[]> {
  await using log = await recordLog("info", "http");
  await work();
  return log.records;
}

Deno.test("paths are exact, methods are GET and HEAD, and nothing is sniffed or shared with other origins", async () => {
  await using http = server();
  const ask = async (path: string, method = "GET") => {
    const response = await fetch(`${http.url}${path}`, { method });
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.equal(response.headers.get("cross-origin-resource-policy"), "same-origin");
    assert.equal(response.headers.get("x-frame-options"), "DENY");
    assert.equal(response.headers.get("referrer-policy"), "no-referrer");
    assert.equal(response.headers.get("access-control-allow-origin"), null);
    return [response.status, await response.text()];
  };
  assert.deepEqual(await ask("/hello?and=more"), [200, "hello"]);
  assert.deepEqual(await ask("/hello", "HEAD"), [200, ""]);
  assert.equal((await ask("/hello/"))[0], 404);
  assert.equal((await ask("/toString"))[0], 404);
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
    assert.equal((await ask("/hello", method))[0], 405);
  }
  const [status, body] = await ask("/broken");
  assert.equal(status, 500);
  assert.ok(!String(body).includes("oh"));
});

Deno.test("a host name that is not this machine's is refused: a web page may have been told that it leads here", async () => {
  await using http = server();
  const asks = (host: string) => statusOf(http.url, "GET /hello HTTP/1.1", `Host: ${host}`);
  const good = [
    "127.0.0.1",
    "localhost:9090",
    "LOCALHOST",
    "[::1]:80",
    "10.0.0.1",
    Deno.hostname(),
  ];
  for (const host of good) assert.equal(await asks(host), 200, host);
  for (const host of ["evil.example", "localhost.evil.example:80", "1.2.3.4.evil.example"]) {
    assert.equal(await asks(host), 421, host);
  }
  assert.equal(await statusOf(http.url, "GET /hello HTTP/1.0"), 200, "no browser");
});

Deno.test("who asks for nonsense, or makes an error again and again, fills no log", async () => {
  const records = await logged(async () => {
    const clock = new FakeClock();
    await using http = server("127.0.0.1", 0, clock);
    for (const target of ["http://[", "http://localhost:99999/hello"]) {
      assert.equal(await statusOf(http.url, `GET ${target} HTTP/1.1`, "Host: localhost"), 400);
    }
    const broken = () => statusOf(http.url, "GET /broken HTTP/1.1", "Host: localhost");
    for (let asked = 0; asked < 3; asked++) assert.equal(await broken(), 500);
    await clock.advance(60_000);
    assert.equal(await broken(), 500);
  });
  assert.deepEqual(records.map(({ level }) => level), ["info", "error", "error"]);
});

Deno.test("a port that is taken is told once, and had when it is free", async () => {
  const records = await logged(async () => {
    const clock = new FakeClock();
    const first = server();
    await using second = server("127.0.0.1", Number(new URL(first.url ?? "").port), clock);
    assert.equal(second.url, undefined);
    await clock.advance(10_000);
    assert.equal(second.url, undefined);
    const { url } = first;
    await first[Symbol.asyncDispose]();
    await clock.advance(9_000);
    assert.equal(second.url, undefined);
    await clock.advance(1_000);
    await settle();
    assert.equal(second.url, url);
    assert.equal(await (await fetch(`${url}/hello`)).text(), "hello");
  });
  assert.deepEqual(records.map(({ level }) => level), ["info", "error", "info"]);
  assert.match(records[1]?.message.join("") ?? "", /PROMETHEUS_PORT=\d+, .*tried again every 10 s/);
});

Deno.test("an address that this machine does not have is no reason not to work", async () => {
  const records = await logged(async () => {
    await using http = server("192.0.2.1");
    assert.equal(http.url, undefined);
  });
  assert.deepEqual(records.map(({ level }) => level), ["error"]);
});

Deno.test("it ends with its signal, answers under way included", async () => {
  const stop = new AbortController();
  const stream = (): Response => new Response(new ReadableStream());
  await using http = serveHttp({
    host: "127.0.0.1",
    port: 0,
    routes: { "/": stream },
    signal: stop.signal,
    clock: systemClock,
  });
  const response = await fetch(`${http.url}/`);
  stop.abort();
  await assert.rejects(response.text());
});

Deno.test("more connections than files may be open end neither the process nor, for long, the server", async () => {
  const server = new Deno.Command("sh", {
    args: [
      "-c",
      'ulimit -n 64; exec "$0" run -A test/support/http_with_few_files.ts',
      Deno.execPath(),
    ],
    stdout: "piped",
    stderr: "inherit", // its last words
  }).spawn();
  let isAlive = true;
  const ended = server.status.then(() => isAlive = false);
  const reader = server.stdout.getReader();
  const port = Number(new TextDecoder().decode((await reader.read()).value));
  const sockets = Array.from({ length: 100 }, () => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("GET /hello HTTP/1.1\r\nHost: lo"); // and no more
    return socket;
  });
  try {
    await eventually("all were dropped, and it answers again", async () => {
      assert.ok(isAlive, "it ended");
      const isDropped = sockets.every(({ destroyed, closed }) => destroyed || closed);
      const answer = await fetch(`http://127.0.0.1:${port}/hello`).then(
        (one) => one.text(),
        () => "",
      );
      return isDropped && answer === "hello" ? true : undefined;
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    if (isAlive) server.kill("SIGKILL");
    await ended;
    await reader.cancel();
  }
});
