// uPlot in the colours of the page: charts follow the width of their place, and the theme.
import uPlot from "./uplot.js";
import { colour, element } from "./dom.js";

const charts = new Set();

/** Draws all of them anew: the colours have changed. */
export function redrawCharts() {
  for (const chart of charts) chart.make();
}

/** A chart in an element of a fixed height. */
export class Chart {
  /**
   * @param place its element
   * @param options of uPlot, made anew for each theme: () => {series, scales, axes, …}
   */
  constructor(place, options) {
    this.place = place;
    this.options = options;
    this.data = undefined;
    charts.add(this);
    new ResizeObserver(() => this.fit()).observe(place);
  }

  /** @param data columns, x first; undefined where there is nothing to draw */
  set(data) {
    const isFirst = this.plot === undefined || data === undefined ||
      this.plot.series.length !== data.length;
    this.data = data;
    if (isFirst) this.make();
    else this.plot.setData(data);
  }

  make() {
    this.plot?.destroy();
    this.plot = undefined;
    if (this.data === undefined || this.data[0].length === 0) {
      this.place.replaceChildren(element("p", "nothing", "nothing to draw yet"));
      return;
    }
    this.place.replaceChildren();
    const options = this.options();
    this.plot = new uPlot({ ...options, ...this.size(options) }, this.data, this.place);
    requestAnimationFrame(() => this.fit()); // the legend has its height then
  }

  size({ legend }) {
    const below = this.plot?.root.querySelector(".u-legend")?.offsetHeight ?? 0;
    return {
      width: Math.max(this.place.clientWidth, 120),
      height: Math.max(this.place.clientHeight - (legend?.show === false ? 0 : below), 60),
    };
  }

  fit() {
    if (this.plot === undefined || this.place.clientWidth === 0) return;
    const { width, height } = this.size({});
    if (width !== this.plot.width || height !== this.plot.height) {
      this.plot.setSize({ width, height });
    }
  }
}

/** An axis in quiet colours. */
export function axis(more = {}) {
  return {
    stroke: colour("soft"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1, size: 4 },
    size: (_, values) => Math.max(58, ...(values ?? []).map((text) => 18 + 6.2 * text.length)),
    ...more,
  };
}

const HOUR = 3600;

/** The scale of time: a single batch is drawn within an hour, and not, as uPlot has it, within years. */
export const TIMES = {
  range: ({ data: [times] }, from, until) => {
    if (from === null) return [null, null];
    const to = times.length === 1 ? times[0] : until;
    return [Math.min(from, to - HOUR), to];
  },
};

/** The axis of time, by the clock of 24 hours. */
export function timeAxis() {
  return axis({
    size: 50,
    space: 64,
    values: [
      [86_400 * 365, "{YYYY}", null, null, null, null, null, null, 1],
      [86_400, "{D} {MMM}", null, null, null, null, null, null, 1],
      [60, "{HH}:{mm}", null, null, "\n{D} {MMM}", null, null, null, 1],
      [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
    ],
  });
}

/** Lines of several workers, told apart without green against red. */
export const LINES = ["#2f7fd0", "#e69f00", "#8f6bb3", "#009e73", "#d55e00", "#56b4e9"];

export const paths = uPlot.paths;
