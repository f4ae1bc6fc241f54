/** The port of the worker, spoken to by everybody but a browser. */
import { systemClock } from "../../src/extract/clock.ts";
import { serveHttp } from "../../src/serve/http_server.ts";
import { openPage } from "../../src/serve/page_routes.ts";
import { Dice } from "../support/random.ts";
import { urlAs } from "../support/database.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";
import { type Finding, shrink } from "./shrink.ts";
import { type FuzzOptions, type FuzzReport, Tally } from "./target.ts";
import { oddText } from "./texts.ts";

const AT_ONCE = 20;
const SLOWEST_MILLISECONDS = 15_000;
const PATHS = [
  "/",
  "/page.js",
  "/events",
  "/api/overview",
  "/api/coverage",
  "/api/markets",
  "/api/access",
  "/api/market",
  "/nothing",
] as const;
const METHODS = [
  "GET",
  "GET",
  "GET",
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "CONNECT",
  "PATCH",
  "get",
  "",
  "G\0T",
  "X".repeat(300),
] as const;

/** What one client sends, in pieces; then it waits, hangs up, or closes its half. */
interface Talk {
  readonly pieces: readonly Uint8Array<ArrayBuffer>[];
  readonly end: "wait" | "drop" | "half";
  /** What must not come back unescaped in a page. */
  readonly planted: string;
}

