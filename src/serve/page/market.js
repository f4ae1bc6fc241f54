// One market: its prices over time, both sides of its newest book. Which one stands in the address, behind the #.
import { axis, Chart, paths, timeAxis, TIMES } from "./charts.js";
import {
  byId,
  clockTime,
  colour,
  counted,
  dayTime,
  duration,
  element,
  exact,
  fillFacts,
  fillTable,
  setText,
  short,
  whole,
} from "./dom.js";
import { fetchJson, now } from "./live.js";

const RANGES = ["24h", "7d", "30d"];

let pairs = [];
let chosen = { exchange: "", fiat: "", asset: "", range: "24h" };
let shown;
let asking = new AbortController();

const stepped = (align) => (...args) => paths.stepped({ align })(...args);

const priceChart = new Chart(byId("prices"), () => ({
  scales: { x: TIMES },
  cursor: { sync: { key: "market" }, drag: { x: false, y: false } },
  axes: [timeAxis(), axis({ values: (_, ticks) => ticks.map(short) })],
  series: [
    { value: (_, at) => at === null ? "–" : dayTime(at) },
    {
      label: "buy at",
      stroke: colour("ask"),
      width: 1.5,
      points: { size: 4 },
      spanGaps: false,
      value: (_, v) => short(v),
    },
    {
      label: "sell at",
      stroke: colour("bid"),
      width: 1.5,
      points: { size: 4 },
      dash: [6, 3],
      spanGaps: false,
      value: (_, v) => short(v),
    },
  ],
}));

const spreadChart = new Chart(byId("spread"), () => ({
  scales: { x: TIMES },
  cursor: { sync: { key: "market" }, drag: { x: false, y: false } },
  legend: { show: false },
  axes: [timeAxis(), axis({ space: 22, values: (_, ticks) => ticks.map(short) })],
  series: [
    {},
    {
      label: "spread %",
      stroke: colour("ink"),
      width: 1.2,
      points: { size: 4 },
      value: (_, v) => short(v),
    },
  ],
}));

const depthChart = new Chart(byId("depth"), () => ({
  scales: { x: { time: false }, y: { range: (_, __, most) => [0, most * 1.05 || 1] } },
  cursor: { drag: { x: false, y: false } },
  axes: [
    axis({ size: 50, space: 90, values: (_, ticks) => ticks.map(short) }),
    axis({ values: (_, ticks) => ticks.map(compact) }),
  ],
  series: [
    { label: "price", value: (_, v) => short(v) },
    {
      label: "offered down to it",
      stroke: colour("bid"),
      fill: `color-mix(in srgb, ${colour("bid")} 18%, transparent)`,
      width: 1.5,
      paths: stepped(-1),
      points: { show: false },
      spanGaps: true,
      value: (_, v) => short(v),
    },
    {
      label: "offered up to it",
      stroke: colour("ask"),
      fill: `color-mix(in srgb, ${colour("ask")} 18%, transparent)`,
      width: 1.5,
      paths: stepped(1),
      points: { show: false },
      spanGaps: true,
      value: (_, v) => short(v),
    },
  ],
}));

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function compact(value) {
  return value === null ? "" : COMPACT.format(value);
}

/** @param list of /api/markets */
export function offerMarkets(list) {
  const seen = new Map(
    list.map((
      [, exchange, fiat, asset],
    ) => [`${exchange} ${fiat} ${asset}`, { exchange, fiat, asset }]),
  );
  if (seen.size === pairs.length) return;
  pairs = [...seen.values()];
  readHash();
}

/** @returns the market that is shown, or undefined while none is known */
export async function showMarket() {
  if (pairs.length === 0) {
    setText("market-note", "No market is known yet.");
    for (const chart of [priceChart, spreadChart, depthChart]) chart.set(undefined);
    fillSides({ offers: [] }, { offers: [] });
    fillFacts("market-facts", [["Buy at", "–"], ["Sell at", "–"], ["Spread", "–"]]);
    return;
  }
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const found = await fetchJson(`/api/market?${new URLSearchParams(chosen)}`, signal);
  if (signal.aborted || found === undefined) return;
  const { exchange, fiat, asset, range } = chosen;
  const isSame = shown?.exchange === exchange && shown.fiat === fiat && shown.asset === asset;
  shown = found;
  render(isSame && shown.range === range);
}

function render() {
  const { history, book, fiat, asset } = shown;
  const { asks, bids } = book;
  const at = Math.max(asks.at ?? 0, bids.at ?? 0);
  setText("market-title", `${asset} for ${fiat}`);
  setText(
    "market-note",
    at === 0
      ? "No book of it has been loaded."
      : `Newest book of ${dayTime(at)}, ${duration(now() - at)} ago.`,
  );
  // Of each side its own newest book: one of them may have been missing in the last batch.
  const [ask, bid] = [asks.price[0], bids.price[0]];
  const spread = ask === undefined || bid === undefined
    ? undefined
    : 200 * (ask - bid) / (ask + bid);
  const hint = spread === undefined
    ? ""
    : asks.at !== bids.at
    ? "sides of different batches"
    : spread < 0
    ? "the sides cross"
    : "";
  fillFacts("market-facts", [
    ["Buy at", exact(asks.offers[0]?.price), `${fiat} · ${counted(asks.total, "offer")}`],
    ["Sell at", exact(bids.offers[0]?.price), `${fiat} · ${counted(bids.total, "offer")}`],
    ["Spread", spread === undefined ? "–" : `${spread.toFixed(2)} %`, hint],
  ]);
  const times = history.at;
  priceChart.set([times, history.ask, history.bid]);
  spreadChart.set([times, history.spread]);
  depthChart.set(depthOf(asks, bids));
  setText("depth-caption", `Depth of the newest book, ${asset} by price in ${fiat}`);
  setText("asks-title", `To buy ${asset}`);
  setText("bids-title", `To sell ${asset}`);
  fillSides(asks, bids);
}

