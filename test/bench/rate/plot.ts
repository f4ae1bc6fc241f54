import type { Sample } from "./experiment.ts";

export interface Panel {
  readonly title: string;
  readonly samples: readonly Sample[];
}

const WIDTH = 460;
const HEIGHT = 210;
const MARGIN = { left: 46, right: 14, top: 34, bottom: 34 };
const HEADER = 56;
const COLUMNS = 2;

const STYLE = `
  .surface { fill: #fcfcfb } .title { fill: #0b0b0b; font-weight: 600 } .text { fill: #52514e }
  .grid { stroke: #e1e0d9 } .axis { stroke: #c3c2b7 }
  .taken { stroke: #2a78d6 } .limit { stroke: #52514e } path, line { fill: none }
  @media (prefers-color-scheme: dark) {
    .surface { fill: #1a1a19 } .title { fill: #ffffff } .text { fill: #c3c2b7 }
    .grid { stroke: #2c2c2a } .axis { stroke: #383835 } .taken { stroke: #3987e5 } .limit { stroke: #c3c2b7 }
  }`;

/** Requests taken in each minute against the limit that was hidden, one panel a case; readable on light and dark. */
export function plot(panels: readonly Panel[]): string {
  const rows = Math.ceil(panels.length / COLUMNS);
  const [width, height] = [COLUMNS * WIDTH, HEADER + rows * HEIGHT];
  const drawn = panels.map((panel, index) => {
    const x = (index % COLUMNS) * WIDTH;
    const y = HEADER + Math.floor(index / COLUMNS) * HEIGHT;
    return `<g transform="translate(${x} ${y})">${drawPanel(panel)}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img"
  aria-label="Requests taken a minute against the hidden limit" font-family="system-ui, sans-serif" font-size="12">
<style>${STYLE}</style>
<rect class="surface" width="${width}" height="${height}" rx="6"/>
<text class="title" x="${MARGIN.left}" y="24" font-size="14">Requests a minute against a limit that is not known</text>
<line class="taken" x1="${MARGIN.left}" x2="${MARGIN.left + 20}" y1="40" y2="40" stroke-width="2"/>
<text class="text" x="${MARGIN.left + 26}" y="44">taken by the exchange in each minute</text>
<line class="limit" x1="${WIDTH + MARGIN.left}" x2="${WIDTH + MARGIN.left + 20}" y1="40" y2="40"
  stroke-width="1.5" stroke-dasharray="5 3"/>
<text class="text" x="${WIDTH + MARGIN.left + 26}" y="44">its limit</text>
${drawn.join("\n")}
</svg>
`;
}

function drawPanel({ title, samples }: Panel): string {
  const minutes = samples.length;
  const most = 1.05 * Math.max(...samples.map(({ taken, limit }) => Math.max(taken, limit)));
  const step = niceStep(most / 3);
  const top = Math.ceil(most / step) * step;
  const right = WIDTH - MARGIN.right;
  const bottom = HEIGHT - MARGIN.bottom;
  const x = (minute: number) => round(MARGIN.left + (right - MARGIN.left) * minute / minutes);
  const y = (count: number) => round(bottom - (bottom - MARGIN.top) * count / top);

  const counts = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step);
  const hours = Array.from({ length: Math.floor(minutes / 60) + 1 }, (_, hour) => hour);
  const taken = samples.map(({ taken }, index) => `${x(index + 0.5)} ${y(taken)}`).join("L");
  const limit = samples.map(({ limit }, index) => `${x(index)} ${y(limit)}H${x(index + 1)}`).join(
    "L",
  );
  return [
    `<text class="title" x="${MARGIN.left}" y="22">${title}</text>`,
    ...counts.map((count) =>
      `<line class="${count === 0 ? "axis" : "grid"}" x1="${MARGIN.left}" x2="${right}" y1="${
        y(count)
      }" y2="${y(count)}"/>` +
      `<text class="text" x="${MARGIN.left - 6}" y="${
        y(count) + 4
      }" text-anchor="end">${count}</text>`
    ),
    ...hours.map((hour) =>
      `<text class="text" x="${x(hour * 60)}" y="${
        bottom + 18
      }" text-anchor="middle">${hour} h</text>`
    ),
    `<path class="taken" stroke-width="2" stroke-linejoin="round" d="M${taken}"/>`,
    `<path class="limit" stroke-width="1.5" stroke-dasharray="5 3" d="M${limit}"/>`,
  ].join("\n");
}

function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= least) ?? 10) * power;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
