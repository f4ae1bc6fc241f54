// The quality rules and what they found in the newest batch.
import { element, fillTable, setText, short } from "./dom.js";

const MARKS = {
  ok: ["✓ ok", "ok"],
  warning: ["! warning", "warn"],
  error: ["✕ error", "bad"],
  broken: ["✕ broken", "bad"],
};

export function showRules({ rules }) {
  const bad = rules.filter(({ result }) => result !== null && result !== "ok");
  setText(
    "quality-note",
    rules.every(({ result }) => result === null)
      ? "They are checked after each load."
      : bad.length === 0
      ? `All ${rules.length} hold in the newest batch.`
      : `${bad.length} of ${rules.length} are broken in the newest batch.`,
  );
  const limit = (bad_when, value) =>
    value === null ? "–" : `${bad_when === "above" ? ">" : "<"} ${short(value)}`;
  fillTable(
    "rules",
    [
      {
        title: "Result",
        cell: ({ result }) => {
          const [text, className] = MARKS[result] ?? ["not run", ""];
          return element("span", `mark ${className}`, text);
        },
      },
      { title: "Rule", cell: ({ rule }) => rule },
      { title: "Value", className: "number", cell: ({ value }) => short(value) },
      {
        title: "Warning",
        className: "number limit warning",
        cell: ({ bad_when, warning }) => limit(bad_when, warning),
      },
      {
        title: "Error",
        className: "number limit error",
        cell: ({ bad_when, error }) => limit(bad_when, error),
      },
      { title: "Measures", className: "wide", cell: ({ comment }) => comment },
    ],
    rules,
    "There are no rules.",
  );
}
