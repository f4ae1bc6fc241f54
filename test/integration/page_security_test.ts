// What other web pages, and texts of the market, can do to the status page: nothing. In Chromium itself.
import assert from "node:assert/strict";
import { systemClock } from "../../src/extract/clock.ts";
import { type Routes, serveHttp, text } from "../../src/serve/http_server.ts";
import { openPage } from "../../src/serve/page_routes.ts";
import { openChromium } from "../support/chromium.ts";
import { urlAs } from "../support/database.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const REBOUND = "rebound.example";
const ELSEWHERE = "elsewhere.example";

/** Sets a mark where it is taken for more than text. */
const hostile = (where: string): string =>
  `<img src=x onerror="window.taken='${where}'"><script>window.taken='${where}'</script>`;

/** What a page of somebody else's tries with the worker's address; each answers what it could read. */
const ATTEMPTS = (worker: string): string =>
  `(async () => {
  const within = (work) => Promise.race([work, new Promise((end) => setTimeout(() => end("nothing came"), 3000))]);
  const read = (path, init) => fetch("${worker}" + path, init)
    .then((answer) => answer.text().then((text) => (text === "" ? "empty: " : "READ: ") + answer.type + text))
    .catch((error) => "refused");
  const element = (name, attributes) => new Promise((end) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.onload = () => end("LOADED");
    made.onerror = () => end("refused");
    document.body.append(made);
  });
  const results = {};
  for (const path of ["/", "/metrics", "/readyz", "/api/overview", "/page.js"]) {
    results["fetch " + path] = await read(path);
    results["fetch, credentials " + path] = await read(path, { credentials: "include" });
    results["fetch, no-cors " + path] = await read(path, { mode: "no-cors" });
  }
  results.post = await read("/api/overview", { method: "POST", mode: "no-cors", body: "x" });
  results.script = await element("script", { src: "${worker}/page.js" });
  results.json_as_script = await element("script", { src: "${worker}/api/overview" });
  results.image = await element("img", { src: "${worker}/favicon.svg" });
  results.style = await element("link", { rel: "stylesheet", href: "${worker}/page.css" });
  results.events = await within(new Promise((end) => {
    const source = new EventSource("${worker}/events");
    source.onopen = () => end("OPENED");
    source.onerror = () => { source.close(); end("refused"); };
    for (const name of ["overview", "beat"]) source.addEventListener(name, () => end("READ"));
  }));
  results.socket = await within(new Promise((end) => {
    const socket = new WebSocket("${worker}/events".replace("http", "ws"));
    socket.onopen = () => end("OPENED");
    socket.onerror = () => end("refused");
  }));
  results.frame = await within(new Promise((end) => {
    const frame = document.createElement("iframe");
    frame.src = "${worker}/";
    frame.onload = () => {
      try { end(frame.contentWindow.document.body ? "READ" : "refused"); } catch { end("refused"); }
    };
    document.body.append(frame);
  }));
  const opened = window.open("${worker}/");
  await new Promise((end) => setTimeout(end, 300));
  try { results.window = opened && opened.document && opened.document.title ? "READ" : "refused"; }
  catch { results.window = "refused"; }
  return results;
})()`;

