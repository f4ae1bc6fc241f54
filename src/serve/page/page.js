// The page: what the worker tells goes to its places. Nothing here changes anything but the page.
import { axis, Chart, LINES, paths, redrawCharts, timeAxis, TIMES } from "./charts.js";
import {
  byId,
  clockTime,
  colour,
  counted,
  dayTime,
  duration,
  element,
  fillFacts,
  fillTable,
  percent,
  setText,
  short,
  whole,
  zone,
} from "./dom.js";
import { beginHeatmap, draw as drawHeatmap, showCoverage } from "./heatmap.js";
import { fetchJson, listen, now } from "./live.js";
import { beginMarket, offerMarkets, showMarket, tickMarket } from "./market.js";

const LAMPS = { ok: "✓", warn: "!", bad: "✕", none: "…" };
/** States of markets in the batch that runs, in the order of the meter. */
const STATES = [
  ["complete", "whole"],
  ["incomplete", "partly"],
  ["failed", "failed"],
  ["deferred", "deferred"],
  ["fetching", "in hand"],
  ["pending", "waiting"],
];
const MARKS = {
  ok: ["✓ ok", "ok"],
  warning: ["! warning", "warn"],
  error: ["✕ error", "bad"],
  broken: ["✕ broken", "bad"],
};
const ACCESS_EVERY_MS = 60_000;

let latest;
let outage;
let lostSince;
/** Pages stored, as they were told in the last minute: [seconds, pages]. */
let pace = [];

/* ---- state ---- */

function showState() {
  const { overview, next_due } = latest;
  const { state, problems, last_good, last_batch } = overview;
  byId("state").dataset.state = state;
  setText("lamp", LAMPS[state] ?? "");
  const [first, ...others] = problems;
  const told = ({ text, since }) =>
    since === null ? text : `${text} · since ${clockTime(since, now())}`;
  setText(
    "headline",
    first !== undefined
      ? told(first)
      : state === "none"
      ? "No batch has been loaded yet"
      : "All well",
  );
  const list = others.map(told);
  if (byId("problems").dataset.told !== list.join("\n")) {
    byId("problems").dataset.told = list.join("\n");
    byId("problems").replaceChildren(...list.map((text) => element("li", "", text)));
  }
  fillFacts("facts", [
    ["Last good batch", last_good === null ? "–" : `${duration(now() - last_good.end)} ago`],
    [
      "Next due",
      overview.is_paused ? "paused" : next_due > now() ? `in ${duration(next_due - now())}` : "now",
    ],
    ["Whole", last_batch === null ? "–" : percent(last_batch.markets, last_batch.of)],
    ["Offers", last_batch === null ? "–" : whole(last_batch.offers)],
  ]);
  showIncidents(overview.incidents);
  document.title = `${LAMPS[state] ?? ""} p2p-ingest`;
}

function showIncidents(incidents) {
  byId("incidents-details").hidden = incidents.length === 0;
  setText("incidents-title", counted(incidents.length, "open incident"));
  const told = JSON.stringify(incidents);
  if (byId("incidents").dataset.told === told) return;
  byId("incidents").dataset.told = told;
  fillTable(
    "incidents",
    [
      { title: "Since", cell: ({ since }) => dayTime(since) },
      { title: "Kind", cell: ({ kind }) => kind },
      { title: "Of", cell: ({ subject }) => subject },
      { title: "What", className: "wide", cell: ({ message }) => message },
    ],
    incidents,
    "None.",
  );
}

/* ---- the batch that runs, or ran ---- */

function showBatch() {
  const { running, last_batch } = latest.overview;
  if (running !== null) showRunning(running);
  else {
    pace = [];
    showMeter({}, 0);
    setText(
      "batch-note",
      last_batch === null
        ? "No batch has begun yet."
        : `None is running. The last one began ${dayTime(last_batch.start)}: ${last_batch.status}.`,
    );
    fillFacts("batch-facts", [
      [
        "Markets",
        last_batch === null ? "–" : whole(last_batch.markets),
        last_batch === null ? "" : `of ${whole(last_batch.of)}`,
      ],
      [
        "Offers",
        last_batch === null ? "–" : whole(last_batch.offers),
        last_batch?.rejected ? `${whole(last_batch.rejected)} rejected` : "",
      ],
      ["Took", last_batch?.seconds ? duration(last_batch.seconds) : "–"],
      ["Pages a minute", "–"],
    ]);
    fillTable("batch-workers", [], [], "Workers are listed here while a batch runs.");
  }
}

