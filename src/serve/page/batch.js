// The batch that runs, or ran.
import { byId, dayTime, duration, element, fillFacts, fillTable, setText, whole } from "./dom.js";
import { now } from "./live.js";

/** States of markets in the batch that runs, in the order of the meter. */
const STATES = [
  ["complete", "whole"],
  ["incomplete", "partly"],
  ["failed", "failed"],
  ["deferred", "deferred"],
  ["fetching", "in hand"],
  ["pending", "waiting"],
];

/** Pages stored, as they were told in the last minute: [seconds, pages]. */
let pace = [];

export function showBatch({ running, last_batch }) {
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

export function showMeter(states, markets) {
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