Deno.test("the status page, beside pages of others and with texts of others", async (t) => {
  await using browser = await openChromium(
    `--host-resolver-rules=MAP ${REBOUND} 127.0.0.1, MAP ${ELSEWHERE} 127.0.0.1`,
  );
  if (browser === undefined) return;
  await using sql = await SqlFixture.create();
  await using page = openPage({
    databaseUrl: urlAs("worker", sql.url),
    intervalMinutes: 10,
    signal: new AbortController().signal,
  });
  const over = new AbortController();
  const answered: string[] = [];
  const routes: Routes = {
    ...page.routes,
    "/metrics": () => text(200, "a metric 1\n"),
    "/readyz": () => text(200, "{}"),
  };
  const watched = Object.fromEntries(
    Object.entries(routes).map(([path, handler]) => [path, (request: Request) => {
      const [site, mode] = ["site", "mode"].map((what) => request.headers.get(`sec-fetch-${what}`));
      answered.push(`${mode === "navigate" ? mode : site} ${path}`);
      return handler(request);
    }]),
  );
  const options = { host: "127.0.0.1", port: 0, signal: over.signal, clock: systemClock };
  await using server = serveHttp({ ...options, routes: watched });
  const port = new URL(server.url ?? "").port;
  await using other = Deno.serve(
    { hostname: "127.0.0.1", port: 0, signal: over.signal, onListen: () => {} },
    () => new Response("<!doctype html><body>", { headers: { "content-type": "text/html" } }),
  );

  await t.step(
    "a page on another port, by address, by localhost, of another site: reads nothing",
    async () => {
      for (const name of ["127.0.0.1", ELSEWHERE]) {
        const attacker = await browser.newPage();
        await attacker.goto(`http://${name}:${other.addr.port}/`);
        answered.length = 0;
        const results = await attacker.evaluate(ATTEMPTS(`http://127.0.0.1:${port}`)) as Record<
          string,
          string
        >;
        const taken = Object.entries(results).filter(([, result]) =>
          !/^refused|^empty: /.test(result)
        );
        assert.deepEqual(taken, [], name);
        assert.ok(Object.keys(results).length >= 22);
        // No handler ran for it: only the person's own look at the page, in a window, is answered.
        const foreign = answered.filter((one) => !/^(navigate|same-origin) /.test(one));
        assert.deepEqual(foreign, []);
        await attacker.context().close();
      }
    },
  );

  await t.step("a name that somebody made lead here: refused, whatever is asked", async () => {
    const attacker = await browser.newPage();
    for (const path of ["/", "/metrics", "/events", "/api/overview"]) {
      const answer = await attacker.goto(`http://${REBOUND}:${port}${path}`);
      assert.equal(answer?.status(), 421, path);
    }
    await attacker.context().close();
  });

  await t.step("texts of the market, of rules, workers and errors stay text", async () => {
    const market = "VES/USDT BUY";
    await sql.rows(
      `insert into p2p.quality_rules (name, function, severity, is_bad_when, warning_threshold, error_threshold, is_enabled, comment)
       select 'hostile', function, severity, is_bad_when, warning_threshold, error_threshold, true, $1 from p2p.quality_rules where name = 'completeness'`,
      hostile("rule"),
    );
    await sql.rows(
      `insert into p2p.ops_incidents (kind, subject, message, raised_by, teller) values ('batch_failed', $1, $2, 'x', 'x')`,
      "<b>subject</b>",
      hostile("message"),
    );
    const batch = await sql.openBatch({ markets: [market], worker: hostile("worker") });
    const nick = hostile("nickname");
    const methods = [hostile("method")];
    await batch.page(
      market,
      [offer({ price: "10", nick, methods, adv: { remarks: hostile("terms") } })],
      { worker: hostile("worker") },
    );
    await batch.load();
    await sql.rows(
      `update p2p.ops_batch_runs set status = 'failed', error_summary = $1
       where batch_start_time = (select max(batch_start_time) from p2p.ops_batch_runs)`,
      hostile("error"),
    );
    const viewer = await browser.newPage();
    const asked: string[] = [];
    viewer.on("request", (request) => asked.push(request.url()));
    await viewer.goto(`http://127.0.0.1:${port}/`);
    await viewer.locator("#headline").filter({ hasText: /failed/ }).waitFor();
    await viewer.locator("#asks").filter({ hasText: /nickname/ }).waitFor();
    const seen = await viewer.evaluate(
      `(() => { for (const one of document.querySelectorAll("details")) one.open = true; return document.body.innerText; })()`,
    ) as string;
    for (const where of ["nickname", "error"]) {
      assert.ok(seen.includes(hostile(where)), `${where} is not shown as it is`);
    }
    const [taken, images, scripts] = await viewer.evaluate(
      `[window.taken, document.querySelectorAll("img").length, document.querySelectorAll("script:not([src])").length]`,
    ) as [unknown, number, number];
    assert.deepEqual([taken ?? null, images, scripts], [null, 0, 0]);
    assert.deepEqual(asked.filter((url) => /\/x$/.test(url)), []);
    await viewer.context().close();
  });
  over.abort();
});
