// Markets by batches on a canvas: only the rows that are in sight are drawn, so that 2,000 × 144 are no work.
import {
  byId,
  clockTime,
  colour,
  counted,
  dayTime,
  element,
  fillTable,
  percent,
  whole,
} from "./dom.js";

const ROW = 15;
const STRIP = 58;
const TIMES = 18;
const HEAD = STRIP + TIMES;

/** Letters of page_coverage: what they mean, their colour, and how bad they are. */
const STATES = {
  c: { title: "whole", paint: "whole", weight: 0, css: "s-complete" },
  p: { title: "partly: pages are missing", paint: "partly", weight: 2, css: "s-incomplete" },
  f: { title: "failed: no page came", paint: "failed", weight: 3, css: "s-failed" },
  d: { title: "deferred: no time for it", paint: "deferred", weight: 2, css: "s-deferred" },
  n: { title: "not due: empty for long", paint: "not-due", weight: 0, css: "s-not_due" },
  u: { title: "under way", paint: "under-way", weight: 0, css: "s-fetching" },
};
const OF_BATCH = { completed: "accent", partial: "partly", failed: "failed", skipped: "failed" };

const scroll = byId("heatmap-scroll");
const canvas = byId("heatmap-canvas");
const tooltip = byId("heatmap-tooltip");
const context = canvas.getContext("2d");

let batches = [];
let markets = [];
let rows = [];
/** Columns that fit, the newest ones. */
let view = { first: 0, count: 0, width: 6, labels: 150 };
let cursor;

/** @param coverage {batches, states} of /api/coverage; @param list of /api/markets */
export function showCoverage(coverage, list) {
  batches = coverage.batches;
  markets = list
    .filter(([id]) => coverage.states[id] !== undefined)
    .map(([id, exchange, fiat, asset, side]) => ({
      exchange,
      fiat,
      name: `${fiat}/${asset} ${side}`,
      states: coverage.states[id],
    }));
  const several = new Set(markets.map(({ exchange }) => exchange)).size > 1;
  for (const market of markets) {
    market.label = several ? `${market.name} · ${market.exchange}` : market.name;
    market.weight = [...market.states].reduce((sum, s) => sum + (STATES[s]?.weight ?? 0), 0);
    market.planned = [...market.states].filter((s) => "cpfd".includes(s)).length;
    market.whole = [...market.states].filter((s) => s === "c").length;
  }
  arrange();
}

function arrange() {
  const wanted = byId("heatmap-filter").value.trim().toLowerCase().split(/\s+/);
  const shown = markets.filter(({ label }) =>
    wanted.every((word) => label.toLowerCase().includes(word))
  );
  const order = byId("heatmap-rows").value;
  if (order === "fiat") rows = byFiat(shown);
  else if (order === "name") rows = shown.toSorted((a, b) => a.label.localeCompare(b.label));
  else {
    rows = shown.toSorted((a, b) => b.weight - a.weight || a.label.localeCompare(b.label));
  }
  cursor = undefined;
  tooltip.hidden = true;
  byId("heatmap-height").style.height = `${HEAD + Math.max(rows.length, 1) * ROW + 4}px`;
  describe();
  draw();
}

/** One row a fiat: how much of it was missing in each batch. */
function byFiat(shown) {
  const groups = Map.groupBy(shown, ({ exchange, fiat }) => `${fiat} · ${exchange}`);
  return [...groups].map(([label, members]) => {
    const cells = batches.map((_, index) => {
      const states = members.map(({ states }) => states[index]);
      const planned = states.filter((s) => "cpfd".includes(s)).length;
      const missing = states.filter((s) => "pfd".includes(s)).length;
      return planned === 0 ? undefined : { planned, missing };
    });
    const weight = cells.reduce((sum, cell) => sum + (cell ? cell.missing / cell.planned : 0), 0);
    return { label, cells, weight };
  }).toSorted((a, b) => b.weight - a.weight || a.label.localeCompare(b.label));
}

function describe() {
  const touched = markets.filter(({ weight }) => weight > 0);
  const planned = markets.reduce((sum, market) => sum + market.planned, 0);
  const good = markets.reduce((sum, market) => sum + market.whole, 0);
  byId("coverage-note").textContent = batches.length === 0
    ? "No batch has ended yet."
    : `${counted(batches.length, "batch", "batches")} of ${counted(markets.length, "market")}: of ${
      counted(planned, "planned fetch", "planned fetches")
    } ${percent(good, planned)} came whole; ${counted(touched.length, "market")} had gaps.`;
  if (byId("heatmap-details").open) showTable();
}