function showRunning(running) {
  const { by_state: states, markets, ended, pages, offers, start, fetch_until } = running;
  setText(
    "batch-note",
    `Began ${dayTime(start)}, ${duration(now() - start)} ago${
      running.is_loading ? "; it is being loaded" : ""
    }.`,
  );
  showMeter(states, markets);
  const left = fetch_until === null ? undefined : fetch_until - now();
  fillFacts("batch-facts", [
    ["Markets", whole(ended), `of ${whole(markets)}`],
    ["Offers, about", whole(offers)],
    running.is_loading
      ? ["Stage", "loading"]
      : ["Time left", left === undefined ? "–" : left > 0 ? duration(left) : "none"],
    ["Pages a minute", whole(pagesPerMinute(pages, start))],
  ]);
  fillTable(
    "batch-workers",
    [
      { title: "Worker", className: "name", cell: ({ worker }) => worker },
      { title: "In hand", className: "number", cell: ({ held }) => whole(held) },
      { title: "Ended", className: "number", cell: ({ ended }) => whole(ended) },
      { title: "Pages", className: "number", cell: ({ pages }) => whole(pages) },
      { title: "Offers", className: "number", cell: ({ offers }) => whole(offers) },
    ],
    running.by_worker,
    "Nobody has taken a market yet.",
  );
}

/** Of the last minute; before there is one, since the batch began. */
function pagesPerMinute(pages, start) {
  const at = now();
  if (pace.length > 0 && pace.at(-1)[1] > pages) pace = [];
  if (pace.at(-1)?.[1] !== pages) pace.push([at, pages]);
  pace = pace.filter(([seconds]) => seconds > at - 60);
  const [since, before] = pace[0] ?? [at, pages];
  if (at - since >= 10) return 60 * (pages - before) / (at - since);
  return at > start ? 60 * pages / (at - start) : 0;
}

function showMeter(states, markets) {
  const meter = byId("meter");
  if (meter.children.length === 0) {
    meter.append(...STATES.map(([state]) => element("i", `s-${state}`)));
    byId("meter-legend").append(
      ...STATES.map(([state, title]) =>
        element("li", "", element("span", `swatch s-${state}`), title, " ", element("b", "", "0"))
      ),
    );
  }
  STATES.forEach(([state], index) => {
    const count = states[state] ?? 0;
    meter.children[index].style.width = markets === 0 ? "0" : `${100 * count / markets}%`;
    byId("meter-legend").children[index].querySelector("b").textContent = whole(count);
  });
  meter.ariaLabel = markets === 0
    ? "no batch is running"
    : STATES.map(([state, title]) => `${title} ${states[state] ?? 0}`).join(", ");
}

/* ---- rules and workers ---- */

function showRules() {
  const { rules } = latest.overview;
  const bad = rules.filter(({ result }) => result !== null && result !== "ok");
  setText(
    "quality-note",
    rules.every(({ result }) => result === null)
      ? "They are checked after each load."
      : bad.length === 0
      ? `All ${rules.length} hold in the newest batch.`
      : `${bad.length} of ${rules.length} are broken in the newest batch.`,
  );
  const limit = (bad_when, value) =>
    value === null ? "–" : `${bad_when === "above" ? ">" : "<"} ${short(value)}`;
  fillTable(
    "rules",
    [
      {
        title: "Result",
        cell: ({ result }) => {
          const [text, className] = MARKS[result] ?? ["not run", ""];
          return element("span", `mark ${className}`, text);
        },
      },
      { title: "Rule", cell: ({ rule }) => rule },
      { title: "Value", className: "number", cell: ({ value }) => short(value) },
      {
        title: "Warning",
        className: "number limit warning",
        cell: ({ bad_when, warning }) => limit(bad_when, warning),
      },
      {
        title: "Error",
        className: "number limit error",
        cell: ({ bad_when, error }) => limit(bad_when, error),
      },
      { title: "Measures", className: "wide", cell: ({ comment }) => comment },
    ],
    rules,
    "There are no rules.",
  );
}

