// The page: what the worker tells goes to its places. Nothing here changes anything but the page.
import { showBatch, showMeter } from "./batch.js";
import { byId, clockTime, duration, setText, zone } from "./dom.js";
import { beginHeatmap, showCoverage } from "./heatmap.js";
import { fetchJson, listen, now } from "./live.js";
import { beginMarket, offerMarkets, showMarket, tickMarket } from "./market.js";
import { showRules } from "./rules.js";
import { showState } from "./state.js";
import { beginTheme } from "./theme.js";
import { showAccess, showWorkers } from "./workers.js";

const ACCESS_EVERY_MS = 60_000;

let latest;
let outage;
let lostSince;
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
  showState(latest);
  showBatch(latest.overview);
  showRules(latest.overview);
  showWorkers(latest.overview);
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

beginHeatmap();
beginMarket();
showMeter({}, 0);
beginTheme();
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
  showState(latest);
  showBatch(latest.overview);
  tickMarket();
}, 1000);
setInterval(showAccess, ACCESS_EVERY_MS);