function showTable() {
  const worst = markets.filter(({ weight }) => weight > 0)
    .toSorted((a, b) => b.weight - a.weight).slice(0, 200);
  const count = (letter) => ({ states }) => {
    const found = [...states].filter((s) => s === letter).length;
    return found === 0 ? "" : whole(found);
  };
  fillTable(
    "heatmap-table",
    [
      { title: "Market", cell: ({ label }) => label },
      { title: "Planned", className: "number", cell: ({ planned }) => whole(planned) },
      { title: "Whole", className: "number", cell: count("c") },
      { title: "Partly", className: "number", cell: count("p") },
      { title: "Failed", className: "number", cell: count("f") },
      { title: "Deferred", className: "number", cell: count("d") },
      { title: "Not due", className: "number", cell: count("n") },
      {
        title: "In the last batch",
        cell: ({ states }) => STATES[states.at(-1)]?.title ?? "not planned",
      },
    ],
    worst,
    "Every market came whole in every batch.",
  );
}

export function draw() {
  const width = scroll.clientWidth;
  const height = scroll.clientHeight;
  if (width === 0) return;
  const ratio = globalThis.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.textBaseline = "middle";
  const labels = width < 520 ? 116 : 168;
  const room = width - labels - 4;
  const fitting = Math.max(1, Math.floor(room / 3.5));
  const count = Math.min(batches.length, fitting);
  view = {
    labels,
    count,
    first: batches.length - count,
    width: count === 0 ? 0 : Math.min(room / count, 22),
  };
  const paint = Object.fromEntries(
    [
      "whole",
      "partly",
      "failed",
      "deferred",
      "not-due",
      "under-way",
      "accent",
      "soft",
      "ink",
      "line",
      "card",
    ]
      .map((name) => [name, colour(name)]),
  );
  drawRows(paint, height);
  drawHead(paint, width);
}

function drawRows(paint, height) {
  const { first, count, width: column, labels } = view;
  const gap = column > 4 ? 1 : 0;
  const from = Math.floor(scroll.scrollTop / ROW);
  const to = Math.min(rows.length, from + Math.ceil((height - HEAD) / ROW) + 1);
  const shift = scroll.scrollTop % ROW;
  context.font = "12px system-ui, sans-serif";
  for (let index = from; index < to; index++) {
    const row = rows[index];
    const y = HEAD + (index - from) * ROW - shift;
    context.fillStyle = cursor?.row === index ? paint.ink : paint.soft;
    context.fillText(clipped(row.label, labels - 8), 0, y + ROW / 2);
    for (let place = 0; place < count; place++) {
      const x = labels + place * column;
      if (row.cells === undefined) {
        const state = STATES[row.states[first + place]];
        if (state === undefined) continue;
        context.fillStyle = paint[state.paint];
        context.fillRect(x, y, column - gap, ROW - 1);
      } else {
        const cell = row.cells[first + place];
        if (cell === undefined) continue;
        context.fillStyle = paint.whole;
        context.fillRect(x, y, column - gap, ROW - 1);
        if (cell.missing > 0) {
          const tall = Math.max(2, (ROW - 1) * cell.missing / cell.planned);
          context.fillStyle = paint.failed;
          context.fillRect(x, y + ROW - 1 - tall, column - gap, tall);
        }
      }
    }
  }
  if (rows.length === 0) {
    context.fillStyle = paint.soft;
    context.fillText(
      markets.length === 0 ? "no batch has ended yet" : "no market of that name",
      0,
      HEAD + 20,
    );
  }
  if (cursor !== undefined) {
    const y = HEAD + cursor.row * ROW - scroll.scrollTop;
    context.strokeStyle = paint.ink;
    context.lineWidth = 1.5;
    context.strokeRect(labels + cursor.place * column - 0.5, y - 0.5, Math.max(column, 3), ROW);
  }
}

/** Completeness of each batch as a bar above its column, and the times. */
function drawHead(paint, width) {
  const { first, count, width: column, labels } = view;
  context.fillStyle = paint.card;
  context.fillRect(0, 0, width, HEAD);
  const least = Math.min(1, ...batches.slice(first).map(shareOf));
  const floor = least >= 0.9 ? 0.9 : least >= 0.5 ? 0.5 : 0;
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = paint.soft;
  context.textAlign = "right";
  context.fillText("100 %", labels - 8, 9);
  context.fillText(`${floor * 100} %`, labels - 8, STRIP - 8);
  context.textAlign = "left";
  context.fillText("Whole, by batch", 0, STRIP / 2);
  context.fillStyle = paint.line;
  context.fillRect(labels, 3, count * column, 1);
  context.fillRect(labels, STRIP - 3, count * column, 1);
  const gap = column > 4 ? 1 : 0;
  let lastLabel = -Infinity;
  for (let place = 0; place < count; place++) {
    const batch = batches[first + place];
    const x = labels + place * column;
    const tall = Math.max(2, (STRIP - 6) * (shareOf(batch) - floor) / (1 - floor));
    context.fillStyle = paint[OF_BATCH[batch.status]] ?? paint.soft;
    if (batch.status === "skipped") context.fillRect(x, 3, column - gap, STRIP - 6);
    else context.fillRect(x, STRIP - 3 - tall, column - gap, tall);
    if (x - lastLabel > 54 && x + 34 < width) {
      context.fillStyle = paint.soft;
      context.fillText(clockTime(batch.start), x, STRIP + TIMES / 2);
      lastLabel = x;
    }
  }
}