function showWorkers() {
  const { workers } = latest.overview;
  const alive = new Set(workers.filter((one) => one.alive).map(({ worker }) => worker)).size;
  setText(
    "fleet-note",
    `${alive === 0 ? "None" : whole(alive)} alive. One that fell silent is listed for an hour.`,
  );
  fillTable(
    "workers",
    [
      { title: "Worker", className: "name", cell: ({ worker }) => worker },
      {
        title: "Does",
        cell: ({ alive, doing }) => alive ? doing : doing === "gone" ? "has left" : "silent",
      },
      { title: "Exchange", cell: ({ exchange }) => exchange ?? "–" },
      {
        title: "Breaker",
        cell: ({ breaker, paused_seconds }) => {
          const text = { closed: "closed", half_open: "half open", open: "open" }[breaker] ?? "–";
          const className = { closed: "ok", half_open: "warn", open: "bad" }[breaker] ?? "";
          const pause = paused_seconds ? `, waits ${duration(paused_seconds)}` : "";
          return element("span", `mark ${className}`, text + pause);
        },
      },
      { title: "Rate a minute", className: "number", cell: ({ rate }) => whole(rate) },
      { title: "Ceiling", className: "number", cell: ({ ceiling }) => whole(ceiling) },
      { title: "In hand", className: "number", cell: ({ held }) => whole(held) },
    ],
    workers,
    "No worker is at work.",
    ({ alive }) => alive ? "" : "faded",
  );
}

/* ---- rate and breaker over time ---- */

const accessCharts = new Map();

async function showAccess() {
  const series = await fetchJson("/api/access");
  if (series === undefined) return;
  const byExchange = Map.groupBy(series, ({ exchange }) => exchange);
  for (const [exchange, members] of byExchange) {
    let known = accessCharts.get(exchange);
    if (known === undefined) {
      const place = element("div", "chart");
      byId("access").append(
        element(
          "figure",
          "",
          element(
            "figcaption",
            "",
            `${exchange}: requests a minute allowed (lines), refused (bars); shaded while a breaker is not closed`,
          ),
          place,
        ),
      );
      known = { members: [], chart: undefined };
      known.chart = new Chart(place, () => accessOptions(known));
      accessCharts.set(exchange, known);
    }
    known.members = members.slice(0, LINES.length);
    known.chart.set(accessData(known.members));
  }
}

function accessData(members) {
  const times = [...new Set(members.flatMap(({ at }) => at))].toSorted((a, b) => a - b);
  const aligned = ({ at }, values) => {
    const known = new Map(at.map((time, index) => [time, values[index]]));
    return times.map((time) => known.get(time) ?? null);
  };
  const refused = times.map((time) =>
    members.reduce((sum, { at, refused }) => sum + (refused[at.indexOf(time)] ?? 0), 0)
  );
  return [times, refused, ...members.map((one) => aligned(one, one.rate))];
}

function accessOptions(known) {
  return {
    scales: {
      x: TIMES,
      y: { range: (_, __, most) => [0, most * 1.08 || 1] },
      refused: { range: (_, __, most) => [0, Math.max(most, 5) * 3] },
    },
    cursor: { drag: { x: false, y: false } },
    hooks: { drawClear: [(plot) => shade(plot, known.members)] },
    axes: [timeAxis(), axis({ values: (_, ticks) => ticks.map(short) })],
    series: [
      { value: (_, at) => at === null ? "–" : dayTime(at) },
      {
        label: "refused",
        scale: "refused",
        stroke: colour("failed"),
        fill: colour("failed"),
        width: 0,
        paths: paths.bars({ size: [0.6, 8] }),
        points: { show: false },
      },
      ...known.members.map(({ worker }, index) => ({
        label: worker,
        stroke: LINES[index],
        width: 1.5,
        dash: [[], [6, 3], [2, 2]][index % 3],
        points: { size: 4 },
        value: (_, v) => short(v),
      })),
    ],
  };
}