export async function fuzzWeb({ cases, seed, say }: FuzzOptions): Promise<FuzzReport> {
  const dice = new Dice(seed);
  const findings = new Map<string, Finding>();
  const seen = new Tally();
  await using sql = await SqlFixture.create();
  await sql.loadBatch(new Date(Date.now() - 300_000).toISOString(), {
    "VES/USDT BUY": [offer({ price: "10" }), offer({ price: "11" })],
    "VES/USDT SELL": [offer({ price: "9" })],
  });
  const over = new AbortController();
  const page = openPage({
    databaseUrl: urlAs("worker", sql.url),
    intervalMinutes: 10,
    signal: over.signal,
  });
  const server = serveHttp({
    host: "127.0.0.1",
    port: 0,
    routes: page.routes,
    signal: over.signal,
    clock: systemClock,
  });
  const port = Number(new URL(server.url ?? "http://127.0.0.1:1").port);
  const filesBefore = await openFiles();
  for (let done = 0; done < cases; done += AT_ONCE) {
    const talks = Array.from({ length: AT_ONCE }, () => makeTalk(dice));
    await Promise.all(talks.map(async (talk) => {
      const what = await broken(port, talk, seen);
      if (what === undefined || findings.has(what)) return;
      findings.set(what, { what, detail: "", input: "" });
      say(`${what}; looking for the smallest input`);
      const pieces = talk.pieces.flatMap((piece) => [...piece]);
      const small = pieces.length > 3000 ? talk.pieces : [
        new Uint8Array(
          await shrink(
            pieces,
            async (some) =>
              await broken(port, { ...talk, pieces: [new Uint8Array(some)] }) === what,
            40,
          ),
        ),
      ];
      findings.set(what, {
        what,
        detail: `then ${talk.end}`,
        input: small.map((piece) => new TextDecoder().decode(piece)).join(""),
      });
    }));
    if (!await isWell(port)) {
      const input = talks.map(({ pieces }) =>
        pieces.map((piece) => new TextDecoder().decode(piece)).join("")
      ).join("\n----\n");
      findings.set("the page is gone", { what: "the page is gone", detail: "", input });
      break;
    }
  }
  // Streams that were dropped are given back.
  let filesAfter = await openFiles();
  for (let i = 0; i < 50 && filesAfter > filesBefore + 10; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    filesAfter = await openFiles();
  }
  if (filesAfter > filesBefore + 10) {
    findings.set("leak", {
      what: "connections stay open",
      detail: `${filesBefore} → ${filesAfter}`,
      input: "",
    });
  }
  const connections = Number(
    await sql.value("select count(*) from pg_stat_activity where datname = current_database()"),
  );
  seen.add("connections to the database at the end", connections);
  await page[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  over.abort();
  return { cases, findings: [...findings.values()], seen: seen.counts };
}

async function openFiles(): Promise<number> {
  let count = 0;
  for await (const _ of Deno.readDir("/proc/self/fd")) count++;
  return count;
}

async function isWell(port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/api/overview`, {
    signal: AbortSignal.timeout(10_000),
  }).catch(() => undefined);
  await response?.body?.cancel();
  return response?.status === 200;
}

function makeTalk(dice: Dice): Talk {
  const planted = `<script>p${Math.floor(dice.next() * 1e9)}</script>`;
  const requests = Array.from(
    { length: dice.next() < 0.15 ? Math.floor(dice.between(2, 12)) : 1 },
    () => requestText(dice, planted),
  );
  let bytes = new TextEncoder().encode(requests.join("")) as Uint8Array<ArrayBuffer>;
  if (dice.next() < 0.15) {
    bytes = bytes.map((byte) => dice.next() < 0.02 ? Math.floor(dice.next() * 256) : byte);
  }
  if (dice.next() < 0.1) bytes = bytes.slice(0, Math.floor(dice.next() * bytes.length));
  const pieces = dice.next() < 0.1
    ? Array.from(
      { length: 8 },
      (_, i) => bytes.slice(bytes.length * i >> 3, bytes.length * (i + 1) >> 3),
    )
    : [bytes];
  return { pieces, end: dice.pick(["wait", "wait", "wait", "drop", "half"]), planted };
}

function requestText(dice: Dice, planted: string): string {
  const method = dice.pick([...METHODS]);
  const odd = (): string => dice.next() < 0.3 ? planted : oddText(dice).slice(0, 5000);
  const encoded = (text: string): string =>
    dice.next() < 0.8 ? encodeURIComponent(text.toWellFormed()) : text;
  let path: string = dice.pick([...PATHS]);
  if (dice.next() < 0.45) path = "/api/market";
  if (path === "/api/market") {
    const values: [string, string][] = [
      ["exchange", "binance"],
      ["fiat", "VES"],
      ["asset", "USDT"],
      ["range", dice.pick(["24h", "7d", "30d", "1y"])],
    ];
    for (const value of values) if (dice.next() < 0.3) value[1] = odd();
    if (dice.next() < 0.1) values.push([dice.pick(["fiat", "x", "__proto__"]), odd()]);
    if (dice.next() < 0.1) values.pop();
    path += `?${values.map(([name, value]) => `${name}=${encoded(value)}`).join("&")}`;
  } else if (dice.next() < 0.2) {
    path += `?${encoded(odd())}=${encoded(odd())}`;
  } else if (dice.next() > 0.8) {
    path = dice.pick([
      `/${encoded(odd())}`,
      "/../../etc/passwd",
      "//etc/passwd",
      "*",
      "http://evil.invalid/",
      "",
      "/%",
      "/%00",
      "/\u00e9",
    ]);
  }
  const headers: string[] = [];
  if (dice.next() < 0.9) headers.push(`Host: ${dice.next() < 0.8 ? "127.0.0.1" : odd()}`);
  if (dice.next() < 0.2) headers.push(`Origin: ${odd()}`);
  if (dice.next() < 0.2) {
    headers.push(
      `If-None-Match: ${odd()}`,
      `Accept-Encoding: ${dice.pick(["gzip", "br, *;q=0", odd()])}`,
    );
  }
  if (dice.next() < 0.1) headers.push(`${odd()}: ${odd()}`);
  if (dice.next() < 0.05) {
    headers.push(`X-Long: ${"y".repeat(Math.floor(10 ** dice.between(2, 5.5)))}`);
  }
  if (dice.next() < 0.05) headers.push(...Array.from({ length: 300 }, (_, i) => `X-${i}: ${i}`));
  if (dice.next() < 0.1) {
    headers.push(
      dice.pick([
        "Content-Length: 5",
        "Content-Length: -1",
        "Content-Length: 99999999999",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Upgrade: websocket\r\nConnection: Upgrade",
      ]),
    );
  }
  if (dice.next() < 0.3) headers.push("Connection: close");
  const version = dice.pick([
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "HTTP/9",
    "",
  ]);
  return `${method} ${path} ${version}\r\n${headers.join("\r\n")}\r\n\r\n${
    dice.next() < 0.05 ? odd() : ""
  }`;
}

async function broken(port: number, talk: Talk, seen?: Tally): Promise<string | undefined> {
  const answer = await converse(port, talk);
  const statuses = [...answer.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map(([, status]) =>
    Number(status)
  );
  for (const status of statuses) {
    seen?.add(`status ${status}`);
    if (status >= 500 && status !== 503 && status !== 505) return `status ${status}`;
  }
  if (statuses.length === 0) seen?.add("no answer");
  if (/text\/html/i.test(answer) && answer.includes(talk.planted)) {
    return "input comes back as HTML";
  }
  if (
    /syntax error at|SQLSTATE|PL\/pgSQL|relation "|p2p\.[a-z_]+\(/.test(
      answer.replaceAll(/<!DOCTYPE html>[^]*/gi, ""),
    )
  ) return "SQL is told";
  return /\bat (async )?\S+ \(?(file|ext):/.test(answer) ? "a stack is told" : undefined;
}

/** What is answered within a moment: who waits longer is told nothing more. */
async function converse(port: number, { pieces, end }: Talk): Promise<string> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  let text = "";
  try {
    for (const piece of pieces) {
      for (let rest = piece; rest.length > 0;) rest = rest.subarray(await connection.write(rest));
    }
    if (end === "drop") return "";
    if (end === "half") await connection.closeWrite();
    const buffer = new Uint8Array(65_536);
    const over = performance.now() + SLOWEST_MILLISECONDS;
    while (performance.now() < over && text.length < 1e6) {
      const quiet = Promise.withResolvers<null>();
      const timer = setTimeout(() => quiet.resolve(null), text === "" ? 1500 : 60);
      const count = await Promise.race([connection.read(buffer), quiet.promise]);
      clearTimeout(timer);
      if (count === null) break;
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
  } catch {
    // reset by the server: as good as an answer
  } finally {
    try {
      connection.close();
    } catch {
      // it was
    }
  }
  return text;
}