/** Both sides on one axis, without the far ends that nobody trades at. */
function depthOf(asks, bids) {
  const near = ({ price, volume }) => {
    const most = volume.at(-1) ?? 0;
    return price.map((at, index) => [at, volume[index]])
      .filter(([, sum], index) => index < 12 || sum <= most * 0.97);
  };
  const [up, down] = [near(asks), near(bids)];
  if (up.length + down.length === 0) return undefined;
  const points = new Map();
  const prices = [...up, ...down].map(([price]) => price);
  const [least, most] = [Math.min(...prices), Math.max(...prices)];
  const beyond = 0.05 * (most - least) || 0.01 * most;
  // A single price is no line: it goes on to the edge.
  if (down.length === 1) points.set(least - beyond, [down[0][1], null]);
  if (up.length === 1) points.set(most + beyond, [null, up[0][1]]);
  for (const [price, sum] of down) points.set(price, [sum, null]);
  for (const [price, sum] of up) points.set(price, [points.get(price)?.[0] ?? null, sum]);
  const ordered = [...points].toSorted(([a], [b]) => a - b);
  return [
    ordered.map(([price]) => price),
    ordered.map(([, [sum]]) => sum),
    ordered.map(([, [, sum]]) => sum),
  ];
}

function fillSides(asks, bids) {
  const columns = [
    { title: "Price", className: "number", cell: ({ price }) => exact(price) },
    { title: "Available", className: "number", cell: ({ amount }) => exact(amount) },
    {
      title: "Limits",
      className: "number",
      cell: ({ least, most }) => `${compact(least)}–${compact(most)}`,
    },
    {
      title: "Advertiser",
      className: "name",
      cell: ({ advertiser, is_merchant, orders }) => {
        const cell = element("span", "", advertiser ?? "–");
        cell.title = `${is_merchant ? "merchant, " : ""}${whole(orders)} orders in 30 days`;
        return cell;
      },
    },
    { title: "Pays with", className: "wide", cell: ({ methods }) => (methods ?? []).join(", ") },
  ];
  fillTable("asks", columns, asks.offers, "nobody sells it now");
  fillTable("bids", columns, bids.offers, "nobody buys it now");
}

function fillSelect(id, values, value) {
  const select = byId(id);
  if ([...select.options].map((option) => option.value).join("\n") !== values.join("\n")) {
    select.replaceChildren(...values.map((one) => {
      const option = element("option", "", one);
      option.value = one;
      return option;
    }));
  }
  select.value = value;
}

/** The nearest market that there is: of the same exchange and fiat, where it has one. */
function settle(wanted) {
  if (pairs.length === 0) return;
  const match = (...names) =>
    pairs.find((pair) => names.every((name) => pair[name] === wanted[name]));
  const usdt = (pair) =>
    pairs.find((one) =>
      one.exchange === pair.exchange && one.fiat === pair.fiat && one.asset === "USDT"
    ) ?? pair;
  const found = match("exchange", "fiat", "asset") ?? match("fiat", "asset") ??
    (match("exchange", "fiat") && usdt(match("exchange", "fiat"))) ??
    (match("exchange") && usdt(match("exchange"))) ?? usdt(pairs[0]);
  chosen = { ...found, range: RANGES.includes(wanted.range) ? wanted.range : "24h" };
  const unique = (values) => [...new Set(values)];
  fillSelect("exchange", unique(pairs.map(({ exchange }) => exchange)), chosen.exchange);
  const ofExchange = pairs.filter(({ exchange }) => exchange === chosen.exchange);
  fillSelect("fiat", unique(ofExchange.map(({ fiat }) => fiat)), chosen.fiat);
  fillSelect(
    "asset",
    ofExchange.filter(({ fiat }) => fiat === chosen.fiat).map(({ asset }) => asset),
    chosen.asset,
  );
  for (const radio of document.getElementsByName("range")) {
    radio.checked = radio.value === chosen.range;
  }
}

function readHash() {
  const [exchange, fiat, asset, range] = location.hash.slice(1).split("/").map(decoded);
  settle(exchange ? { exchange, fiat, asset, range } : { fiat: "VES", asset: "USDT" });
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

export function beginMarket() {
  byId("market-form").addEventListener("submit", (event) => event.preventDefault());
  byId("market-form").addEventListener("change", () => {
    const range = [...document.getElementsByName("range")].find(({ checked }) => checked)?.value;
    settle({
      exchange: byId("exchange").value,
      fiat: byId("fiat").value,
      asset: byId("asset").value,
      range,
    });
    if (pairs.length === 0) return;
    const { exchange, fiat, asset } = chosen;
    history.replaceState(
      null,
      "",
      `#${[exchange, fiat, asset, chosen.range].map(encodeURIComponent).join("/")}`,
    );
    showMarket();
  });
  addEventListener("hashchange", () => {
    readHash();
    showMarket();
  });
}

/** Words that get old by themselves. */
export function tickMarket() {
  if (shown === undefined) return;
  const at = Math.max(shown.book.asks.at ?? 0, shown.book.bids.at ?? 0);
  if (at > 0) {
    setText("market-note", `Newest book of ${clockTime(at, now())}, ${duration(now() - at)} ago.`);
  }
}