function shade(plot, members) {
  const { ctx, bbox } = plot;
  for (const { at, breaker } of members) {
    at.forEach((time, index) => {
      if (breaker[index] === "closed") return;
      const from = plot.valToPos(time, "x", true);
      const to = plot.valToPos(at[index + 1] ?? time + 600, "x", true);
      ctx.fillStyle = `color-mix(in srgb, ${
        colour(breaker[index] === "open" ? "failed" : "partly")
      } 22%, transparent)`;
      ctx.fillRect(
        from,
        bbox.top,
        Math.max(Math.min(to, bbox.left + bbox.width) - from, 2),
        bbox.height,
      );
    });
  }
}

/* ---- what comes from the worker ---- */

let coverageOf;

/** Asks for what a new batch has changed; also after an outage. */
async function refresh() {
  const [coverage, markets] = await Promise.all([
    fetchJson("/api/coverage"),
    fetchJson("/api/markets"),
  ]);
  if (markets !== undefined) offerMarkets(markets);
  if (coverage !== undefined && markets !== undefined) showCoverage(coverage, markets);
  await showMarket();
  return coverage !== undefined && markets !== undefined;
}

async function onOverview(told) {
  latest = told;
  outage = undefined;
  showBanner();
  showAll();
  const of = JSON.stringify(told.overview.last_batch);
  if (of === coverageOf) return;
  coverageOf = of;
  if (!await refresh()) coverageOf = undefined; // with the next word of the worker
}

function showAll() {
  if (latest === undefined) return;
  showState();
  showBatch();
  showRules();
  showWorkers();
}

function showBanner() {
  const text = lostSince !== undefined
    ? `The worker does not answer since ${clockTime(lostSince, now())} (${
      duration(now() - lostSince)
    }).`
    : outage !== undefined
    ? `${outage.reason}, since ${clockTime(outage.since, now())} (${
      duration(now() - outage.since)
    }).`
    : undefined;
  const isStale = text !== undefined;
  document.body.dataset.stale = String(isStale);
  byId("banner").hidden = !isStale;
  if (isStale) {
    setText("banner", text + (latest === undefined ? "" : " What you see is from before."));
  }
  byId("connection").dataset.state = isStale ? "lost" : latest === undefined ? "" : "live";
  setText("connection", isStale ? "no news" : latest === undefined ? "connecting" : "live");
}

/* ---- light and dark ---- */

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme === undefined
    ? matchMedia("(prefers-color-scheme: dark)").matches
    : theme === "dark";
}

function themed() {
  setText("theme", isDark() ? "Light" : "Dark");
  redrawCharts();
  drawHeatmap();
}

function stored(value) {
  try {
    if (value === undefined) return localStorage.getItem("theme");
    localStorage.setItem("theme", value);
  } catch {
    // a browser that keeps nothing
  }
  return null;
}

const theme = stored();
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
byId("theme").addEventListener("click", () => {
  const wanted = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = wanted;
  stored(wanted);
  themed();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themed);

beginHeatmap();
beginMarket();
showMeter({}, 0);
themed();
showAccess();
setText("zone", `Times: ${zone().offset}`);
byId("zone").title = `of this browser: ${zone().name}`;
listen({
  overview: onOverview,
  outage: (told) => {
    outage = told;
    showBanner();
  },
  lost: (since) => {
    lostSince = since;
    showBanner();
  },
  back: () => {
    lostSince = undefined;
    coverageOf = undefined;
    showBanner();
  },
});
setInterval(() => {
  if (latest === undefined || outage !== undefined || lostSince !== undefined) {
    if (latest !== undefined || outage !== undefined || lostSince !== undefined) showBanner();
    return;
  }
  showState();
  showBatch();
  tickMarket();
}, 1000);
setInterval(showAccess, ACCESS_EVERY_MS);
