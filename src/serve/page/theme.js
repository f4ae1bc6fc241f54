// Light and dark: as the system has it, until somebody chooses.
import { redrawCharts } from "./charts.js";
import { byId, setText } from "./dom.js";
import { draw as drawHeatmap } from "./heatmap.js";

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme === undefined
    ? matchMedia("(prefers-color-scheme: dark)").matches
    : theme === "dark";
}

/** After the page came, or its colours changed. */
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

export function beginTheme() {
  const theme = stored();
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  byId("theme").addEventListener("click", () => {
    const wanted = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = wanted;
    stored(wanted);
    themed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themed);
  themed();
}