function shareOf({ complete, planned }) {
  return planned === 0 ? 0 : complete / planned;
}

const clips = new Map();

function clipped(label, room) {
  const key = `${room}|${label}`;
  let text = clips.get(key);
  if (text === undefined) {
    text = label;
    while (text.length > 3 && context.measureText(text).width > room) {
      text = `${text.slice(0, -2)}…`;
    }
    if (clips.size > 10_000) clips.clear();
    clips.set(key, text);
  }
  return text;
}

/** The cell below a point of the canvas; row undefined in the head. */
function cellAt(x, y) {
  const place = Math.floor((x - view.labels) / view.width);
  if (place < 0 || place >= view.count) return undefined;
  const row = Math.floor((y - HEAD + scroll.scrollTop) / ROW);
  return { place, row: y < HEAD ? undefined : row };
}

function tell({ place, row }) {
  const index = view.first + place;
  const batch = batches[index];
  const market = row === undefined ? undefined : rows[row];
  if (batch === undefined || (row !== undefined && market === undefined)) return undefined;
  const when = dayTime(batch.start);
  if (market === undefined) {
    const lines = batch.status === "skipped" ? [`${when}: skipped`] : [
      `${when}: ${batch.status}`,
      `${whole(batch.complete)} of ${whole(batch.planned)} markets, ${
        percent(batch.complete, batch.planned)
      }`,
      `${whole(batch.offers)} offers in ${whole(batch.seconds)} s`,
    ];
    return [...lines, batch.why ?? ""].join("\n").trim();
  }
  if (market.cells !== undefined) {
    const cell = market.cells[index];
    return `${market.label}\n${when}: ` +
      (cell === undefined
        ? "nothing planned"
        : `${cell.planned - cell.missing} of ${cell.planned} markets whole`);
  }
  return `${market.label}\n${when}: ${STATES[market.states[index]]?.title ?? "not planned"}`;
}

function showTooltip(cell, x, y) {
  const text = cell === undefined ? undefined : tell(cell);
  tooltip.hidden = text === undefined;
  if (text === undefined) return;
  tooltip.textContent = text;
  const left = Math.min(x + 14, scroll.clientWidth - tooltip.offsetWidth - 4);
  const top = y + 18 + tooltip.offsetHeight > scroll.clientHeight
    ? y - tooltip.offsetHeight - 10
    : y + 18;
  tooltip.style.transform = `translate(${Math.max(0, left)}px, ${Math.max(0, top)}px)`;
}

function moveCursor(event) {
  const steps = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
    Home: [-1e6, 0],
    End: [1e6, 0],
  };
  if (event.key === "Escape") {
    cursor = undefined;
    tooltip.hidden = true;
    draw();
    return;
  }
  const step = steps[event.key];
  if (step === undefined || rows.length === 0 || view.count === 0) return;
  event.preventDefault();
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  const before = cursor ?? { place: view.count - 1 - step[0], row: -step[1] };
  cursor = {
    place: clamp(before.place + step[0], view.count - 1),
    row: clamp(before.row + step[1], rows.length - 1),
  };
  const top = cursor.row * ROW;
  const seen = scroll.clientHeight - HEAD - ROW;
  if (top < scroll.scrollTop) scroll.scrollTop = top;
  if (top > scroll.scrollTop + seen) scroll.scrollTop = top - seen;
  draw();
  showTooltip(cursor, view.labels + cursor.place * view.width, HEAD + top - scroll.scrollTop);
}

export function beginHeatmap() {
  byId("heatmap-legend").replaceChildren(
    ...Object.values(STATES).filter(({ css }) => css !== "s-fetching").map(({ title, css }) =>
      element("li", "", element("span", `swatch ${css}`), title)
    ),
  );
  byId("heatmap-rows").addEventListener("change", arrange);
  byId("heatmap-filter").addEventListener("input", arrange);
  byId("heatmap-details").addEventListener("toggle", () => {
    if (byId("heatmap-details").open) showTable();
  });
  scroll.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  scroll.addEventListener("keydown", moveCursor);
  scroll.addEventListener("pointermove", (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    showTooltip(cellAt(x, y), x, y);
  });
  for (const name of ["pointerleave", "blur"]) {
    scroll.addEventListener(name, () => tooltip.hidden = true);
  }
  new ResizeObserver(draw).observe(scroll);
}
