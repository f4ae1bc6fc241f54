// Elements and numbers. Texts get onto the page by textContent only: what advertisers call themselves is never markup.

/** @param id of an element that index.html has */
export function byId(id) {
  return document.getElementById(id);
}

/** An element with a class, and children that are elements or texts. */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className !== "") made.className = className;
  made.append(...children.map((child) => child instanceof Node ? child : String(child ?? "")));
  return made;
}

export function setText(id, text) {
  const found = byId(id);
  if (found.textContent !== text) found.textContent = text;
}

/** @param entries pairs of a name and a text; a third says what stands small behind it */
export function fillFacts(id, entries) {
  const list = byId(id);
  while (list.children.length < entries.length) {
    list.append(element("div", "", element("dt"), element("dd", "", "", element("small"))));
  }
  while (list.children.length > entries.length) list.lastElementChild.remove();
  entries.forEach(([name, value, small = ""], index) => {
    const [dt, dd] = list.children[index].children;
    if (dt.textContent !== name) dt.textContent = name;
    if (dd.dataset.value !== `${value}|${small}`) {
      dd.replaceChildren(value, " ", element("small", "", small));
      dd.dataset.value = `${value}|${small}`;
    }
  });
}

/**
 * @param columns {title, className, cell: row => text or element}
 * @param classOf of a row
 */
export function fillTable(id, columns, rows, whenEmpty, classOf = () => "") {
  if (rows.length === 0) {
    const none = element("td", "empty", whenEmpty);
    byId(id).replaceChildren(element("tbody", "", element("tr", "", none)));
    return;
  }
  const head = columns.map(({ title, className = "" }) => {
    const cell = element("th", className.startsWith("number") ? "number" : "", title);
    cell.scope = "col";
    return cell;
  });
  const body = rows.map((row) =>
    element(
      "tr",
      classOf(row),
      ...columns.map(({ className = "", cell }) => element("td", className, cell(row))),
    )
  );
  byId(id).replaceChildren(
    element("thead", "", element("tr", "", ...head)),
    element("tbody", "", ...body),
  );
}

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function whole(value) {
  return value === null || value === undefined ? "–" : WHOLE.format(value);
}

/** "1 market", "2 markets" */
export function counted(count, one, several = `${one}s`) {
  return `${whole(count)} ${count === 1 ? one : several}`;
}

/** Six digits that count, at most. */
export function short(value) {
  if (value === null || value === undefined) return "–";
  const number = Number(value);
  return new Intl.NumberFormat("en", { maximumSignificantDigits: 6 }).format(number);
}

/** The digits as they were sent, in groups; no zeros behind. */
export function exact(text) {
  if (text === null || text === undefined) return "–";
  const [, sign = "", before = "", after = ""] = /^(-?)(\d+)(?:\.(\d*?)0*)?$/.exec(text) ?? [];
  if (before === "") return text;
  const grouped = before.replace(/\B(?=(\d{3})+$)/g, ",");
  return sign + grouped + (after === "" ? "" : `.${after}`);
}

/** 0–100 %, never rounded up to whole. */
export function percent(part, of) {
  if (!of) return "–";
  const value = 100 * part / of;
  return `${value >= 100 ? "100" : (Math.floor(value * 10) / 10).toFixed(1)} %`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return s < 172_800 ? `${(s / 3600).toFixed(1)} h` : `${Math.round(s / 86_400)} days`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY_CLOCK = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

/** Of the reader's own time zone; with the day where it is not of the last 12 hours. */
export function clockTime(seconds, now = seconds) {
  const date = new Date(seconds * 1000);
  return Math.abs(now - seconds) < 43_200 ? CLOCK.format(date) : DAY_CLOCK.format(date);
}

export function dayTime(seconds) {
  return DAY_CLOCK.format(new Date(seconds * 1000));
}

/** By which clock times are shown, e.g. "UTC-4" of "America/Caracas". */
export function zone() {
  const parts = new Intl.DateTimeFormat("en", { timeZoneName: "shortOffset" }).formatToParts();
  const offset = parts.find(({ type }) => type === "timeZoneName")?.value ?? "";
  return {
    offset: offset.replace("GMT", "UTC").replace("+0", ""),
    name: CLOCK.resolvedOptions().timeZone,
  };
}

const swatch = document.createElement("i");
swatch.hidden = true;

/** A colour of page.css, as it is now, light or dark. */
export function colour(name) {
  if (!swatch.isConnected) document.body.append(swatch);
  swatch.style.color = `var(--${name})`;
  return getComputedStyle(swatch).color;
}
