// What the page is made of, all of it inside the executable.
import uplotCss from "uplot/dist/uPlot.min.css" with { type: "text" };
import uplotJs from "uplot/dist/uPlot.esm.js" with { type: "text" };
import batchJs from "./page/batch.js" with { type: "text" };
import chartsJs from "./page/charts.js" with { type: "text" };
import domJs from "./page/dom.js" with { type: "text" };
import heatmapJs from "./page/heatmap.js" with { type: "text" };
import indexHtml from "./page/index.html" with { type: "text" };
import liveJs from "./page/live.js" with { type: "text" };
import marketJs from "./page/market.js" with { type: "text" };
import pageCss from "./page/page.css" with { type: "text" };
import pageJs from "./page/page.js" with { type: "text" };
import rulesJs from "./page/rules.js" with { type: "text" };
import stateJs from "./page/state.js" with { type: "text" };
import themeJs from "./page/theme.js" with { type: "text" };
import workersJs from "./page/workers.js" with { type: "text" };
import { type Body, bodyOf } from "./body.ts";

const SCRIPT = "text/javascript; charset=utf-8";
const STYLE = "text/css; charset=utf-8";

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
<path d="M2 12V9h2v3zm4 0V6h2v6zm4 0V3h2v9z" fill="#2f6fd0"/></svg>`;

const ASSETS: readonly (readonly [path: string, type: string, text: string])[] = [
  ["/", "text/html; charset=utf-8", indexHtml],
  ["/page.css", STYLE, pageCss],
  ["/uplot.css", STYLE, uplotCss],
  ["/page.js", SCRIPT, pageJs],
  ["/batch.js", SCRIPT, batchJs],
  ["/charts.js", SCRIPT, chartsJs],
  ["/dom.js", SCRIPT, domJs],
  ["/heatmap.js", SCRIPT, heatmapJs],
  ["/live.js", SCRIPT, liveJs],
  ["/market.js", SCRIPT, marketJs],
  ["/rules.js", SCRIPT, rulesJs],
  ["/state.js", SCRIPT, stateJs],
  ["/theme.js", SCRIPT, themeJs],
  ["/workers.js", SCRIPT, workersJs],
  ["/uplot.js", SCRIPT, uplotJs],
  ["/favicon.svg", "image/svg+xml", ICON],
];

/** Each file by its path. */
export function assets(): ReadonlyMap<string, Promise<Body>> {
  return new Map(ASSETS.map(([path, type, text]) => [path, bodyOf(type, text)]));
}
