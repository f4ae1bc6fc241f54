// The workers, and how fast each exchange lets them ask.
import { axis, Chart, LINES, paths, timeAxis, TIMES } from "./charts.js";
import {
  byId,
  colour,
  dayTime,
  duration,
  element,
  fillTable,
  setText,
  short,
  whole,
} from "./dom.js";
import { fetchJson } from "./live.js";

const accessCharts = new Map();

export function showWorkers({ workers }) {
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

/** Rate and breaker over time. */
export async function showAccess() {
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
