// The status page as it is served, and as a browser shows it.
import assert from "node:assert/strict";
import type { Page as BrowserPage } from "playwright-core";
import { systemClock } from "../../src/extract/clock.ts";
import { serveHttp } from "../../src/serve/http_server.ts";
import { openPage } from "../../src/serve/page_routes.ts";
import { openChromium } from "../support/chromium.ts";
import { urlAs } from "../support/database.ts";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { eventually } from "../support/program.ts";
import { holdStatement } from "../support/sessions.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";
import { stranger } from "../support/stranger.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";
const HOSTILE = '<img src=x onerror="document.title=1">';
const MARKET = "/api/market?exchange=binance&fiat=VES&asset=USDT";

interface Served extends AsyncDisposable {
  readonly url: string;
  get(path: string, headers?: Record<string, string>, method?: string): Promise<Response>;
}

/** The page on a port of its own, with a worker's login. */
function served(databaseUrl: string): Served {
  const over = new AbortController();
  const page = openPage({ databaseUrl, intervalMinutes: 10, signal: over.signal });
  const server = serveHttp({
    host: "127.0.0.1",
    port: 0,
    routes: page.routes,
    signal: over.signal,
    clock: systemClock,
  });
  const url = server.url ?? "";
  return {
    url,
    get: (path, headers = {}, method = "GET") => fetch(url + path, { headers, method }),
    [Symbol.asyncDispose]: async () => {
      await page[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      over.abort();
    },
  };
}

/** Two batches, of which the second lacks a market. */
async function twoBatches(sql: SqlFixture): Promise<void> {
  const at = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
  await sql.loadBatch(at(15), { [BUY]: [offer({ price: "11" })], [SELL]: [offer({ price: "9" })] });
  const second = await sql.openBatch({ markets: [BUY, SELL], at: at(5) });
  await second.page(BUY, [
    offer({ price: "10", user: "s2", nick: HOSTILE, methods: ["<b>Zelle</b>"] }),
    offer({ price: "12" }),
  ]);
  await second.lose(SELL);
  await second.load();
}

/** Puts something else in the place of a function of the page. */
async function replaceAccess(sql: SqlFixture, body: string): Promise<void> {
  await sql.rows(
    `create or replace function p2p.page_access(p_hours integer) returns json language plpgsql volatile
     set search_path = p2p, pg_temp as $$ begin ${body} end $$`,
  );
}

Deno.test("routes: what is served, to whom, and what is refused", async (t) => {
  await using sql = await SqlFixture.create();
  await twoBatches(sql);
  await using page = served(urlAs("worker", sql.url));

  await t.step(
    "everything under a strict policy, with an ETag, and again only when it changed",
    async () => {
      for (const path of ["/", "/page.js", "/page.css", "/uplot.js", "/api/overview", MARKET]) {
        const answer = await page.get(path);
        assert.equal(answer.status, 200, path);
        assert.match(
          answer.headers.get("content-security-policy") ?? "",
          /^default-src 'none'; script-src 'self'/,
        );
        assert.doesNotMatch(answer.headers.get("content-security-policy") ?? "", /unsafe|\*|http/);
        assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
        assert.equal(answer.headers.get("access-control-allow-origin"), null);
        const text = await answer.text();
        assert.ok(text.length > 100, path);
        if (path === "/") {
          assert.doesNotMatch(
            text,
            /<script(?![^>]* src=)|<style| style=|https?:\/\//,
          );
        }
        const again = await page.get(path, { "if-none-match": answer.headers.get("etag") ?? "" });
        assert.equal(again.status, path === "/api/overview" ? again.status : 304, path);
        await again.body?.cancel();
        const head = await page.get(path, {}, "HEAD");
        assert.deepEqual([head.status, await head.text()], [200, ""], path);
      }
    },
  );

  await t.step("bad input gets one clear line", async () => {
    for (
      const [path, status, line] of [
        ["/api/market", 400, "exchange is missing"],
        [`${MARKET}&range=1y`, 400, "range is one of 24h, 7d, 30d"],
        [`${MARKET}&fiat=ARS`, 400, "fiat is given twice"],
        [`${MARKET}&x=1`, 400, /no such parameter/],
        [`/api/market?exchange=binance&fiat=${"x".repeat(31)}&asset=USDT`, 400, /1 to 30/],
        ["/api/market?exchange=binance&fiat=%00&asset=USDT", 400, /1 to 30/],
        ["/api/market?exchange=binance&fiat='--&asset=USDT", 404, "there is no such market"],
        ["/api/overview?x=1", 400, /no such parameter/],
        ["/events?x=1", 400, /no such parameter/],
        ["/api/markets/", 404, /./],
      ] as const
    ) {
      const answer = await page.get(path);
      const text = await answer.text();
      assert.equal(answer.status, status, path);
      assert.match(text, /^[^\n]+\n$/, path);
      if (typeof line === "string") assert.equal(text, `${line}\n`);
      else assert.match(text, line);
    }
    const post = await page.get("/api/overview", {}, "POST");
    assert.equal(post.status, 405);
    await post.body?.cancel();
  });

  await t.step("a hundred askers are one question", async () => {
    await replaceAccess(sql, "return to_json(clock_timestamp());");
    const answers = await Promise.all(Array.from({ length: 100 }, () => page.get("/api/access")));
    const bodies = await Promise.all(answers.map((answer) => answer.text()));
    assert.equal(new Set(bodies).size, 1);
    assert.match(bodies[0] ?? "", /^"20/);
  });

  await t.step("many questions for markets hold up nothing else", async () => {
    await using other = served(urlAs("worker", sql.url));
    await sql.rows("alter function p2p.page_market rename to kept");
    await sql.rows(
      `create function p2p.page_market(text, text, text, integer) returns json language sql volatile
       set search_path = p2p, pg_temp as $$ select to_json(pg_advisory_xact_lock_shared(30)::text) $$`,
    );
    // None of them is answered before this is over, however slow the machine.
    const hold = await holdStatement(sql.url, "select pg_advisory_xact_lock(30)");
    const asked = Array.from(
      { length: 30 },
      (_, n) => other.get(`/api/market?exchange=x&fiat=F${n}&asset=A`).then((one) => one.text()),
    );
    const ended = new Set<number>();
    asked.forEach((one, n) => one.then(() => ended.add(n)));
    await eventually("those beyond the limit", () => ended.size >= 6 || undefined);
    const overview = await other.get("/api/overview");
    assert.equal(overview.status, 200, await overview.text());
    assert.equal(ended.size, 6, "it did not wait for them");
    await hold.commit();
    const answers = await Promise.all(asked);
    assert.equal(answers.filter((one) => one === "too many questions at once\n").length, 6);
    await sql.rows("drop function p2p.page_market");
    await sql.rows("alter function p2p.kept rename to page_market");
  });

  await t.step("at most a hundred streams of events", async () => {
    const streams = await Promise.all(Array.from({ length: 100 }, () => page.get("/events")));
    assert.deepEqual([...new Set(streams.map(({ status }) => status))], [200]);
    const more = await page.get("/events");
    assert.deepEqual([more.status, await more.text()], [503, "too many pages are open\n"]);
    for (const stream of streams) await stream.body?.cancel();
    await eventually("a place is free again", async () => {
      const next = await page.get("/events");
      await next.body?.cancel();
      return next.status === 200 ? true : undefined;
    });
  });

  await t.step("what a function tries to write or may not read is refused", async () => {
    const replace = (body: string) => replaceAccess(sql, body);
    await replace(
      "return json_build_object('user', current_user, 'only', current_setting('transaction_read_only'));",
    );
    await using other = served(urlAs("worker", sql.url));
    assert.deepEqual(await (await other.get("/api/access")).json(), {
      user: "p2p_reader",
      only: "on",
    });
    for (
      const body of [
        "create temp table mine (a integer); return null;",
        "update p2p.ops_workers set doing = 'gone'; return null;",
        "return (select count(*) from p2p.ops_workers);",
      ]
    ) {
      await replace(body);
      await using third = served(urlAs("worker", sql.url));
      const answer = await third.get("/api/access");
      assert.equal(answer.status, 503, body);
      assert.match(await answer.text(), /^The (page may not|database refuses)/);
    }
  });

  await t.step("a function that somebody dropped is named as missing", async () => {
    await sql.rows("drop function p2p.page_access");
    await using other = served(urlAs("worker", sql.url));
    const answer = await other.get("/api/access");
    assert.equal(answer.status, 503);
    assert.match(await answer.text(), /function .* is missing: p2p-ingest migrate/);
    const rest = await other.get("/api/markets");
    assert.deepEqual([rest.status, (await rest.text())[0]], [200, "["], "the rest is there");
  });

  await t.step("who may do more, but not become a reader, gets no answer", async () => {
    await using someone = await stranger(sql.database, sql.url);
    await using other = served(someone.url);
    const answer = await other.get("/api/overview");
    assert.equal(answer.status, 503);
    assert.match(await answer.text(), /grant p2p_reader to p2p_worker/);
  });
});

Deno.test("in Chromium: it renders, follows a batch, tells of an outage, fits a phone, and trusts no text", async (t) => {
  await using browser = await openChromium();
  if (browser === undefined) return;
  await using sql = await SqlFixture.create();
  await using proxy = await HalfOpenProxy.before(urlAs("worker", sql.url));
  await using served_ = served(proxy.through(urlAs("worker", sql.url)));
  const complaints: string[] = [];
  const open = async (width: number, height: number, colorScheme: "light" | "dark") => {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme });
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(served_.url);
    return page;
  };
  const text = (page: BrowserPage, selector: string) => page.locator(selector).innerText();
  const says = (page: BrowserPage, selector: string, pattern: RegExp) =>
    page.locator(selector).filter({ hasText: pattern }).waitFor();

  const page = await open(1280, 900, "light");
  await t.step("an empty database", async () => {
    await says(page, "#headline", /No batch has been loaded yet/);
    await says(page, "#market-note", /No market is known yet/);
    assert.equal(await text(page, "#connection"), "live");
  });

  await t.step("batches come without a reload", async () => {
    await twoBatches(sql);
    await says(page, "#headline", /Quality: completeness/);
    await says(
      page,
      "#coverage-note",
      /2 batches of 2 markets: of 4 planned fetches 75\.0 % came whole; 1 market had gaps/,
    );
    await says(page, "#market-title", /USDT for VES/);
    await page.locator("#prices canvas").waitFor();
    await page.locator("#depth canvas").waitFor();
    await page.locator("#heatmap-details summary").click();
    await says(page, "#heatmap-table", /VES\/USDT SELL\s*2\s*1\s*1\s*failed/);
  });

  await t.step("a single batch is drawn within an hour", async () => {
    const seconds = await page.evaluate(`(async () => {
      const { Chart, TIMES } = await import("/charts.js");
      const options = () => ({ scales: { x: TIMES }, series: [{}, {}] });
      const chart = new Chart(document.createElement("div"), options);
      chart.set([[1_700_000_000], [1]]);
      await new Promise(requestAnimationFrame);
      return chart.plot.scales.x.max - chart.plot.scales.x.min;
    })()`);
    assert.equal(seconds, 3600);
  });

  await t.step("texts of the market stay text", async () => {
    assert.match(await text(page, "#asks"), /<img src=x onerror=/);
    assert.match(await text(page, "#asks"), /<b>Zelle<\/b>/);
    assert.equal(await page.locator("#asks img, #asks b").count(), 0);
  });

  await t.step("the progress of a batch", async () => {
    const batch = await sql.openBatch({ markets: [BUY, SELL] });
    await says(page, "#batch-facts", /Markets\s*0 of 2/);
    await batch.page(BUY, [offer({ price: "10.12345678" })]);
    await says(page, "#batch-facts", /Markets\s*1 of 2/);
    await says(page, "#batch-workers", /worker-1\s*1\s*1\s*1\s*1/);
    await batch.page(SELL, [offer({ price: "9" })]);
    await batch.load();
    await says(page, "#headline", /All well/);
    await says(page, "#batch-note", /None is running/);
    await says(page, "#coverage-note", /3 batches/);
    await says(page, "#market-facts", /Buy at\s*10\.12345678/);
  });

  await t.step("the heat map by keyboard", async () => {
    await page.locator("#heatmap-scroll").focus();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    assert.match(await text(page, "#heatmap-tooltip"), /VES\/USDT SELL\n.*failed: no page came/);
  });

  await t.step("the chosen market stands in the address", async () => {
    await page.locator("#market-form .segments label").nth(1).click();
    assert.match(page.url(), /#binance\/VES\/USDT\/7d$/);
  });

  await t.step("on a phone, dark: no sideways scrolling", async () => {
    const phone = await open(360, 740, "dark");
    await says(phone, "#headline", /All well/);
    await phone.locator("#depth canvas").waitFor();
    const [wide, room] = await phone.evaluate(
      "[document.documentElement.scrollWidth, document.documentElement.clientWidth]",
    ) as [number, number];
    assert.ok(wide <= room, `${wide} of ${room}`);
    const colours = () =>
      phone.evaluate(
        "import('/dom.js').then(({ colour }) => [getComputedStyle(document.body).backgroundColor, colour('ask')])",
      );
    assert.deepEqual(await colours(), ["rgb(17, 21, 27)", "rgb(240, 163, 90)"]);
    await phone.locator("#theme").click();
    assert.deepEqual(await colours(), ["rgb(245, 246, 248)", "rgb(180, 83, 9)"]);
    await phone.close();
  });
  await t.step("a page that gets no stream, since a hundred have one, asks instead", async () => {
    const streams = await Promise.all(Array.from({ length: 99 }, () => served_.get("/events")));
    const late = await browser.newPage();
    await late.goto(served_.url);
    await says(late, "#headline", /All well/);
    await says(late, "#coverage-note", /3 batches/);
    assert.equal(await text(late, "#connection"), "live");
    assert.ok(await late.locator("#banner").isHidden());
    await late.close();
    for (const stream of streams) await stream.body?.cancel();
  });
  assert.deepEqual(complaints, [], "no error and no violation of the policy so far");

  await t.step("an outage of the database, and its end", async () => {
    proxy.refuse();
    await says(
      page,
      "#banner",
      /The database cannot be reached, since .* What you see is from before/,
    );
    assert.equal(await page.locator("body").getAttribute("data-stale"), "true");
    assert.match(await text(page, "#market-title"), /USDT for VES/, "what was there stays");
    proxy.pass();
    await page.locator("#banner").waitFor({ state: "hidden" });
    assert.equal(await page.locator("body").getAttribute("data-stale"), "false");
    proxy.freeze();
    await says(page, "#banner", /The database did not answer within 4 s, since/);
    proxy.pass();
    await page.locator("#banner").waitFor({ state: "hidden" });
  });

  await t.step("the worker goes away", async () => {
    await served_[Symbol.asyncDispose]();
    await says(page, "#banner", /The worker does not answer since/);
    await page.close();
  });
});
