// The head of the page: is all well, and which incidents are open.
import {
  byId,
  clockTime,
  counted,
  dayTime,
  duration,
  element,
  fillFacts,
  fillTable,
  percent,
  setText,
  whole,
} from "./dom.js";
import { now } from "./live.js";

const LAMPS = { ok: "✓", warn: "!", bad: "✕", none: "…" };

/** Is all well, and if not, what is wrong. */
export function showState({ overview, next_due }) {
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
